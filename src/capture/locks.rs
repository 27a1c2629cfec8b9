//! The memory of locks: around each word that a thread waits on, and of those that a thread holds.
//!
//! Who holds a lock is written in the lock, by the C library, and this copies it while the threads are stopped. What
//! the bytes mean is decided later. Held locks are found in two ways: by the robust lists, which the kernel knows, and,
//! for the thread that took a signal, by looking for its id where its registers and its stack point, and in static
//! data and the heap. All of that is bounded, and read in few system calls.

use std::collections::HashSet;

use crate::sys::memory::{Memory, PAGE, Span};
use crate::sys::regs::GeneralRegisters;
use crate::sys::{Tid, robust};

use super::maps::Maps;
use super::{Capture, Purpose};

/// How much is copied on each side of a lock's address; a condition variable's word is at most 44 bytes behind its start,
/// and a rwlock takes 56.
const AROUND: u64 = 64;
/// Words that threads wait on.
const MAX_WAITED: usize = 4096;
/// Robust mutexes of one thread; the kernel itself walks 2,048 (`ROBUST_LIST_LIMIT`).
const MAX_ROBUST: usize = 64;
/// Robust mutexes of all threads.
const MAX_ROBUST_IN_ALL: usize = 1024;
/// Locks that are taken for held by the thread that took the signal.
const MAX_HELD: usize = 64;
/// How much of its stack, from the stack pointer on, is searched for pointers to locks.
const STACK_SEARCHED: usize = 64 << 10;
/// How much static data and heap is searched for locks that it holds; about 1 ms.
const MEMORY_SEARCHED: usize = 4 << 20;
/// How much of that is read at once: memory that is taken from the kernel for it comes page by page, so little of it.
const PIECE: usize = 64 << 10;
const WORD: usize = 8;

/// Where a mutex has the id of its owner (`__owner`), and a rwlock that of its writer (`__cur_writer`), on 64-bit
/// architectures (glibc, struct_mutex.h and struct_rwlock.h).
const OWNERS: [u64; 2] = [8, 24];

impl Capture {
    /// Copies the locks that stopped threads wait for, and the robust mutexes that they hold.
    pub(super) fn copy_locks(&mut self, memory: &Memory, threads: &[(usize, GeneralRegisters)]) {
        let waited = threads.iter().filter_map(|(place, registers)| {
            let mut call = registers.blocked_call()?;
            call.number = self.facts.threads[*place].restarted.unwrap_or(call.number);
            call.futex()
        });
        let mut addresses = distinct(waited, MAX_WAITED);
        let tids = threads.iter().map(|(place, _)| self.facts.threads[*place].tid);
        let heads: Vec<u64> = tids.filter_map(robust::list_head).collect();
        addresses.extend(robust_mutexes(memory, &heads));
        self.copy_around_locks(memory, addresses);
    }

    /// Copies the locks that threads wait for which were not stopped.
    pub(super) fn copy_locks_of_running(&mut self, memory: &Memory, first: usize) {
        let threads = self.facts.threads.get(first..).unwrap_or_default().iter();
        let waited = threads.filter_map(|thread| thread.call_of_running(self)?.futex());
        let addresses = distinct(waited, MAX_WAITED);
        self.copy_around_locks(memory, addresses);
    }

    /// Copies what looks like locks that the thread holds which took the signal; its stack has been copied.
    pub(super) fn copy_held_locks(&mut self, memory: &Memory, maps: &Maps, registers: &GeneralRegisters) {
        let Some(thread) = self.facts.threads.first() else {
            return;
        };
        let mut found = Held::of(thread.own_tid());
        let stack = self.faulting_stack();
        let pointers = registers.pointers().map(|(_, value)| value).chain(words(stack));
        found.search_targets(memory, maps, pointers);
        found.search_static_data(memory, maps);
        self.copy_around_locks(memory, found.locks);
    }

    fn faulting_stack(&self) -> &[u8] {
        let stack = self.facts.threads.first().and_then(|thread| thread.stack);
        let bytes = stack.map(|stack| self.get(stack.data)).unwrap_or_default();
        &bytes[..bytes.len().min(STACK_SEARCHED)]
    }

    fn copy_around_locks(&mut self, memory: &Memory, addresses: Vec<u64>) {
        let wanted = addresses.into_iter();
        let wanted = wanted.map(|address| (Purpose::Lock(address), around(address)));
        self.copy_ranges(memory, wanted.collect());
    }
}

/// The bytes around a lock. The page before its own may not be there; the one behind is read if it is.
fn around(address: u64) -> Span {
    let start = address.saturating_sub(AROUND).max(address & !(PAGE - 1));
    let end = address.saturating_add(AROUND);
    Span {
        start,
        len: (end - start) as usize,
    }
}

