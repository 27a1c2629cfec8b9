//! Threads that are alike are told once.

use indexmap::IndexMap;

use super::super::model::{FrameKind, Report, Thread};
use super::thread::doing;

/// Threads that do the same at the same place, those that are most first.
pub(in crate::report) fn alike<'a>(report: &Report, threads: &[&'a Thread]) -> Vec<Vec<&'a Thread>> {
    let mut groups: IndexMap<Alike<'_>, Vec<&'a Thread>> = IndexMap::new();
    for thread in threads {
        groups.entry(Alike::of(report, thread)).or_default().push(thread);
    }
    groups.into_values().collect()
}

/// What two threads must have in common to be told once.
#[derive(PartialEq, Eq, Hash)]
struct Alike<'a> {
    doing: String,
    frames: Vec<(FrameKind, u64)>,
    truncated: Option<&'a str>,
}

impl<'a> Alike<'a> {
    fn of(report: &Report, thread: &'a Thread) -> Self {
        Self {
            doing: doing(report, thread),
            frames: thread
                .frames
                .iter()
                .map(|frame| (frame.kind, frame.pc.0))
                .collect(),
            truncated: thread.truncated.as_deref(),
        }
    }
}
