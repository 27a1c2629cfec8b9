//! The locks of a report, and which of them a thread waits for.

use super::bound::bounded;
use crate::diagnose::{Deadlock, InCall, LockGraph};
use crate::report::model::{self, Lock, Waiting};
use crate::sys::Tid;

/// Locks that a report lists.
const MAX_LOCKS: usize = 4096;
/// Deadlocks that a report lists.
const MAX_DEADLOCKS: usize = 64;

pub(super) fn describe(graph: &LockGraph, mut miss: impl FnMut(String, String)) -> Vec<Lock> {
    let lock = |lock: &crate::diagnose::Lock| Lock {
        address: lock.address.into(),
        kind: Some(lock.kind.as_str().to_owned()),
        owner_tid: lock.owner,
        owner_ended: lock.owner_ended,
        readers: (lock.readers > 0).then_some(lock.readers),
        waiters: lock.waiters.clone(),
    };
    let listed = bounded(graph.locks.iter(), MAX_LOCKS, |_| 0).told("locks", &mut miss);
    listed.into_iter().map(lock).collect()
}

pub(super) fn deadlocks(graph: &LockGraph, mut miss: impl FnMut(String, String)) -> Vec<model::Deadlock> {
    let deadlock = |deadlock: &Deadlock| model::Deadlock {
        threads: deadlock.threads.clone(),
        detail: Some(deadlock.detail.clone()),
    };
    let all = graph.deadlocks.iter();
    let listed = bounded(all, MAX_DEADLOCKS, |deadlock| deadlock.detail.len()).told("deadlocks", &mut miss);
    listed.into_iter().map(deadlock).collect()
}

/// What a thread in a system call waits for.
pub(super) fn waiting(graph: &LockGraph, tid: Tid, call: &InCall) -> Waiting {
    match graph.waited_for(tid) {
        Some(lock) => Waiting {
            kind: Some(lock.kind.word().to_owned()),
            address: Some(lock.address.into()),
            owner_tid: lock.owner,
        },
        None => Waiting {
            kind: call.waits_for().map(str::to_owned),
            ..Waiting::default()
        },
    }
}
