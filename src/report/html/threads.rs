//! Groups of threads that are alike.

use super::frames::Frames;
use super::text::Text;
use crate::report::model::{Report, Thread};
use crate::report::wording::groups::alike;
use crate::report::wording::thread::{doing, title};

/// Groups that a page has, and threads of one that it names.
const MAX_GROUPS: usize = 1024;
const MAX_NAMES: usize = 512;

/// Threads that do the same at the same place.
pub(super) struct Group {
    pub(super) count: usize,
    /// The title of the first.
    pub(super) title: Text,
    pub(super) doing: Text,
    /// Of all of them, where there is more than one.
    pub(super) names: Vec<Text>,
    pub(super) more_names: usize,
    pub(super) class: &'static str,
    pub(super) frames: Frames,
}

/// All threads but the faulting one.
pub(super) struct Threads {
    pub(super) count: usize,
    pub(super) groups: Vec<Group>,
    pub(super) more: usize,
}

impl Threads {
    pub(super) fn of(report: &Report) -> Self {
        let faulting = report.faulting_thread().map(|thread| thread.tid);
        let others: Vec<&Thread> = report
            .threads
            .iter()
            .filter(|thread| Some(thread.tid) != faulting)
            .collect();
        let groups = alike(report, &others);
        Self {
            count: others.len(),
            more: groups.len().saturating_sub(MAX_GROUPS),
            groups: groups
                .iter()
                .take(MAX_GROUPS)
                .filter_map(|group| Group::of(report, group))
                .collect(),
        }
    }
}

impl Group {
    fn of(report: &Report, threads: &[&Thread]) -> Option<Self> {
        let first = threads.first()?;
        let named = if threads.len() > 1 { MAX_NAMES } else { 0 };
        Some(Self {
            count: threads.len(),
            title: title(first).into(),
            doing: doing(report, first).into(),
            names: threads
                .iter()
                .take(named)
                .map(|thread| title(thread).into())
                .collect(),
            more_names: threads.len().saturating_sub(MAX_NAMES),
            class: class(report, first),
            frames: Frames::of(report, first),
        })
    }
}

/// How a thread is doing, for its colour.
fn class(report: &Report, thread: &Thread) -> &'static str {
    let mut deadlocks = report.deadlocks.iter();
    if deadlocks.any(|deadlock| deadlock.threads.contains(&thread.tid)) {
        return "stuck";
    }
    match (thread.waiting.owner_tid, thread.state.as_deref()) {
        (Some(_), _) => "blocked",
        (None, Some("R")) => "running",
        (None, Some("D")) => "blocked",
        _ => "idle",
    }
}
