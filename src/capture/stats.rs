//! The `stat` lines of threads: what they are called, how they are, how much time they took (proc_pid_stat(5)).
//!
//! No stop is needed for it, so it is read on another CPU while the threads are being stopped: 10 us each.

use std::ops::Range;

use fnv::FnvHashMap;

use crate::sys::tasks::Tasks;
use crate::sys::{Pid, Tid};

use super::aside::Aside;
use super::{Blob, Capture};

/// The lines of some threads.
#[derive(Debug, Default)]
pub(super) struct Stats {
    text: Vec<u8>,
    lines: FnvHashMap<Tid, Range<usize>>,
}

impl Stats {
    /// Begins to read the lines of these threads.
    pub(super) fn begin(process: Pid, threads: Vec<Tid>) -> Aside<Self> {
        Aside::begin(move || Self::read(process, &threads))
    }

    /// Reads the lines of these threads. One that is gone has none.
    fn read(process: Pid, threads: &[Tid]) -> Self {
        let mut stats = Self::default();
        let Ok(tasks) = Tasks::open(process) else {
            return stats;
        };
        for tid in threads {
            let start = stats.text.len();
            if tasks.line(*tid, "stat", &mut stats.text).is_ok() {
                stats.lines.insert(*tid, start..stats.text.len());
            }
        }
        stats
    }

    fn of(&self, tid: Tid) -> Option<&[u8]> {
        self.text.get(self.lines.get(&tid)?.clone())
    }
}

impl Capture {
    /// Adds names, states and times of the threads: those that were read before, and those of whoever was born since.
    pub(super) fn copy_stats(&mut self, process: Pid, before: Option<Aside<Stats>>) {
        let before = before.map(Aside::finish).unwrap_or_default();
        let tasks = Tasks::open(process).ok();
        for place in 0..self.facts.threads.len() {
            let tid = self.facts.threads[place].tid;
            let stat = match before.of(tid) {
                Some(line) => Some(self.keep(line)),
                None => tasks
                    .as_ref()
                    .and_then(|tasks| self.copy_line(tasks, tid, "stat")),
            };
            let name = stat.and_then(|blob| name_in_stat(self.get(blob)));
            let thread = &mut self.facts.threads[place];
            (thread.stat, thread.name) = (stat, name);
        }
    }

    /// Copies a file of a thread that is a line; None if it is gone.
    pub(super) fn copy_line(&mut self, tasks: &Tasks, tid: Tid, file: &str) -> Option<Blob> {
        let offset = self.bytes.len() as u64;
        let len = tasks.line(tid, file, &mut self.bytes).ok()? as u64;
        Some(Blob { offset, len })
    }
}

/// The name between the outermost parentheses of a stat line.
pub(super) fn name_in_stat(stat: &[u8]) -> Option<String> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    Some(String::from_utf8_lossy(stat.get(open + 1..close)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::ThreadFacts;

    #[test]
    fn a_name_may_hold_parentheses_and_spaces() {
        assert_eq!(name_in_stat(b"7 (a) (b c) S 1 2"), Some("a) (b c".into()));
        assert_eq!(name_in_stat(b"7 ("), None);
        assert_eq!(name_in_stat(b")("), None);
    }

    #[test]
    fn a_thread_that_was_not_read_before_is_read_now() {
        let process = Pid(std::process::id() as i32);
        let own = Tid(nix::unistd::gettid().as_raw());
        let before = Stats::begin(process, vec![process.leader(), Tid(i32::MAX)]);
        let mut capture = Capture::default();
        for tid in [process.leader(), own, Tid(i32::MAX)] {
            capture.facts.threads.push(ThreadFacts::new(tid));
        }
        capture.copy_stats(process, Some(before));
        let named: Vec<bool> = capture
            .facts
            .threads
            .iter()
            .map(|thread| thread.name.is_some())
            .collect();
        assert_eq!(named, [true, true, false]);
    }
}
