//! Threads that wait for each other in a circle.
//!
//! Each thread waits for one lock at most, and each lock has one owner at most, so a walk from any thread ends or comes
//! round. Only threads that were stopped count: the others were looked at one after the other, and may have gone on in
//! between.

use std::collections::{HashMap, HashSet};

use super::super::InCall;
use super::{Lock, LockKind};
use crate::capture::{Capture, ThreadFacts};
use crate::sys::Tid;

/// Threads that a sentence names.
const MAX_NAMED: usize = 8;

/// Threads of which each waits for the next, and the last for the first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deadlock {
    /// The threads, beginning with the lowest id.
    pub threads: Vec<Tid>,
    /// Places of the locks that they wait for, in the same order.
    pub locks: Vec<usize>,
    /// The sentence: "worker-3 (4714) waits for the mutex at 0x... held by worker-7 (4718), which waits for the mutex at
    /// 0x... held by worker-3". It quotes the names of threads: escape it before it reaches a terminal.
    pub detail: String,
}

/// Finds every circle.
pub(super) fn find(capture: &Capture, locks: &[Lock], waits: &HashMap<Tid, usize>) -> Vec<Deadlock> {
    let facts: HashMap<Tid, &ThreadFacts> = capture
        .facts
        .threads
        .iter()
        .filter(|thread| thread.general.is_some())
        .map(|thread| (thread.tid, thread))
        .collect();
    let next = |tid: Tid| -> Option<Tid> {
        let owner = locks.get(*waits.get(&tid)?)?.owner?;
        facts.contains_key(&owner).then_some(owner)
    };
    let mut seen = HashSet::new();
    let mut deadlocks = Vec::new();
    let mut starts: Vec<Tid> = facts.keys().copied().collect();
    starts.sort_unstable();
    for start in starts {
        let mut path = Vec::new();
        let mut at = Some(start);
        while let Some(tid) = at.filter(|tid| seen.insert(*tid)) {
            path.push(tid);
            at = next(tid);
        }
        // The walk ended at a thread that was seen: it came round if that one is on this walk.
        let circle = at.and_then(|tid| path.iter().position(|other| *other == tid));
        if let Some(first) = circle {
            let mut threads = path.split_off(first);
            let lowest = threads.iter().min().copied();
            let begin = threads.iter().position(|tid| Some(*tid) == lowest);
            threads.rotate_left(begin.unwrap_or(0));
            deadlocks.push(describe(capture, locks, waits, &facts, threads));
        }
    }
    deadlocks
}

fn describe(
    capture: &Capture,
    locks: &[Lock],
    waits: &HashMap<Tid, usize>,
    facts: &HashMap<Tid, &ThreadFacts>,
    threads: Vec<Tid>,
) -> Deadlock {
    let places: Vec<usize> = threads.iter().filter_map(|tid| waits.get(tid).copied()).collect();
    let name = |tid: &Tid| facts.get(tid).and_then(|thread| thread.name.clone());
    let full = |tid: &Tid| match name(tid) {
        Some(name) => format!("{name} ({tid})"),
        None => format!("thread {tid}"),
    };
    let short = |tid: &Tid| name(tid).unwrap_or_else(|| format!("thread {tid}"));
    let mut detail = threads.first().map(&full).unwrap_or_default();
    let others = threads.iter().skip(1).chain(threads.first());
    for (place, (waiter, owner)) in threads.iter().zip(others).enumerate() {
        let comes_round = place + 1 == threads.len();
        let lock = places.get(place).and_then(|place| locks.get(*place));
        let is_timed = facts
            .get(waiter)
            .and_then(|thread| InCall::of(capture, thread))
            .is_some_and(|call| call.is_timed());
        let time_limit = if is_timed { " (with a time limit)" } else { "" };
        let owner = match (comes_round, threads.len()) {
            (true, 1) => "itself".to_owned(),
            (true, _) => short(owner),
            (false, _) => full(owner),
        };
        if place >= MAX_NAMED && !comes_round {
            continue;
        }
        let which = match place {
            0 => " waits",
            MAX_NAMED.. => ", and so on; the last waits",
            _ => ", which waits",
        };
        detail += &format!("{which}{time_limit} {}", object(lock, &owner));
    }
    if threads.len() > MAX_NAMED {
        detail += &format!(" ({} threads in all)", threads.len());
    }
    Deadlock {
        threads,
        locks: places,
        detail,
    }
}

/// "for the mutex at 0x... held by worker-7", "for worker-7 to end".
fn object(lock: Option<&Lock>, owner: &str) -> String {
    match lock {
        Some(lock) if lock.kind == LockKind::Join => format!("for {owner} to end"),
        Some(lock) => format!(
            "for the {} at {:#x} held by {owner}",
            lock.kind.word(),
            lock.address
        ),
        None => format!("for {owner}"),
    }
}
