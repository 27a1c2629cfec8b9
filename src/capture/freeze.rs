//! Stopping the threads of a process that is about to die, or whose owner asked for a look.
//!
//! `PTRACE_INTERRUPT` makes some system calls return `EINTR` (ptrace(2), signal(7)), so this is never done to a
//! process that is to go on unnoticed, unless somebody asks. Then the calls are made to restart in the moment in
//! which their thread is seen to stop: whatever becomes of us afterwards, the program does not notice.
//!
//! Every stop is only looked at: threads that are not detached afterwards report it again and are answered on the
//! usual way.
//!
//! A thread in uninterruptible sleep does not stop, the parent of a vfork among them. The wait has a limit, and
//! names those that were left out.

use std::time::{Duration, Instant};

use fnv::FnvHashSet;

use crate::sys::news;
use crate::sys::ptrace;
use crate::sys::tasks::Tasks;
use crate::sys::wait::{self, Event, Stop};
use crate::sys::{Pid, Tid};

use super::aside::Aside;
use super::stats::Stats;

/// How long to wait for a signal between two looks at those that have not stopped.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What becomes of the process afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prospect {
    /// It dies of the signal of this thread, which is stopped already.
    Dies(Tid),
    /// It goes on, and must not notice.
    GoesOn,
}

/// Threads that were stopped.
#[derive(Debug, Default)]
pub struct Frozen {
    /// Each with the reason it gave; often another than our interrupt.
    pub threads: Vec<(ptrace::Stopped, Stop)>,
    /// Those that could not be stopped in time.
    pub left_out: Vec<Tid>,
    /// What /proc says of those that were known before, read meanwhile.
    pub(super) stats: Option<Aside<Stats>>,
}

/// Stops all threads of a process but one that is stopped already. `known` are those that are traced as far as we
/// know; others that were born meanwhile are found.
pub fn freeze(pid: Pid, prospect: Prospect, known: Vec<Tid>, timeout: Duration) -> Frozen {
    let deadline = Instant::now() + timeout;
    let mut frozen = Frozen {
        stats: Some(Stats::begin(pid, known.clone())),
        ..Frozen::default()
    };
    let mut tasks = Tasks::open(pid).ok();
    let mut asked = match prospect {
        Prospect::Dies(stopped) => FnvHashSet::from_iter([stopped]),
        Prospect::GoesOn => FnvHashSet::default(),
    };
    let stopped_before = asked.len();
    let mut waited: Vec<Tid> = Vec::new();
    let mut fresh = known;
    loop {
        for tid in fresh {
            if asked.insert(tid) && ptrace::interrupt(tid).is_ok() {
                waited.push(tid);
            }
        }
        waited.retain(|tid| !frozen.take(*tid, prospect));
        if waited.is_empty() {
            // Threads that were born or died while we asked. Nobody runs any more who could bear another.
            fresh = tasks
                .as_mut()
                .filter(|tasks| tasks.count() != frozen.threads.len() + stopped_before)
                .and_then(|tasks| tasks.list().ok())
                .unwrap_or_default();
            fresh.retain(|tid| !asked.contains(tid));
            if fresh.is_empty() {
                break;
            }
            continue;
        }
        fresh = Vec::new();
        if Instant::now() >= deadline {
            frozen.left_out = waited;
            break;
        }
        news::await_child(LOOK_AGAIN);
    }
    frozen
}

impl Frozen {
    /// Looks whether a thread has stopped or ended.
    fn take(&mut self, tid: Tid, prospect: Prospect) -> bool {
        match wait::peek(tid) {
            Some(Event::Stopped(thread, stop)) => {
                if prospect == Prospect::GoesOn && stop == Stop::Trap {
                    thread.restart_interrupted_call();
                }
                self.threads.push((thread, stop));
                true
            }
            Some(Event::Ended(..)) => true,
            None => false,
        }
    }
}
