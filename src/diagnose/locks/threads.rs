//! Threads by what locks know of them: the id in their own pid namespace, and where their control block is.

use std::collections::HashMap;

use crate::capture::Capture;
use crate::sys::Tid;

/// How far behind the thread pointer a thread's control block (`struct pthread`) reaches; 2,304 bytes in glibc 2.36.
const CONTROL_BLOCK: u64 = 4096;
/// The largest id that a thread can have (`PID_MAX_LIMIT`).
const MAX_ID: u32 = 1 << 22;

/// The threads of a capture.
pub(super) struct Threads {
    by_own_id: HashMap<i32, Tid>,
    by_pointer: HashMap<u64, Tid>,
    pointers: HashMap<Tid, u64>,
    /// How many the process has, listed or not.
    count: usize,
}

/// What an id in a lock stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Owner {
    pub(super) tid: Tid,
    /// Whether the thread is one of the process.
    pub(super) exists: bool,
}

/// How many threads the kernel says there are: of a process that goes on, only one is copied (`Threads`, proc(5)).
fn counted_by_kernel(capture: &Capture) -> usize {
    let status = capture.facts.process.status.map(|status| capture.get(status));
    let lines = status.unwrap_or_default().split(|byte| *byte == b'\n');
    let count = lines.filter_map(|line| str::from_utf8(line.strip_prefix(b"Threads:")?).ok());
    count
        .filter_map(|count| count.trim().parse().ok())
        .next()
        .unwrap_or(capture.facts.process.thread_count)
}

impl Threads {
    pub(super) fn of(capture: &Capture) -> Self {
        let facts = &capture.facts;
        let by_own_id = facts
            .threads
            .iter()
            .map(|thread| (thread.own_tid().0, thread.tid));
        let pointers: HashMap<Tid, u64> = facts
            .threads
            .iter()
            .filter_map(|thread| {
                let pointer = capture.registers(thread)?.ok()?.get("fs_base")?;
                (pointer != 0).then_some((thread.tid, pointer))
            })
            .collect();
        Self {
            by_own_id: by_own_id.collect(),
            by_pointer: pointers.iter().map(|(tid, pointer)| (*pointer, *tid)).collect(),
            pointers,
            count: facts.threads.len().max(counted_by_kernel(capture)),
        }
    }

    /// How many threads there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The thread that an id in a lock stands for; none if it cannot be an id.
    pub(super) fn owner(&self, id: u32) -> Option<Owner> {
        if id == 0 || id > MAX_ID {
            return None;
        }
        let known = self.by_own_id.get(&(id as i32));
        Some(Owner {
            tid: known.copied().unwrap_or(Tid(id as i32)),
            exists: known.is_some(),
        })
    }

    /// The thread with this thread pointer (`pthread_self(3)`).
    pub(super) fn by_pointer(&self, pointer: u64) -> Option<Tid> {
        self.by_pointer.get(&pointer).copied()
    }

    /// Whether an address lies in a thread's control block.
    pub(super) fn is_in_control_block(&self, tid: Tid, address: u64) -> bool {
        let offset = self
            .pointers
            .get(&tid)
            .and_then(|pointer| address.checked_sub(*pointer));
        offset.is_some_and(|offset| offset < CONTROL_BLOCK)
    }
}
