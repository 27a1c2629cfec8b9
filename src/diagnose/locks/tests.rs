use proptest::prelude::*;

use super::*;
use crate::capture::{MemoryRange, ThreadFacts};
use crate::sys::regs::GeneralRegisters;

/// Addresses of locks and of control blocks, far from each other.
const LOCKS: u64 = 0x5000_0000;
const CONTROL_BLOCKS: u64 = 0x7f00_0000_0000;
const FUTEX: u64 = 202;
const RESTART: u64 = -512_i64 as u64;

/// A process whose threads wait for locks.
#[derive(Default)]
struct Scene(Capture);

impl Scene {
    /// Threads 101 to 100 + n, all of them running.
    fn of(threads: i32) -> Self {
        let mut scene = Self::default();
        for id in 101..=100 + threads {
            scene.0.facts.threads.push(ThreadFacts {
                name: Some(format!("worker-{}", id - 100)),
                ..ThreadFacts::new(Tid(id))
            });
            scene.registers(id, &[("rip", 1), ("fs_base", control_block(id))]);
        }
        scene
    }

    fn registers(&mut self, tid: i32, values: &[(&str, u64)]) {
        let general = self.0.keep(&GeneralRegisters::from_named(values).to_bytes());
        let thread = self
            .0
            .facts
            .threads
            .iter_mut()
            .find(|thread| thread.tid == Tid(tid));
        thread.unwrap().general = Some(general);
    }

    fn waits(self, tid: i32, word: u64) -> Self {
        self.waits_in(tid, word, 0x80, 0)
    }

    fn waits_in(mut self, tid: i32, word: u64, operation: u64, timeout: u64) -> Self {
        let call = [
            ("orig_rax", FUTEX),
            ("rax", RESTART),
            ("rdi", word),
            ("rsi", operation),
            ("r10", timeout),
            ("fs_base", control_block(tid)),
        ];
        self.registers(tid, &call);
        self
    }

    /// Memory as 32-bit words.
    fn memory(mut self, address: u64, words: &[u32]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let data = self.0.keep(&bytes);
        self.0.facts.memory.push(MemoryRange {
            purpose: Purpose::Lock(address),
            start: address,
            data,
        });
        self
    }

    fn mutex(self, address: u64, owner: u32) -> Self {
        self.memory(address, &[2, 0, owner, 1, 0, 0])
    }

    fn graph(&self) -> LockGraph {
        LockGraph::of(&self.0)
    }

    /// Kind and owner of the only lock.
    fn only(&self) -> (LockKind, Option<i32>) {
        let graph = self.graph();
        assert_eq!(graph.locks.len(), 1, "{graph:?}");
        (graph.locks[0].kind, graph.locks[0].owner.map(|tid| tid.0))
    }
}

fn control_block(tid: i32) -> u64 {
    CONTROL_BLOCKS + 0x10_0000 * tid as u64
}

#[test]
fn three_threads_in_a_circle_are_a_deadlock() {
    let [a, b, c] = [LOCKS, LOCKS + 0x100, LOCKS + 0x200];
    let scene = Scene::of(4)
        .mutex(a, 103)
        .mutex(b, 101)
        .mutex(c, 102)
        .waits(101, a)
        .waits(102, b)
        .waits(103, c)
        .waits(104, c);
    let graph = scene.graph();
    assert_eq!(graph.deadlocks.len(), 1);
    let deadlock = &graph.deadlocks[0];
    assert_eq!(deadlock.threads, [Tid(101), Tid(103), Tid(102)]);
    assert_eq!(
        deadlock.detail,
        "worker-1 (101) waits for the mutex at 0x50000000 held by worker-3 (103), which waits for the mutex at \
         0x50000200 held by worker-2 (102), which waits for the mutex at 0x50000100 held by worker-1"
    );
    assert_eq!(
        (graph.locks[0].address, graph.locks[0].waiters.as_slice()),
        (c, &[Tid(103), Tid(104)][..]),
        "most waiters first"
    );
    assert_eq!(
        graph.waited_for(Tid(104)).and_then(|lock| lock.owner),
        Some(Tid(102))
    );
}

#[test]
fn a_queue_is_no_deadlock() {
    let graph = Scene::of(3)
        .mutex(LOCKS, 103)
        .waits(101, LOCKS)
        .waits(102, LOCKS)
        .graph();
    assert_eq!((graph.deadlocks, graph.locks[0].owner), (vec![], Some(Tid(103))));
}

#[test]
fn a_thread_that_waits_for_itself_is_a_deadlock() {
    let alone = Scene::of(2)
        .mutex(LOCKS, 101)
        .waits_in(101, LOCKS, 0x189, 8)
        .graph();
    assert_eq!(
        alone.deadlocks[0].detail,
        "worker-1 (101) waits (with a time limit) for the mutex at 0x50000000 held by itself"
    );
}

