//! What speaks against acting on a thread, beyond what its stack tells ([`super::examining`]).

use crate::capture::Capture;
use crate::config::Action;
use crate::diagnose::{Cause, Diagnosis, Lock, LockGraph, LockKind};
use crate::policy::{Danger, Site};
use crate::sys::{Pid, Tid, process};

use super::telling::Place;

/// What may be done with a thread that holds a lock which stays locked when it ends: what lets it release the lock
/// itself, and what is taken back as soon as somebody waits.
const WITH_LOCK: &[Action] = &[Action::Throw, Action::Unwind, Action::Skip, Action::Hold];
/// The same, of a lock that the kernel hands on when the thread ends.
const WITH_LOCK_HANDED_ON: &[Action] = &[
    Action::Throw,
    Action::Unwind,
    Action::Skip,
    Action::Hold,
    Action::Exit,
];

/// A cause that tells of memory that is no longer what it should be: nothing that runs on it can be trusted.
pub(super) fn corruption(diagnosis: &Diagnosis) -> Option<Danger> {
    let corrupt = matches!(
        diagnosis.cause,
        Cause::HeapCorruption
            | Cause::StackSmashing
            | Cause::JumpToUnmapped
            | Cause::ExecuteNonExecutable
            | Cause::NonCanonical
    );
    corrupt.then(|| Danger {
        what: format!("memory is likely corrupt ({})", diagnosis.cause.as_str()),
        allows: &[],
    })
}

/// Memory that is another process's too: what is done to it there is done to both.
pub(super) fn shared_memory(process: Pid, parent: Pid) -> Option<Danger> {
    let shared = process::share_memory(process, parent)?;
    shared.then(|| Danger {
        what: format!("it shares its memory with its parent, pid {parent} (vfork)"),
        allows: &[],
    })
}

/// The locks in a copy that the thread holds, one danger each.
pub(super) fn locks(capture: &Capture, tid: Tid) -> Vec<Danger> {
    let graph = LockGraph::of(capture);
    let held = graph.locks.iter().filter(|lock| lock.owner == Some(tid));
    held.filter_map(danger_of).collect()
}

/// Whether that lock stays locked when its thread ends.
pub(super) fn stays_locked(lock: &Danger) -> bool {
    !lock.allows.contains(&Action::Exit)
}

fn danger_of(lock: &Lock) -> Option<Danger> {
    let (name, allows) = match lock.kind {
        LockKind::Mutex => ("mutex", WITH_LOCK),
        LockKind::ReadWriteLock => ("read-write lock", WITH_LOCK),
        LockKind::Stdio => ("lock of a FILE", WITH_LOCK),
        LockKind::RobustMutex => ("robust mutex", WITH_LOCK_HANDED_ON),
        LockKind::PriorityMutex => ("priority-inheriting mutex", WITH_LOCK_HANDED_ON),
        LockKind::Condition | LockKind::Semaphore | LockKind::Join | LockKind::Futex => return None,
    };
    Some(Danger {
        what: format!("it holds the {name} at {:#x}", lock.address),
        allows,
    })
}

/// The place of a fault, for counting how often it is met.
pub(super) fn site(capture: &Capture, place: &Place) -> Site {
    let pc = place.pc.unwrap_or_default();
    let module = capture
        .facts
        .modules
        .iter()
        .find(|module| (module.low..module.high).contains(&pc));
    match (module, place.offset) {
        (Some(module), Some(offset)) => (module.device, module.inode, offset),
        _ => ((0, 0), 0, pc),
    }
}
