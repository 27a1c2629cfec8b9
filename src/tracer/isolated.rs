//! The threads that were taken out of the service's work, for whoever asks.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::config::Action;
use crate::ipc::{FromTracer, IsolatedState, IsolatedThread};
use crate::isolate::inject::Context;
use crate::isolate::watch::waiters_for;
use crate::policy::Walk;
use crate::sys::deadline::Deadline;
use crate::sys::memory::Memory;
use crate::sys::{Pid, Tid};

use super::hold::Held;
use super::{HOLD, Tracer, TracerError};

/// The most threads that are remembered and told of. One message holds them all.
const MAX_TOLD: usize = 24;
/// The most locks and waiters that are told of one.
const MAX_LISTED: usize = 4;
/// How long is looked for who waits for them.
const LONGEST_LOOK: Duration = Duration::from_millis(100);

/// Those that are held no more: parked, or ended.
#[derive(Debug, Default)]
pub(super) struct Isolated(Vec<Known>);

/// One of them.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) thread: IsolatedThread,
    /// Of one that sleeps.
    pub(super) kept: Option<Kept>,
}

/// What it takes to give a thread that sleeps its signal after all, in the context that it was raised in.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) before: Context,
    pub(super) walk: Walk,
    /// The number of its incident, where that is recorded.
    pub(super) number: Option<u64>,
    /// When its fault was seen.
    pub(super) since: Instant,
}

impl Isolated {
    /// One more. Of too many, the first that has ended is forgotten, else the first.
    pub(super) fn note(&mut self, thread: IsolatedThread, kept: Option<Kept>) {
        if self.0.len() >= MAX_TOLD {
            let ended = self.0.iter().position(|known| !is_there(&known.thread));
            self.0.remove(ended.unwrap_or(0));
        }
        self.0.push(Known { thread, kept });
    }

    /// A process has ended, or runs another program.
    pub(super) fn forget(&mut self, process: Pid) {
        self.0.retain(|known| known.thread.process != process);
    }

    /// The thread that sleeps, if it is one of these.
    pub(super) fn sleeper(&self, tid: Tid) -> Option<&Known> {
        self.0
            .iter()
            .rev()
            .find(|known| known.thread.tid == tid && is_there(&known.thread))
    }

    /// A thread that slept exits.
    pub(super) fn note_exit(&mut self, tid: Tid) {
        let sleeps = |known: &&mut Known| known.thread.tid == tid && is_there(&known.thread);
        if let Some(known) = self.0.iter_mut().rev().find(sleeps) {
            known.thread.action = Action::Exit;
            known.kept = None;
        }
    }

    /// A thread that slept does no more.
    pub(super) fn forget_sleeper(&mut self, tid: Tid) {
        self.0
            .retain(|known| known.thread.tid != tid || !is_there(&known.thread));
    }

    fn list(&self) -> impl Iterator<Item = IsolatedThread> {
        self.0.iter().map(|known| known.thread.clone()).map(|mut thread| {
            if !is_there(&thread) {
                thread.state = IsolatedState::Ended;
            }
            thread
        })
    }
}

/// Whether the thread still exists: another may have its id once it has ended, and only one that sleeps stays.
fn is_there(thread: &IsolatedThread) -> bool {
    let IsolatedThread { process, tid, .. } = thread;
    let stays = match thread.action {
        Action::Park => true,
        Action::Drain => *tid == process.leader(),
        _ => false,
    };
    stays && Path::new(&format!("/proc/{process}/task/{tid}")).exists()
}

impl Tracer {
    /// Tells of every thread that is held, was parked or has ended, and who waits for it now.
    pub(super) fn tell_isolated(&mut self) -> Result<(), TracerError> {
        let _look = Deadline::after(HOLD);
        let held = self.held.iter().map(Held::as_it_is);
        let mut threads: Vec<IsolatedThread> = held.chain(self.isolated.list()).collect();
        threads.truncate(MAX_TOLD);
        find_waiters(&mut threads);
        for thread in &mut threads {
            shorten(&mut thread.locks);
            shorten(&mut thread.waiters);
        }
        self.say(FromTracer::Isolated(threads))
    }
}

/// Looks who waits for the threads that have not ended: at each sibling once, and not for long, since the service waits.
fn find_waiters(threads: &mut [IsolatedThread]) {
    let began = Instant::now();
    let there = |thread: &&mut IsolatedThread| thread.state != IsolatedState::Ended;
    let mut owners: BTreeMap<Pid, Vec<Tid>> = BTreeMap::new();
    for thread in threads.iter_mut().filter(there) {
        owners.entry(thread.process).or_default().push(thread.tid);
    }
    for (process, owners) in owners {
        let left = LONGEST_LOOK.saturating_sub(began.elapsed());
        for (owner, waiter) in waiters_for(process, &owners, &Memory::of(owners[0]), left) {
            let owner = threads
                .iter_mut()
                .filter(there)
                .find(|thread| thread.tid == owner);
            if let Some(owner) = owner {
                owner.waiters.push(waiter.to_string());
            }
        }
    }
}

fn shorten(lines: &mut Vec<String>) {
    let more = lines.len().saturating_sub(MAX_LISTED);
    if more > 0 {
        lines.truncate(MAX_LISTED);
        lines.push(format!("and {more} more"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(tid: i32, action: Action) -> IsolatedThread {
        let process = Pid(std::process::id() as i32);
        IsolatedThread::sample(process, Tid(tid), IsolatedState::Parked, action)
    }

    #[test]
    fn what_sleeps_is_told_and_what_ended_is_forgotten_first() {
        let own = std::process::id() as i32;
        let mut isolated = Isolated::default();
        isolated.note(thread(own, Action::Park), None);
        isolated.note(thread(own, Action::Exit), None);
        let states: Vec<IsolatedState> = isolated.list().map(|thread| thread.state).collect();
        assert_eq!(states, [IsolatedState::Parked, IsolatedState::Ended]);
        for _ in 0..MAX_TOLD {
            isolated.note(thread(own, Action::Unwind), None);
        }
        assert_eq!(isolated.0.len(), MAX_TOLD);
        assert_eq!(isolated.0[0].thread.action, Action::Park);
        isolated.forget(Pid(own));
        assert_eq!(isolated.list().count(), 0);
    }

    #[test]
    fn a_long_list_says_that_it_goes_on() {
        let mut lines = vec!["x".to_owned(); MAX_LISTED + 2];
        shorten(&mut lines);
        assert_eq!(lines.last().unwrap(), "and 2 more");
    }
}
