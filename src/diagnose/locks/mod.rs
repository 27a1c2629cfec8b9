//! Who waits for whom: the locks that threads wait for or hold, as a graph, and the circles in it.
//!
//! A thread in futex(2) says which word it waits on; whose lock that is, and who holds it, is written around it by the C
//! library. [`recognise`] reads that, with checks: any word of memory may look like part of a lock, so a lock is only what
//! is plausible in every field. What is not recognised stays a `futex` without an owner.
//!
//! | file | subject |
//! |---|---|
//! | [`recognise`] | what the locks of glibc look like |
//! | `memory` | the captured bytes around locks |
//! | `threads` | threads by the ids that locks hold |
//! | `deadlock` | circles, and the sentence about one |

mod deadlock;

mod memory;
mod recognise;
mod threads;

use std::collections::{BTreeMap, HashMap};

use super::InCall;
use crate::capture::{Capture, Purpose};
use crate::sys::Tid;
use memory::LockMemory;
use recognise::Found;
use threads::Threads;

pub use deadlock::Deadlock;

/// Locks that a graph has at most, those with most waiters first.
const MAX_LOCKS: usize = 4096;

/// What a lock is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LockKind {
    /// `pthread_mutex_t`.
    Mutex,
    /// The same, robust: the kernel marks it when its owner ends.
    RobustMutex,
    /// The same, with priority inheritance.
    PriorityMutex,
    /// `pthread_rwlock_t`.
    ReadWriteLock,
    /// `pthread_cond_t`.
    Condition,
    /// `sem_t`.
    Semaphore,
    /// The lock of a `FILE`.
    Stdio,
    /// The end of a thread, for pthread_join(3).
    Join,
    /// A word that is none of these.
    Futex,
}

/// A lock, who holds it and who waits for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lock {
    /// Where it begins. Of a thread's end: the word that holds its id.
    pub address: u64,
    /// What it is.
    pub kind: LockKind,
    /// Who holds it; of a thread's end, that thread.
    pub owner: Option<Tid>,
    /// Whether that thread does not exist any more, so that nobody will release the lock.
    pub owner_ended: bool,
    /// How many hold it for reading.
    pub readers: u32,
    /// Who waits for it, in the order of the threads.
    pub waiters: Vec<Tid>,
}

/// The locks of a process.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LockGraph {
    /// Those that are held or waited for, those with most waiters first.
    pub locks: Vec<Lock>,
    /// Which of them each thread waits for.
    pub waits: HashMap<Tid, usize>,
    /// Threads that wait for each other in a circle.
    pub deadlocks: Vec<Deadlock>,
}

impl LockKind {
    /// The name in `locks[].kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mutex => "pthread_mutex",
            Self::RobustMutex => "pthread_mutex_robust",
            Self::PriorityMutex => "pthread_mutex_pi",
            Self::ReadWriteLock => "pthread_rwlock",
            Self::Condition => "pthread_cond",
            Self::Semaphore => "sem",
            Self::Stdio => "stdio",
            Self::Join => "pthread_join",
            Self::Futex => "futex",
        }
    }

    /// What a thread waits for, in one word: `threads[].waiting.kind`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mutex | Self::RobustMutex | Self::PriorityMutex => "mutex",
            Self::ReadWriteLock => "rwlock",
            Self::Condition => "condition",
            Self::Semaphore => "semaphore",
            Self::Stdio => "stdio lock",
            Self::Join => "thread",
            Self::Futex => "futex",
        }
    }
}

impl LockGraph {
    /// Builds the graph of what was captured.
    pub fn of(capture: &Capture) -> Self {
        let memory = LockMemory::of(capture);
        let threads = Threads::of(capture);
        let waiting = waiting(capture);
        let mut locks: BTreeMap<u64, Lock> = BTreeMap::new();
        for (word, waiters) in &waiting {
            let found = recognise::waited(&memory, &threads, *word, waiters.len());
            let found = found.unwrap_or(Found::unknown(*word));
            let lock = locks.entry(found.address).or_insert_with(|| found.into_lock());
            lock.waiters.extend(waiters);
        }
        let candidates = capture
            .facts
            .memory
            .iter()
            .filter_map(|range| match range.purpose {
                Purpose::Lock(address) if !waiting.contains_key(&address) => Some(address),
                _ => None,
            });
        for address in candidates {
            if let Some(found) = recognise::held(&memory, &threads, address) {
                locks.entry(found.address).or_insert_with(|| found.into_lock());
            }
        }
        let mut locks: Vec<Lock> = locks.into_values().collect();
        locks.sort_by_key(|lock| (std::cmp::Reverse(lock.waiters.len()), lock.address));
        locks.truncate(MAX_LOCKS);
        let mut waits = HashMap::new();
        for (place, lock) in locks.iter_mut().enumerate() {
            lock.waiters.sort_unstable();
            waits.extend(lock.waiters.iter().map(|tid| (*tid, place)));
        }
        let deadlocks = deadlock::find(capture, &locks, &waits);
        Self {
            locks,
            waits,
            deadlocks,
        }
    }

    /// The lock that a thread waits for.
    pub fn waited_for(&self, tid: Tid) -> Option<&Lock> {
        self.locks.get(*self.waits.get(&tid)?)
    }
}

/// The words that threads wait on, with the threads.
fn waiting(capture: &Capture) -> BTreeMap<u64, Vec<Tid>> {
    let mut waiting: BTreeMap<u64, Vec<Tid>> = BTreeMap::new();
    for thread in &capture.facts.threads {
        if let Some(word) = InCall::of(capture, thread).and_then(|call| call.futex()) {
            waiting.entry(word).or_default().push(thread.tid);
        }
    }
    waiting
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests;