fn distinct(addresses: impl Iterator<Item = u64>, limit: usize) -> Vec<u64> {
    let mut seen = HashSet::new();
    addresses
        .filter(|address| seen.insert(*address))
        .take(limit)
        .collect()
}

/// The words of the robust mutexes in these lists: `struct robust_list_head { list.next, futex_offset, pending }`
/// (linux/futex.h). A list ends where it began.
fn robust_mutexes(memory: &Memory, heads: &[u64]) -> Vec<u64> {
    const HEAD: usize = 3 * WORD;
    let spans: Vec<Span> = heads
        .iter()
        .map(|start| Span {
            start: *start,
            len: HEAD,
        })
        .collect();
    let mut bytes = Vec::new();
    let sizes = memory.read(&spans, &mut bytes);
    let mut mutexes = Vec::new();
    let mut at = 0;
    for (head, size) in heads.iter().zip(sizes) {
        let values: Vec<u64> = words(&bytes[at..at + size]).collect();
        at += size;
        let &[mut next, offset, _pending] = values.as_slice() else {
            continue;
        };
        for _ in 0..MAX_ROBUST.min(MAX_ROBUST_IN_ALL - mutexes.len()) {
            // The lowest bit marks mutexes with priority inheritance.
            let entry = next & !1;
            if entry == *head || entry == 0 {
                break;
            }
            mutexes.push(entry.wrapping_add(offset));
            match memory.read_u64(entry) {
                Some(following) => next = following,
                None => break,
            }
        }
    }
    mutexes
}

/// What looks like locks that a thread holds: its id stands where their owner is written.
struct Held {
    tid: Tid,
    seen: HashSet<u64>,
    locks: Vec<u64>,
}

impl Held {
    fn of(tid: Tid) -> Self {
        Self {
            tid,
            seen: HashSet::new(),
            locks: Vec::new(),
        }
    }

    /// Looks at what pointers point to.
    fn search_targets(&mut self, memory: &Memory, maps: &Maps, pointers: impl Iterator<Item = u64>) {
        let is_candidate = |pointer: &u64| {
            pointer.is_multiple_of(WORD as u64) && maps.find(*pointer).is_some_and(|mapping| mapping.writable)
        };
        let targets = distinct(pointers.filter(is_candidate), MAX_WAITED);
        let spans: Vec<Span> = targets
            .iter()
            .map(|start| Span {
                start: *start,
                len: (OWNERS[1] as usize) + WORD,
            })
            .collect();
        let mut bytes = Vec::new();
        let sizes = memory.read(&spans, &mut bytes);
        let mut at = 0;
        for (span, size) in spans.iter().zip(sizes) {
            self.search(span.start, &bytes[at..at + size], |lock| lock == span.start);
            at += size;
        }
    }

    /// Looks through the writable data of the program and its libraries, and the heap.
    fn search_static_data(&mut self, memory: &Memory, maps: &Maps) {
        let mut pieces = pieces(maps.static_data(), MEMORY_SEARCHED).into_iter().peekable();
        let mut bytes = Vec::new();
        while pieces.peek().is_some() && self.locks.len() < MAX_HELD {
            let mut left = PIECE;
            let mut batch = Vec::new();
            while let Some(piece) = pieces.next_if(|piece| piece.len <= left) {
                left -= piece.len;
                batch.push(piece);
            }
            bytes.clear();
            let sizes = memory.read(&batch, &mut bytes);
            let mut at = 0;
            for (piece, size) in batch.iter().zip(sizes) {
                self.search(piece.start, &bytes[at..at + size], |_| true);
                at += size;
            }
        }
    }

    fn search(&mut self, start: u64, bytes: &[u8], accept: impl Fn(u64) -> bool) {
        for (at, word) in bytes.chunks_exact(WORD).enumerate() {
            if word[..4] != self.tid.0.to_le_bytes() {
                continue;
            }
            let address = start + (at * WORD) as u64;
            for owner in OWNERS {
                let Some(lock) = address.checked_sub(owner).filter(|lock| accept(*lock)) else {
                    continue;
                };
                if self.locks.len() < MAX_HELD && self.seen.insert(lock) {
                    self.locks.push(lock);
                }
            }
        }
    }
}

/// The first `most` bytes of these ranges, in pieces that can be read at once.
fn pieces(ranges: impl IntoIterator<Item = (u64, u64)>, most: usize) -> Vec<Span> {
    let mut left = most;
    let mut pieces = Vec::new();
    for (mut start, high) in ranges {
        while start < high && left > 0 {
            let len = PIECE.min(left).min((high - start) as usize);
            pieces.push(Span { start, len });
            left -= len;
            start += len as u64;
        }
    }
    pieces
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(WORD).map(|word| {
        word.iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte))
    })
}
