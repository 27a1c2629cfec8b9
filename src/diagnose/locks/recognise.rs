//! What the locks of glibc look like on 64-bit architectures (sysdeps/nptl/bits, nptl/pthreadP.h, libio/stdio-lock.h).
//!
//! The layouts are part of glibc's binary interface: programs reserve the memory. That of the condition variable is the
//! exception, since only its size is fixed; both that there have been since 2.25 are known.

use super::memory::LockMemory;
use super::threads::{Owner, Threads};
use super::{Lock, LockKind};

/// `FUTEX_WAITERS`, `FUTEX_OWNER_DIED` and the id of the owner, in words that the kernel knows (futex(2)).
const WAITERS: u32 = 0x8000_0000;
const OWNER_DIED: u32 = 0x4000_0000;
const OWNER: u32 = 0x3fff_ffff;

/// `__kind` of a mutex: four types, and flags.
const TYPE: u32 = 3;
const RECURSIVE: u32 = 1;
const ROBUST: u32 = 0x10;
const PRIORITY_INHERIT: u32 = 0x20;
const PRIORITY_PROTECT: u32 = 0x40;
/// Shared between processes, and elided or not.
const OTHER_FLAGS: u32 = 0x380;
/// Where a mutex with a priority ceiling has it, above the state.
const CEILING: u32 = 19;
/// The deepest recursion that is plausible.
const MAX_DEPTH: u32 = 1 << 20;

/// Bits of `__readers` of a rwlock: it is the turn of writers, one has it, and the number of readers.
const WRITE_PHASE: u32 = 1;
const WRITE_LOCKED: u32 = 2;
const READERS: u32 = 3;

/// A lock that was recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) address: u64,
    kind: LockKind,
    owner: Option<Owner>,
    readers: u32,
}

/// The lock that the word belongs to on which so many threads wait.
pub(super) fn waited(memory: &LockMemory<'_>, threads: &Threads, word: u64, waiters: usize) -> Option<Found> {
    join(memory, threads, word)
        .or_else(|| mutex(memory, threads, word))
        .or_else(|| rwlock(memory, threads, word.wrapping_sub(8)))
        .or_else(|| rwlock(memory, threads, word.wrapping_sub(12)))
        .or_else(|| stdio(memory, threads, word))
        .or_else(|| condition(memory, threads, word))
        .or_else(|| semaphore(memory, word, waiters))
        .or_else(|| owned_word(memory, threads, word))
}

/// The lock at an address, if somebody holds it.
pub(super) fn held(memory: &LockMemory<'_>, threads: &Threads, address: u64) -> Option<Found> {
    mutex(memory, threads, address)
        .or_else(|| rwlock(memory, threads, address))
        .filter(|found| found.owner.is_some_and(|owner| owner.exists))
}

impl Found {
    /// A word that belongs to no known lock.
    pub(super) fn unknown(word: u64) -> Self {
        Self::new(word, LockKind::Futex)
    }

    fn new(address: u64, kind: LockKind) -> Self {
        Self {
            address,
            kind,
            owner: None,
            readers: 0,
        }
    }

    fn held_by(self, owner: Owner) -> Self {
        Self {
            owner: Some(owner),
            ..self
        }
    }

    pub(super) fn into_lock(self) -> Lock {
        Lock {
            address: self.address,
            kind: self.kind,
            owner: self.owner.map(|owner| owner.tid),
            owner_ended: self.owner.is_some_and(|owner| !owner.exists),
            readers: self.readers,
            waiters: Vec::new(),
        }
    }
}

/// The word in a thread's control block that holds its id, until the kernel clears it at the thread's end.
fn join(memory: &LockMemory<'_>, threads: &Threads, word: u64) -> Option<Found> {
    let owner = threads.owner(memory.u32(word)?)?;
    let is_its_own = owner.exists && threads.is_in_control_block(owner.tid, word);
    is_its_own.then(|| Found::new(word, LockKind::Join).held_by(owner))
}

/// `pthread_mutex_t`: `__lock`, `__count`, `__owner`, `__nusers`, `__kind`, 4 bytes each; `__list` at 24, two words of 8
/// bytes that only the kernel's kinds use: without that, an integer of Python with a thread's id as its value, and another
/// behind it, would pass for a lock.
fn mutex(memory: &LockMemory<'_>, threads: &Threads, at: u64) -> Option<Found> {
    let field = |index: u64| memory.u32(at.wrapping_add(4 * index));
    let (lock, count, owner, users, kind) = (field(0)?, field(1)?, field(2)?, field(3)?, field(4)?);
    let is_known = kind & !(TYPE | ROBUST | PRIORITY_INHERIT | PRIORITY_PROTECT | OTHER_FLAGS) == 0;
    let in_kernel = kind & (ROBUST | PRIORITY_INHERIT) != 0;
    let deepest = match kind & TYPE {
        RECURSIVE => MAX_DEPTH,
        // The kernel's kinds are counted even where they cannot be locked twice.
        _ => u32::from(in_kernel),
    };
    // Every thread that waits for a condition with this mutex counts as a user of it.
    let is_used = users >= 1 && users as usize <= threads.count() + 1;
    let is_listed = (6..10).any(|index| field(index).is_some_and(|word| word != 0));
    if !is_known || count > deepest || !is_used || is_listed && !in_kernel {
        return None;
    }
    let owner = threads.owner(owner)?;
    let is_held = if in_kernel {
        lock & OWNER_DIED == 0 && threads.owner(lock & OWNER) == Some(owner)
    } else if kind & PRIORITY_PROTECT != 0 {
        matches!(lock & ((1 << CEILING) - 1), 1 | 2)
    } else {
        matches!(lock, 1 | 2)
    };
    let kind = match kind {
        kind if kind & ROBUST != 0 => LockKind::RobustMutex,
        kind if kind & PRIORITY_INHERIT != 0 => LockKind::PriorityMutex,
        _ => LockKind::Mutex,
    };
    is_held.then(|| Found::new(at, kind).held_by(owner))
}

