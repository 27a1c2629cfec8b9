//! What a process that still runs is stuck at: locks that nobody will release.

use super::locks::{LockGraph, LockKind};
use super::{Cause, Diagnosis, Finding};

/// Explains why a live process may not go on; none where no lock tells.
pub fn diagnose_stuck(graph: &LockGraph) -> Option<Diagnosis> {
    stuck(graph).map(Finding::into_diagnosis)
}

/// A deadlock, or else the abandoned lock that most threads wait for.
pub(super) fn stuck(graph: &LockGraph) -> Option<Finding> {
    if let Some(first) = graph.deadlocks.first() {
        let more = match graph.deadlocks.len() - 1 {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        return Some(Finding::new(
            Cause::Deadlock,
            format!("deadlock: {}{more}", first.detail),
        ));
    }
    let is_abandoned =
        |lock: &&super::Lock| lock.owner_ended && !lock.waiters.is_empty() && lock.kind != LockKind::Join;
    let lock = graph.locks.iter().find(is_abandoned)?;
    let waiters = match lock.waiters.len() {
        1 => "1 thread waits".to_owned(),
        count => format!("{count} threads wait"),
    };
    let owner = lock.owner.map(|tid| tid.to_string()).unwrap_or_default();
    Some(Finding::new(
        Cause::AbandonedLock,
        format!(
            "{waiters} for the {} at {:#x}, which thread {owner} held when it ended",
            lock.kind.word(),
            lock.address
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::locks::{Deadlock, Lock};
    use super::*;
    use crate::sys::Tid;

    #[test]
    fn deadlocks_come_first_then_abandoned_locks() {
        let mut graph = LockGraph::default();
        assert_eq!(diagnose_stuck(&graph), None);
        graph.locks.push(Lock {
            address: 0x10,
            kind: LockKind::Mutex,
            owner: Some(Tid(7)),
            owner_ended: true,
            readers: 0,
            waiters: vec![Tid(1), Tid(2)],
        });
        let abandoned = diagnose_stuck(&graph).unwrap();
        assert_eq!(
            (abandoned.cause, abandoned.detail.as_str()),
            (
                Cause::AbandonedLock,
                "2 threads wait for the mutex at 0x10, which thread 7 held when it ended"
            )
        );
        let deadlock = Deadlock {
            threads: vec![Tid(1), Tid(2)],
            locks: vec![0, 1],
            detail: "a waits for b".into(),
        };
        graph.deadlocks = vec![deadlock.clone(), deadlock];
        let found = diagnose_stuck(&graph).unwrap();
        assert_eq!(
            (found.cause, found.detail.as_str()),
            (Cause::Deadlock, "deadlock: a waits for b; and 1 more")
        );
    }
}
