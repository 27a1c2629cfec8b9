//! What is wrong in a configuration file, and exactly where.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// One thing that is wrong in a file. Displayed as `FILE:LINE:COLUMN: error: MESSAGE; HINT`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// The file as it was named.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The character within the line, from 1.
    pub column: usize,
    /// Whether the file can be used all the same.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether it is a key that nobody knows: whoever must go on can leave it out.
    #[serde(skip)]
    pub unknown_key: bool,
}

/// How bad a problem is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but does not do all that it says.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            severity,
            message,
            hint,
            ..
        } = self;
        write!(f, "{}:{line}:{column}: {severity}: {message}", file.display())?;
        hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// The byte offsets at which the lines of a text begin.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after_breaks).collect(),
        }
    }

    /// Line and column, both from 1, of a byte offset.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or("");
        (line, before.chars().count() + 1)
    }
}

/// The candidate that `word` was probably meant to be.
pub(crate) fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    /// Past this many edits two words are different words.
    const MAX_EDITS: usize = 3;
    let wanted = word.to_lowercase();
    let allowed = (wanted.chars().count() / 3).clamp(1, MAX_EDITS);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let lines = Lines::new("a = 1\n\u{e4}\u{e4} = 2\n");
        assert_eq!(lines.position(0), (1, 1));
        assert_eq!(lines.position(4), (1, 5));
        assert_eq!(lines.position(6), (2, 1));
        assert_eq!(lines.position(11), (2, 4));
        assert_eq!(lines.position(99), (3, 1));
        assert_eq!(Lines::new("").position(0), (1, 1));
    }

    #[test]
    fn suggestions_are_near_or_absent() {
        assert_eq!(closest("on_falut", ["name", "on_fault"]), Some("on_fault"));
        assert_eq!(closest("SIGSEV", ["SIGSYS", "SIGSEGV"]), Some("SIGSEGV"));
        assert_eq!(closest("sigsegv", ["SIGSEGV"]), Some("SIGSEGV"));
        assert_eq!(closest("colour", ["name", "pid"]), None);
    }
}
