//! Who waits for a thread that does not run, seen without stopping anybody.
//!
//! A thread that is blocked in futex(2) says on which word (`/proc/PID/task/TID/syscall`), and the word belongs to a lock
//! of the C library that names its owner. A waiter on a lock whose owner is the isolated thread is proof that the
//! isolation stalls it. Locks that keep no owner (those of other libraries, and the C library's internal ones) prove
//! nothing.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use crate::sys::memory::Memory;
use crate::sys::{Pid, Tid, tasks};

/// The most threads that are looked at.
const MAX_THREADS: usize = 10_000;
/// The most waiters that are told.
const MAX_WAITERS: usize = 64;

/// Operations of futex(2) that wait, without their flags.
const WAIT: u64 = 0;
const LOCK_PI: u64 = 6;
const WAIT_BITSET: u64 = 9;
const LOCK_PI2: u64 = 13;
const OPERATION: u64 = 0x7f;
/// In the word of a robust or priority-inheriting mutex: somebody waits, and who owns it (linux/futex.h).
const WAITERS: u32 = 0x8000_0000;
const OWNER: u32 = 0x3fff_ffff;
/// In `__kind` of a mutex: it is robust (nptl/pthreadP.h, `PTHREAD_MUTEX_ROBUST_NORMAL_NP`).
const ROBUST: u32 = 16;
/// In `__readers` of a rwlock: it is the turn of writers, and one has it (nptl/pthread_rwlock_common.c).
const WRITTEN: u32 = 3;

/// A thread that waits for another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiter {
    /// The thread.
    pub tid: Tid,
    /// Its name.
    pub name: String,
    /// What it waits for.
    pub lock: Lock,
    /// Where that lies.
    pub address: u64,
}

/// A lock that names its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// A mutex that stays locked when its owner ends.
    Mutex,
    /// A mutex that tells the next owner of the death of the last (pthread_mutexattr_setrobust(3)).
    RobustMutex,
    /// A mutex that the kernel hands on when its owner ends (`PTHREAD_PRIO_INHERIT`).
    InheritingMutex,
    /// A read-write lock, held for writing.
    WriteLock,
}

impl Waiter {
    /// Whether it goes on once the owner of the lock has ended.
    pub fn is_freed_by_exit(&self) -> bool {
        matches!(self.lock, Lock::RobustMutex | Lock::InheritingMutex)
    }
}

impl fmt::Display for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tid,
            name,
            lock,
            address,
        } = self;
        write!(
            f,
            "'{name}' ({tid}) waits for the {lock} at {address:#x}, which it holds"
        )
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mutex => "mutex",
            Self::RobustMutex => "robust mutex",
            Self::InheritingMutex => "priority-inheriting mutex",
            Self::WriteLock => "write lock",
        })
    }
}

/// The threads of a process that wait for a lock of `owner`.
pub fn waiters(process: Pid, owner: Tid, memory: &Memory) -> Vec<Waiter> {
    let found = waiters_for(process, &[owner], memory, Duration::MAX);
    found.into_iter().map(|(_, waiter)| waiter).collect()
}

/// The threads of a process that wait for locks of some others, each with whose; those that are found in that time.
pub fn waiters_for(process: Pid, owners: &[Tid], memory: &Memory, time: Duration) -> Vec<(Tid, Waiter)> {
    let began = Instant::now();
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    let siblings = tasks
        .filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok().map(Tid))
        .take(MAX_THREADS)
        .take_while(|_| began.elapsed() < time);
    siblings
        .filter_map(|tid| waiter(process, tid, owners, memory))
        .take(MAX_WAITERS)
        .collect()
}

fn waiter(process: Pid, tid: Tid, owners: &[Tid], memory: &Memory) -> Option<(Tid, Waiter)> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{tid}/syscall")).ok()?;
    let word = waited_for(&text)?;
    let around = word
        .checked_sub(BEFORE)
        .map(|start| memory.read_span(start, BEFORE as usize + AFTER))?;
    let others = owners.iter().filter(|owner| **owner != tid);
    let (owner, (lock, address)) = others
        .into_iter()
        .find_map(|owner| Some((*owner, owned(&around, word, *owner)?)))?;
    let waiter = Waiter {
        tid,
        name: tasks::name(tid).unwrap_or_default(),
        lock,
        address,
    };
    Some((owner, waiter))
}

/// The futex word that a thread waits for, by the text of its `syscall` file.
fn waited_for(text: &str) -> Option<u64> {
    let mut fields = text.split_whitespace();
    if fields.next()?.parse() != Ok(libc::SYS_futex) {
        return None;
    }
    let mut hexadecimal = || u64::from_str_radix(fields.next()?.strip_prefix("0x")?, 16).ok();
    let (word, operation) = (hexadecimal()?, hexadecimal()?);
    matches!(operation & OPERATION, WAIT | LOCK_PI | WAIT_BITSET | LOCK_PI2).then_some(word)
}