#[test]
fn a_thread_that_was_not_stopped_proves_no_deadlock() {
    let [a, b] = [LOCKS, LOCKS + 0x100];
    let mut scene = Scene::of(2).mutex(a, 102).mutex(b, 101).waits(101, a);
    let line = format!("{} {b:#x} 0x80 0x2 0x0 0x0 0x0 0x1 0x1\n", FUTEX);
    let line = scene.0.keep(line.as_bytes());
    scene.0.facts.threads[1].general = None;
    scene.0.facts.threads[1].system_call = Some(line);
    let graph = scene.graph();
    assert_eq!(
        graph.waited_for(Tid(102)).and_then(|lock| lock.owner),
        Some(Tid(101))
    );
    assert_eq!(graph.deadlocks, []);
}

#[test]
fn a_long_circle_is_told_in_short() {
    let count = 30;
    let lock = |id: i32| LOCKS + 0x100 * id as u64;
    let mut scene = Scene::of(count);
    for id in 101..=100 + count {
        let next = if id == 100 + count { 101 } else { id + 1 };
        scene = scene.mutex(lock(id), next as u32).waits(id, lock(id));
    }
    let deadlock = &scene.graph().deadlocks[0];
    assert_eq!(deadlock.threads.len(), 30);
    assert!(
        deadlock.detail.len() < 1024 && deadlock.detail.ends_with("held by worker-1 (30 threads in all)"),
        "{}",
        deadlock.detail
    );
}

#[test]
fn mutexes_are_told_by_their_kind() {
    let mutex = |words: &[u32]| Scene::of(2).memory(LOCKS, words).waits(101, LOCKS).only();
    let held = |kind| (kind, Some(102));
    assert_eq!(mutex(&[2, 0, 102, 1, 0]), held(LockKind::Mutex));
    assert_eq!(mutex(&[2, 3, 102, 1, 1]), held(LockKind::Mutex), "recursive");
    assert_eq!(
        mutex(&[2 | 10 << 19, 0, 102, 1, 0x40]),
        held(LockKind::Mutex),
        "with a ceiling"
    );
    assert_eq!(
        mutex(&[102 | 1 << 31, 1, 102, 1, 0x90]),
        held(LockKind::RobustMutex)
    );
    assert_eq!(
        mutex(&[102 | 1 << 31, 1, 102, 1, 0x20]),
        held(LockKind::PriorityMutex)
    );
    let futex = (LockKind::Futex, None);
    assert_eq!(mutex(&[2, 0, 102, 1, 0x1234]), futex, "no known kind");
    assert_eq!(mutex(&[2, 1, 102, 1, 0]), futex, "held twice, and not recursive");
    assert_eq!(mutex(&[2, 0, 102, 0, 0]), futex, "without users");
    assert_eq!(mutex(&[2, 0, 102, 77, 0]), futex, "more users than threads");
    assert_eq!(mutex(&[0, 0, 102, 1, 0]), futex, "free");
    assert_eq!(mutex(&[2, 0, 1 << 23, 1, 0]), futex, "no id");
    assert_eq!(mutex(&[2, 0]), futex, "cut off");
}

#[test]
fn an_owner_that_has_ended_is_told() {
    let graph = Scene::of(1).mutex(LOCKS, 4000).waits(101, LOCKS).graph();
    assert_eq!(
        (graph.locks[0].owner, graph.locks[0].owner_ended),
        (Some(Tid(4000)), true)
    );
}

#[test]
fn owners_are_known_by_their_inner_id() {
    let mut scene = Scene::of(2).mutex(LOCKS, 7).waits(101, LOCKS);
    scene.0.facts.threads[0].inner_tid = Some(Tid(6));
    scene.0.facts.threads[1].inner_tid = Some(Tid(7));
    assert_eq!(scene.only(), (LockKind::Mutex, Some(102)));
}

