//! Names of functions as short as a sentence wants them.

/// The longest name in a sentence, bytes.
const MAX_NAME: usize = 100;

/// A function's name without its parameters; where it is long, without template arguments, and cut in the end.
pub fn short_name(name: &str) -> String {
    let name = parameters(name).map_or(name, |at| &name[..at]);
    if name.len() <= MAX_NAME {
        return name.to_owned();
    }
    let mut short = without_arguments(name);
    if short.len() > MAX_NAME {
        let mut end = MAX_NAME;
        while !short.is_char_boundary(end) {
            end -= 1;
        }
        short.truncate(end);
        short.push_str("...");
    }
    short
}

/// Where the list of parameters begins: the parentheses that nothing but qualifiers follows.
fn parameters(name: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut open = None;
    let mut before = ' ';
    for (at, character) in name.char_indices() {
        let is_operator = name[..at].ends_with("operator") || name[..at].ends_with("operator<");
        match character {
            '(' | '<' | '[' if !is_operator || character == '(' => {
                if depth == 0 && character == '(' {
                    open = Some(at);
                }
                depth += 1;
            }
            ')' | '>' | ']' if !is_operator && before != '-' || character == ')' => {
                depth = depth.saturating_sub(1);
                let rest = &name[at + 1..];
                let ends = rest.is_empty()
                    || [" const", " volatile", " &", " ["]
                        .iter()
                        .any(|q| rest.starts_with(q));
                if depth == 0 && character == ')' && ends {
                    return open.filter(|at| *at > 0);
                }
            }
            _ => {}
        }
        before = character;
    }
    None
}

/// A name with `<...>` in place of its template arguments.
fn without_arguments(name: &str) -> String {
    let mut depth = 0_usize;
    let mut short = String::new();
    for character in name.chars() {
        match character {
            // A Rust name may begin with the type that implements a trait.
            '<' if !short.is_empty() && !short.ends_with("operator") => {
                if depth == 0 {
                    short.push_str("<...>");
                }
                depth += 1;
            }
            '>' if depth > 0 => depth -= 1,
            _ if depth == 0 => short.push(character),
            _ => {}
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_are_left_out_and_scopes_stay() {
        for (name, short) in [
            ("main", "main"),
            ("http::parse_header(std::string const&)", "http::parse_header"),
            ("(anonymous namespace)::walk(int)", "(anonymous namespace)::walk"),
            ("Handler::operator()(long) const", "Handler::operator()"),
            (
                "main::{lambda(int)#1}::operator()(int) const",
                "main::{lambda(int)#1}::operator()",
            ),
            ("each(void (*)(int), int)", "each"),
            ("Set::operator<(Set const&) const", "Set::operator<"),
            ("main.(*Server).Serve", "main.(*Server).Serve"),
            (
                "<Store as Handler<fn(i32)>>::handle",
                "<Store as Handler<fn(i32)>>::handle",
            ),
            ("walk(int) [clone .cold]", "walk"),
            ("(weird)", "(weird)"),
        ] {
            assert_eq!(short_name(name), short, "{name}");
        }
    }

    #[test]
    fn long_names_lose_their_arguments_and_then_their_end() {
        let arguments = "std::pair<int, long>, ".repeat(20);
        assert_eq!(
            short_name(&format!("Map<{arguments}>::find(int)")),
            "Map<...>::find"
        );
        let long = short_name(&"x".repeat(1000));
        assert!(long.len() == MAX_NAME + 3 && long.ends_with("..."));
    }

    proptest! {
        #[test]
        fn no_name_is_too_strange(name in "[a-z<>()\\[\\]: é-]{0,200}") {
            prop_assert!(short_name(&name).len() <= MAX_NAME + 3);
        }
    }
}