/// How much is read in front of a futex word, and from it on.
const BEFORE: u64 = 12;
const AFTER: usize = 24;

/// The lock of `owner` that a futex word belongs to: `around` begins [`BEFORE`] bytes in front of it.
///
/// Layouts of glibc for 64-bit processes (sysdeps/nptl/bits/struct_mutex.h, struct_rwlock.h): in a mutex, the futex word
/// comes first, the owner 8 and the kind 16 bytes behind it; in a rwlock the state comes first, the futex words are at 8 and
/// 12, the writer at 24.
fn owned(around: &[u8], word: u64, owner: Tid) -> Option<(Lock, u64)> {
    let at = |offset: i64| -> Option<u32> {
        let start = usize::try_from(BEFORE as i64 + offset).ok()?;
        Some(u32::from_ne_bytes(around.get(start..start + 4)?.try_into().ok()?))
    };
    let owner = owner.0 as u32;
    let value = at(0)?;
    let kind = at(16).filter(|kind| at(8) == Some(owner) && is_mutex_kind(*kind));
    if let Some(kind) = kind {
        let by_kernel = value & WAITERS != 0 && value & OWNER == owner;
        match value {
            1 | 2 => return Some((Lock::Mutex, word)),
            _ if by_kernel && kind & ROBUST != 0 => return Some((Lock::RobustMutex, word)),
            _ if by_kernel => return Some((Lock::InheritingMutex, word)),
            _ => {}
        }
    }
    [(8, 16), (12, 12)].into_iter().find_map(|(offset, writer)| {
        let (state, shared) = (at(-offset)?, at(writer + 4)?);
        let is_written = state & WRITTEN == WRITTEN && at(writer) == Some(owner) && shared <= 1;
        is_written.then(|| (Lock::WriteLock, word - offset as u64))
    })
}

/// Whether `__kind` is one that glibc gives: a type of 0 to 3 with the flags for robustness, protocols and sharing
/// (nptl/pthreadP.h).
fn is_mutex_kind(kind: u32) -> bool {
    kind & !0x3f3 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TID: Tid = Tid(4711);
    const WORD: u64 = 0x5000;

    /// Memory around the futex word, from [`BEFORE`] bytes in front of it on.
    fn around(values: &[(i64, u32)]) -> Vec<u8> {
        let mut bytes = vec![0; BEFORE as usize + AFTER];
        for (offset, value) in values {
            let start = (BEFORE as i64 + offset) as usize;
            bytes[start..start + 4].copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn only_a_wait_for_a_futex_counts() {
        assert_eq!(
            waited_for("202 0x5000 0x80 0x2 0x0 0x0 0x0 0x7ffd 0x7f00"),
            Some(WORD)
        );
        assert_eq!(
            waited_for("202 0x5000 0x189 0x2 0x0 0x0 0x0 0x7ffd 0x7f00"),
            Some(WORD)
        );
        assert_eq!(
            waited_for("202 0x5000 0x81 0x1 0x0 0x0 0x0 0x7ffd 0x7f00"),
            None,
            "wakes"
        );
        for text in ["running", "", "-1 0x7ffd 0x7f00", "0 0x5 0x80", "202 0x5000"] {
            assert_eq!(waited_for(text), None, "{text}");
        }
    }

    #[test]
    fn locks_are_told_by_their_owner() {
        let owner = 4711;
        let told = |values: &[(i64, u32)]| owned(&around(values), WORD, TID);
        assert_eq!(told(&[(0, 2), (8, owner), (12, 1)]), Some((Lock::Mutex, WORD)));
        assert_eq!(
            told(&[(0, WAITERS | owner), (8, owner), (16, 16)]),
            Some((Lock::RobustMutex, WORD))
        );
        assert_eq!(
            told(&[(0, WAITERS | owner), (8, owner), (16, 32)]),
            Some((Lock::InheritingMutex, WORD))
        );
        assert_eq!(told(&[(-8, 3), (16, owner)]), Some((Lock::WriteLock, WORD - 8)));
        assert_eq!(
            told(&[(-12, 0b1011), (12, owner)]),
            Some((Lock::WriteLock, WORD - 12))
        );
        assert_eq!(told(&[(16, owner)]), None, "nobody writes");
        assert_eq!(told(&[(0, 2), (8, 4712)]), None, "another owner");
        assert_eq!(
            told(&[(0, 2), (8, owner), (16, 0x1000)]),
            None,
            "no kind of glibc's"
        );
        assert_eq!(told(&[(0, owner)]), None, "joins it");
        assert_eq!(owned(&[], WORD, TID), None);
    }
}