#[test]
fn rwlocks_are_found_from_either_word() {
    let written = [0b1011, 0, 3, 0, 0, 0, 102, 0, 0, 0, 0, 0, 0, 0];
    for word in [8, 12] {
        let graph = Scene::of(2)
            .memory(LOCKS, &written)
            .waits(101, LOCKS + word)
            .graph();
        let lock = &graph.locks[0];
        assert_eq!(
            (lock.address, lock.kind, lock.owner),
            (LOCKS, LockKind::ReadWriteLock, Some(Tid(102)))
        );
    }
    let read = [2 << 3 | 0b10, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let graph = Scene::of(3).memory(LOCKS, &read).waits(101, LOCKS + 8).graph();
    assert_eq!((graph.locks[0].owner, graph.locks[0].readers), (None, 2));
}

/// Programs keep the ids of their threads: Python in each thread's state.
#[test]
fn an_id_among_zeros_is_no_lock() {
    for state in [0, 3, 0b1000, 0xdead_beef] {
        let among_zeros = [state, 0, 0, 0, 0, 0, 101, 0, 0, 0, 0, 0, 0, 0];
        let scene = Scene::of(2).memory(LOCKS, &among_zeros);
        assert_eq!(scene.graph().locks, [], "{state:#x}");
    }
}

/// For a decision one thread alone is copied, and every one that waits for a condition counts as a user of its mutex.
#[test]
fn a_mutex_with_many_users_is_held_by_the_only_thread_that_was_copied() {
    let mut scene = Scene::of(1).memory(LOCKS, &[1, 0, 101, 5, 0, 0, 0, 0, 0, 0]);
    assert_eq!(scene.graph().locks, []);
    scene.0.facts.process.thread_count = 5;
    assert_eq!(scene.only(), (LockKind::Mutex, Some(101)));
}

/// Two integers of CPython 3.11 behind each other: from the size of the first, one digit that is a thread's id and 4 bytes
/// that are not used, then the count of references of the second, its type and its size.
#[test]
fn an_integer_of_python_is_no_lock() {
    let integers = [1, 0, 101, 1, 2, 0, 0x95_3cc0, 0, 1, 0, 500, 0];
    let scene = Scene::of(2).memory(LOCKS, &integers);
    assert_eq!(scene.graph().locks, []);
    let mut mutex = integers;
    mutex[6..].fill(0);
    assert_eq!(
        Scene::of(2).memory(LOCKS, &mutex).only(),
        (LockKind::Mutex, Some(101))
    );
}

#[test]
fn conditions_semaphores_and_streams_are_told() {
    let old = [4, 0, 0, 0, 2, 0, 0, 0, 0, 8, 0, 0];
    assert_eq!(
        Scene::of(2).memory(LOCKS, &old).waits(101, LOCKS + 40).only(),
        (LockKind::Condition, None)
    );
    let new = [4, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0];
    assert_eq!(
        Scene::of(2).memory(LOCKS, &new).waits(101, LOCKS + 36).only(),
        (LockKind::Condition, None)
    );
    let semaphore = Scene::of(2).memory(LOCKS, &[0, 1, 0, 0]).waits(101, LOCKS);
    assert_eq!(semaphore.only(), (LockKind::Semaphore, None));
    let pointer = control_block(102);
    let stream = Scene::of(2).memory(LOCKS, &[2, 1, pointer as u32, (pointer >> 32) as u32]);
    assert_eq!(stream.waits(101, LOCKS).only(), (LockKind::Stdio, Some(102)));
}

#[test]
fn joining_is_waiting_for_a_thread() {
    let word = control_block(102) + 0x2d0;
    let scene = Scene::of(2)
        .memory(word, &[102, 0, 0, 0, 0])
        .waits(101, word)
        .mutex(LOCKS, 101)
        .waits(102, LOCKS);
    let graph = scene.graph();
    assert_eq!(
        graph.waited_for(Tid(101)).map(|lock| lock.kind),
        Some(LockKind::Join)
    );
    assert_eq!(
        graph.deadlocks[0].detail,
        "worker-1 (101) waits for worker-2 (102) to end, which waits for the mutex at 0x50000000 held by worker-1"
    );
    let elsewhere = Scene::of(2).memory(LOCKS, &[102, 0, 0, 0, 0]).waits(101, LOCKS);
    assert_eq!(
        elsewhere.only(),
        (LockKind::Futex, None),
        "an id alone is no thread's end"
    );
}

#[test]
fn held_locks_are_listed_without_waiters() {
    let scene = Scene::of(2)
        .mutex(LOCKS, 102)
        .memory(LOCKS + 0x100, &[0b1011, 0, 1, 0, 0, 0, 102, 0, 0, 0, 0, 0, 0])
        .memory(LOCKS + 0x200, &[1, 2, 102, 4, 5]);
    let kinds: Vec<_> = scene
        .graph()
        .locks
        .iter()
        .map(|lock| (lock.kind, lock.owner))
        .collect();
    assert_eq!(
        kinds,
        [
            (LockKind::Mutex, Some(Tid(102))),
            (LockKind::ReadWriteLock, Some(Tid(102)))
        ]
    );
}

#[test]
fn overlapping_pieces_are_read_as_one_memory() {
    let scene = Scene::of(2)
        .memory(LOCKS - 64, &[0; 32])
        .mutex(LOCKS, 102)
        .waits(101, LOCKS);
    assert_eq!(scene.only(), (LockKind::Mutex, Some(102)));
}

proptest! {
    #[test]
    fn no_memory_is_too_strange(
        words in proptest::collection::vec(prop_oneof![0..4_u32, 100..104_u32, any::<u32>()], 0..40),
        address in prop_oneof![Just(LOCKS), Just(0), Just(u64::MAX - 8), any::<u64>()],
        waited in proptest::collection::vec((101..104_i32, 0..40_u64), 0..4),
    ) {
        let mut scene = Scene::of(3).memory(address, &words);
        for (tid, offset) in waited {
            scene = scene.waits(tid, address.wrapping_add(4 * offset));
        }
        let graph = scene.graph();
        for lock in &graph.locks {
            prop_assert!(lock.waiters.len() <= 3 && lock.readers <= 3);
        }
    }
}
