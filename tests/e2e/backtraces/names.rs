//! Names of functions, without what debuggers write differently.

/// The path of a function: without parameters, template arguments, return type and notes of the compiler.
///
/// gdb composes the names of functions with debug information from their declarations, without parameters and, for
/// templates, with the return type; others it demangles. Reports have the demangled name where there is one.
pub(super) fn path_of(name: &str) -> String {
    let name = name.split(" [clone").next().unwrap_or(name);
    let name = name.replace("operator()", "operator_call");
    let name = without(&name, ('<', '>')).replace("(anonymous namespace)", "{anonymous}");
    let name = without(&name, ('(', ')'));
    let name = name
        .trim_end_matches(" const")
        .rsplit(' ')
        .next()
        .unwrap_or_default();
    // Parts of C functions: gdb shows `sort.part` where the symbol is `sort.part.0`.
    let notes = [".part", ".isra", ".constprop", ".cold"];
    let end = notes.iter().find_map(|note| name.find(note));
    name.get(..end.unwrap_or(name.len()))
        .unwrap_or_default()
        .to_owned()
}

/// The last part of a Rust path. gdb numbers implementations (`{impl#2}::handle`), mangled names spell them out
/// (`<Store as Handler>::handle`).
pub(super) fn last_of(name: &str) -> String {
    let plain = without(name, ('<', '>')).replace("{{closure}}", "{closure}");
    let plain = plain
        .replace("{{vtable.shim}}", "")
        .trim_end_matches("::")
        .to_owned();
    let last = plain.rsplit("::").next().unwrap_or_default();
    let last = if last.starts_with("{closure") {
        "{closure}"
    } else {
        last
    };
    last.to_owned()
}

/// A text without what stands between two brackets, and without those. `->` and operators keep theirs.
fn without(text: &str, (open, close): (char, char)) -> String {
    let mut depth = 0_usize;
    let mut kept = String::new();
    let mut before = ' ';
    for character in text.chars() {
        if character == open && !kept.ends_with("operator") {
            depth += 1;
        } else if character == close && before != '-' && depth > 0 {
            depth -= 1;
        } else if depth == 0 {
            kept.push(character);
        }
        before = character;
    }
    kept
}

#[test]
fn names_are_told_apart_by_their_paths_alone() {
    for (name, path) in [
        ("main", "main"),
        ("service::Guard::~Guard()", "service::Guard::~Guard"),
        (
            "service::Cache<std::string, long>::find(std::string const&)",
            "service::Cache::find",
        ),
        (
            "v8::Object v8::WaitSync<int>(v8::Isolate*) [clone .isra.0]",
            "v8::WaitSync",
        ),
        (
            "v8::(anonymous namespace)::Invoke(v8::Isolate*)",
            "v8::{anonymous}::Invoke",
        ),
        (
            "std::function<long (long)>::operator()(long) const",
            "std::function::operator_call",
        ),
        (
            "std::function<long (long)>::operator()",
            "std::function::operator_call",
        ),
    ] {
        assert_eq!(path_of(name), path, "{name}");
    }
    assert_eq!(path_of("msort_with_tmp.part.0"), "msort_with_tmp");
    assert_eq!(last_of("<release::Store as release::Handler>::handle"), "handle");
    assert_eq!(last_of("std::rt::lang_start::{closure#0}<()>"), "{closure}");
}
