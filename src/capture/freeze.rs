//! Stopping the other threads of a process that is about to die, or whose owner asked for a look.
//!
//! `PTRACE_INTERRUPT` makes some system calls return `EINTR` (ptrace(2), signal(7)), so this is never done to a
//! process that is to go on unnoticed. Every stop is only looked at: threads that are not detached afterwards
//! report it again and are answered on the usual way.
//!
//! A thread in uninterruptible sleep does not stop, the parent of a vfork among them. The wait has a limit, and
//! names those that were left out.

use std::time::{Duration, Instant};

use fnv::FnvHashSet;

use crate::sys::ptrace;
use crate::sys::tasks::Tasks;
use crate::sys::wait::{self, Event, Stop};
use crate::sys::{Pid, Tid};

use super::Missing;

/// How long to wait for a signal between two looks at those that have not stopped.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Threads that were stopped.
#[derive(Debug, Default)]
pub struct Frozen {
    /// Each with the reason it gave; often another than our interrupt.
    pub threads: Vec<(ptrace::Stopped, Stop)>,
    /// Those that could not be stopped.
    pub missing: Vec<Missing>,
}

/// Stops all threads of a process but one. `known` are those that are traced as far as we know; others that
/// were born meanwhile are found.
pub fn freeze(pid: Pid, except: Tid, known: Vec<Tid>, timeout: Duration) -> Frozen {
    let deadline = Instant::now() + timeout;
    let mut frozen = Frozen::default();
    let mut tasks = Tasks::open(pid).ok();
    let mut asked = FnvHashSet::from_iter([except]);
    let mut waited: Vec<Tid> = Vec::new();
    let mut fresh = known;
    loop {
        for tid in fresh {
            if asked.insert(tid) && ptrace::interrupt(tid).is_ok() {
                waited.push(tid);
            }
        }
        waited.retain(|tid| !frozen.take(*tid));
        if waited.is_empty() {
            // Threads that were born or died while we asked. Nobody runs any more who could bear another.
            fresh = tasks
                .as_mut()
                .filter(|tasks| tasks.count() != frozen.threads.len() + 1)
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
            frozen.leave_out(&waited, timeout);
            break;
        }
        wait::next_signal(Some(LOOK_AGAIN));
    }
    frozen
}

impl Frozen {
    /// Looks whether a thread has stopped or ended.
    fn take(&mut self, tid: Tid) -> bool {
        match wait::peek(tid) {
            Some(Event::Stopped(thread, stop)) => {
                self.threads.push((thread, stop));
                true
            }
            Some(Event::Ended(..)) => true,
            None => false,
        }
    }

    fn leave_out(&mut self, waited: &[Tid], timeout: Duration) {
        for tid in waited {
            let reason = format!("it did not stop within {} ms", timeout.as_millis());
            self.missing.push(Missing {
                step: format!("registers of thread {tid}"),
                reason,
            });
        }
    }
}