/// `pthread_rwlock_t`: `__readers`, `__writers`, the two words that threads wait on, two of padding, `__cur_writer` and
/// `__shared`, 4 bytes each; `__flags` at 48. While there is a writer, the first word that threads wait on is odd: without
/// that, a thread's id among zeros would pass for a lock.
fn rwlock(memory: &LockMemory<'_>, threads: &Threads, at: u64) -> Option<Found> {
    let field = |index: u64| memory.u32(at.wrapping_add(4 * index));
    let (state, wait_for_phase, wait_for_writer) = (field(0)?, field(2)?, field(3)?);
    let (padding, writer, shared, flags) = (field(4)? | field(5)?, field(6)?, field(7)?, field(12)?);
    let is_plausible =
        wait_for_phase <= 3 && wait_for_writer <= 3 && padding == 0 && shared <= 1 && flags <= 3;
    if !is_plausible {
        return None;
    }
    let readers = state >> READERS;
    let is_written =
        state & (WRITE_PHASE | WRITE_LOCKED) == WRITE_PHASE | WRITE_LOCKED && wait_for_phase & 1 != 0;
    match threads.owner(writer) {
        Some(owner) => is_written.then(|| Found::new(at, LockKind::ReadWriteLock).held_by(owner)),
        None if writer == 0
            && state & WRITE_PHASE == 0
            && (1..=threads.count()).contains(&(readers as usize)) =>
        {
            Some(Found {
                readers,
                ..Found::new(at, LockKind::ReadWriteLock)
            })
        }
        None => None,
    }
}

/// `_IO_lock_t`: `lock`, `cnt`, and the owner as a pointer to its control block.
fn stdio(memory: &LockMemory<'_>, threads: &Threads, at: u64) -> Option<Found> {
    let (lock, count) = (memory.u32(at)?, memory.u32(at.wrapping_add(4))?);
    let tid = threads.by_pointer(memory.u64(at.wrapping_add(8))?)?;
    let is_held = matches!(lock, 1 | 2) && (1..=MAX_DEPTH).contains(&count);
    is_held.then(|| Found::new(at, LockKind::Stdio).held_by(Owner { tid, exists: true }))
}

/// `pthread_cond_t`: threads wait on one of two words, `__g_signals`; `__wrefs` counts them from its fourth bit on.
fn condition(memory: &LockMemory<'_>, threads: &Threads, word: u64) -> Option<Found> {
    // Where `__g_signals` and `__wrefs` are: since 2.41, and from 2.25 to 2.40.
    const LAYOUTS: [(u64, u64); 2] = [(32, 28), (40, 36)];
    let plausible = 1..=threads.count();
    for (signals, references) in LAYOUTS {
        for group in 0..2 {
            let at = word.wrapping_sub(signals + 4 * group);
            let waiters = memory.u32(at.wrapping_add(references))? >> 3;
            // `__wseq` counts the waiters so far above its lowest bit; `__g1_start` is not ahead of it.
            let (sequence, start) = (memory.u64(at)? >> 1, memory.u64(at.wrapping_add(8))? >> 1);
            if at.is_multiple_of(8)
                && plausible.contains(&(waiters as usize))
                && sequence >= u64::from(waiters)
                && start <= sequence
            {
                return Some(Found::new(at, LockKind::Condition));
            }
        }
    }
    None
}

/// `sem_t` on 64-bit architectures: value, number of waiters, whether shared, padding; 4 bytes each.
fn semaphore(memory: &LockMemory<'_>, at: u64, waiters: usize) -> Option<Found> {
    let field = |index: u64| memory.u32(at.wrapping_add(4 * index));
    let (value, counted, shared, padding) = (field(0)?, field(1)?, field(2)?, field(3)?);
    // FUTEX_PRIVATE_FLAG stands for a shared one.
    let is_plausible =
        value == 0 && counted as usize == waiters && matches!(shared, 0 | 0x80) && padding == 0;
    is_plausible.then(|| Found::new(at, LockKind::Semaphore))
}

/// A word that holds its owner's id and says that others wait, as the kernel's priority futexes and musl's mutexes do.
fn owned_word(memory: &LockMemory<'_>, threads: &Threads, word: u64) -> Option<Found> {
    let value = memory.u32(word)?;
    let owner = threads.owner(value & OWNER).filter(|owner| owner.exists)?;
    let is_owned = value & WAITERS != 0 && value & OWNER_DIED == 0;
    is_owned.then(|| Found::unknown(word).held_by(owner))
}
