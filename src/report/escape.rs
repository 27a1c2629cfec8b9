//! Makes text that a process chose harmless on a terminal and in a line-based file.
//!
//! Thread names, arguments, paths, symbols and log lines are whatever the program, or whoever feeds it, likes them
//! to be. Shown as they are, they could move the cursor, rewrite the clipboard, reorder a line (Unicode
//! bidirectional overrides) or pretend to be lines of the report. What is escaped stays readable and is not meant
//! to be reversed: `report.json` has the original.

use std::fmt::{self, Write};

/// The longest line that is shown, in characters of the original; what is behind it is counted.
pub const MAX_LINE: usize = 4096;

/// Shows text as one line without control characters or invisible formatting, at most [`MAX_LINE`] characters of it.
pub fn escaped(text: &str) -> Escaped<'_> {
    Escaped { text }
}

/// Rewrites a JSON document so that no character in it acts on a terminal; it means the same to every reader.
///
/// JSON itself already keeps C0 controls out of strings, and outside of strings there is nothing but ASCII.
pub fn json_escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character == '\x7f' || is_deceptive(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// What [`escaped`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a> {
    text: &'a str,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.text.chars();
        for character in rest.by_ref().take(MAX_LINE) {
            match character {
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\0'..='\x1f' | '\x7f' => write!(f, "\\x{:02x}", u32::from(character))?,
                other if is_deceptive(other) => write!(f, "\\u{{{:x}}}", u32::from(other))?,
                other => f.write_char(other)?,
            }
        }
        match rest.count() {
            0 => Ok(()),
            left => write!(f, "... ({left} more characters)"),
        }
    }
}

/// Characters beyond ASCII that act on the terminal or on their neighbours instead of being seen.
fn is_deceptive(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{9f}'         // C1 controls: CSI and OSC in one byte
        | '\u{ad}'                  // soft hyphen
        | '\u{61c}'                 // Arabic letter mark
        | '\u{180e}'                // Mongolian vowel separator
        | '\u{200b}'..='\u{200f}'   // zero width, left-to-right and right-to-left marks
        | '\u{2028}'..='\u{202e}'   // line and paragraph separators, embeddings and overrides
        | '\u{2060}'..='\u{206f}'   // word joiner, isolates, deprecated formatting
        | '\u{feff}'                // byte order mark
        | '\u{fff9}'..='\u{fffb}'   // interlinear annotation
        | '\u{e0000}'..='\u{e007f}' // tags
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_harmless(character: char) -> bool {
        !character.is_control() && !is_deceptive(character)
    }

    proptest! {
        #[test]
        fn nothing_harmful_passes(text: String) {
            prop_assert!(escaped(&text).to_string().chars().all(is_harmless));
        }

        #[test]
        fn nothing_harmful_passes_where_it_is_dense(
            characters in prop::collection::vec(
                prop_oneof![0u32..0xa0, 0x2000u32..0x2070, 0xfff0u32..0xffff, 0xe0000u32..0xe0080], 0..64)
        ) {
            let text: String = characters.into_iter().filter_map(char::from_u32).collect();
            prop_assert!(escaped(&text).to_string().chars().all(is_harmless));
        }

        #[test]
        fn ordinary_text_passes_unchanged(text in "[ -~äöüßжλ中]{0,200}") {
            prop_assert_eq!(escaped(&text).to_string(), text);
        }
    }

    #[test]
    fn terminal_sequences_become_visible() {
        assert_eq!(escaped("\x1b]52;c;cm0=\x07").to_string(), r"\x1b]52;c;cm0=\x07");
        assert_eq!(escaped("\u{9b}31mred").to_string(), r"\u{9b}31mred");
        assert_eq!(escaped("a\nb\r\tc\x7f").to_string(), r"a\nb\r\tc\x7f");
        assert_eq!(escaped("user\u{202e}gpj.exe").to_string(), r"user\u{202e}gpj.exe");
    }

    #[test]
    fn long_text_is_cut_and_counted() {
        let text = "é".repeat(MAX_LINE + 3);
        let shown = escaped(&text).to_string();
        assert!(shown.ends_with("é... (3 more characters)"), "{shown}");
        assert_eq!(escaped(&"x".repeat(MAX_LINE)).to_string().len(), MAX_LINE);
    }
}
