//! The service's last log lines, for its reports.
//!
//! A process of its own collects them while the crashed one still exists, or just after: it needs rights that a recorder
//! gives up, and may be ended when a disk or a journal is too slow. What it could not read is said in a note.
//!
//! | file | subject |
//! |---|---|
//! | [`journal`] | lines of a unit and of a process in the journal |
//! | [`files`] | the ends of log files, rotated ones included |
//! | `open` | which files are read, whoever else may write where they are |
//! | [`role`] | the process: what is wanted in, lines out |
//!
//! A line is data, however it looks: it is never split by what it says, never matched by a name that the service
//! chose, and escaped by whoever shows it.

pub mod files;
pub mod journal;
mod open;
pub mod role;

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::report::model::LogLine;
use crate::sys::Pid;

/// The most lines of one report.
pub const MAX_LINES: usize = 500;
/// The most bytes of one line; the rest of it is cut off.
pub const MAX_LINE: usize = 16 << 10;
/// The most bytes of all lines of one report.
pub const MAX_BYTES: usize = 1 << 20;

/// Which lines a report should have.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Wanted {
    /// Those of the journal, if any.
    pub journal: Option<OfProcess>,
    /// Patterns of files, absolute.
    pub files: Vec<String>,
    /// Whether what the program has for stderr, passed beside this, is a log as well.
    pub stderr: bool,
}

/// Whose lines of the journal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OfProcess {
    /// The process.
    pub pid: Pid,
    /// When it started, microseconds since 1970 UTC; earlier lines under its id are another's.
    pub since_us: Option<u64>,
    /// Its unit.
    pub unit: Option<String>,
    /// The run of the unit.
    pub invocation_id: Option<String>,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Collected {
    /// The lines of each source, oldest first.
    pub lines: Vec<LogLine>,
    /// What could not be read, or was not there.
    pub notes: Vec<String>,
}

impl Wanted {
    /// Whether nothing is wanted.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Collects everything that is wanted, within the bounds of one report. `stderr` is the descriptor that is meant.
    pub fn collect(&self, stderr: Option<&OwnedFd>) -> Collected {
        let mut sources = Vec::new();
        let mut notes = Vec::new();
        if let Some(wanted) = &self.journal {
            match journal::tail(wanted) {
                Ok(tail) => {
                    notes.extend(tail.note);
                    sources.push(tail.lines);
                }
                Err(reason) => notes.push(format!("the journal: {reason}")),
            }
        }
        if let Some(stderr) = stderr.filter(|_| self.stderr) {
            sources.extend(files::tail_of_descriptor(stderr, "stderr", &mut notes));
        }
        for pattern in &self.files {
            sources.extend(files::tails(pattern, &mut notes));
        }
        Collected {
            lines: shared_out(sources),
            notes,
        }
    }
}

impl Collected {
    /// The note of a report; none where all is well.
    pub fn note(&self) -> Option<String> {
        (!self.notes.is_empty()).then(|| self.notes.join("; "))
    }
}

/// The last lines of each source, so that all together fit a report and none takes another's share.
fn shared_out(sources: Vec<Vec<LogLine>>) -> Vec<LogLine> {
    let mut waiting: Vec<Vec<LogLine>> = sources;
    let (mut lines, mut bytes) = (MAX_LINES, MAX_BYTES);
    // The shortest first: what it leaves over is the others'.
    let mut order: Vec<usize> = (0..waiting.len()).collect();
    order.sort_by_key(|place| waiting.get(*place).map_or(0, Vec::len));
    for (done, place) in order.iter().enumerate() {
        let left = (order.len() - done).max(1);
        let Some(source) = waiting.get_mut(*place) else {
            continue;
        };
        let kept = fitting(source, lines / left, bytes / left);
        source.drain(..source.len() - kept);
        lines -= source.len();
        bytes -= source.iter().map(|line| line.text.len()).sum::<usize>();
    }
    waiting.into_iter().flatten().collect()
}

/// How many of the last lines fit both bounds.
fn fitting(lines: &[LogLine], count: usize, mut bytes: usize) -> usize {
    let fits = |line: &&LogLine| match bytes.checked_sub(line.text.len()) {
        Some(rest) => {
            bytes = rest;
            true
        }
        None => false,
    };
    lines.iter().rev().take(count).take_while(fits).count()
}

/// The text of a line, cut to its bound. Bytes that are no UTF-8 are replaced.
fn text(bytes: &[u8]) -> String {
    let kept = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let mut text = String::from_utf8_lossy(kept).into_owned();
    if kept.len() < bytes.len() {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(source: &str, count: usize, size: usize) -> Vec<LogLine> {
        let line = |number: usize| LogLine {
            source: Some(source.to_owned()),
            text: format!("{number:size$}"),
            ..LogLine::default()
        };
        (0..count).map(line).collect()
    }

    fn counts(lines: &[LogLine]) -> (usize, usize) {
        let of = |source: &str| {
            lines
                .iter()
                .filter(|line| line.source.as_deref() == Some(source))
                .count()
        };
        (of("a"), of("b"))
    }

    #[test]
    fn no_source_takes_anothers_share() {
        let shared = shared_out(vec![lines("a", 9000, 1), lines("b", 9000, 1)]);
        assert_eq!(counts(&shared), (MAX_LINES / 2, MAX_LINES / 2));
        let shared = shared_out(vec![lines("a", 9000, 1), lines("b", 3, 1)]);
        assert_eq!(counts(&shared), (MAX_LINES - 3, 3));
        assert_eq!(shared[0].text, format!("{}", 9000 - (MAX_LINES - 3)));
        assert_eq!(shared.last().unwrap().text, "2");
    }

    #[test]
    fn long_lines_are_bounded_by_bytes() {
        let shared = shared_out(vec![lines("a", 300, MAX_LINE)]);
        assert_eq!(counts(&shared), (MAX_BYTES / MAX_LINE, 0));
        assert!(text(&[b'x'; MAX_LINE + 1]).ends_with("x..."));
        assert_eq!(text(b"a\xffb"), "a\u{fffd}b");
    }
}
