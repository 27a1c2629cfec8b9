//! Threads that run on while they are described: what /proc says of them.
//!
//! The siblings of an isolated thread must not notice anything, and a thread in uninterruptible sleep stops for
//! nobody. Which system call a sleeping thread is in, and with which arguments, needs no stop (proc(5), `syscall`).

use crate::sys::memory::Memory;
use crate::sys::tasks::Tasks;
use crate::sys::{Pid, Tid};

use super::stats::name_in_stat;
use super::{Capture, ThreadFacts};

/// Threads that are described: 20 us each.
const MAX_THREADS: usize = 1024;

impl Capture {
    /// Describes every thread of a process that the capture does not hold.
    pub fn describe_siblings(&mut self, process: Pid) {
        let mut siblings = Tasks::open(process)
            .and_then(|mut tasks| tasks.list())
            .unwrap_or_default();
        siblings.retain(|tid| self.facts.threads.iter().all(|thread| thread.tid != *tid));
        let left = siblings.len().saturating_sub(MAX_THREADS);
        if left > 0 {
            siblings.truncate(MAX_THREADS);
            self.miss(
                "threads",
                format!("{left} more are not described, there are too many"),
            );
        }
        if let Some(through) = siblings.first() {
            let memory = Memory::of(*through);
            self.describe_running(process, &siblings, &memory);
        }
    }

    /// Describes threads without stopping them. One that is gone is left out.
    pub(super) fn describe_running(&mut self, process: Pid, threads: &[Tid], memory: &Memory) {
        if threads.is_empty() {
            return;
        }
        let first = self.facts.threads.len();
        let Ok(tasks) = Tasks::open(process) else { return };
        for tid in threads {
            let Some(stat) = self.copy_line(&tasks, *tid, "stat") else {
                continue;
            };
            let thread = ThreadFacts {
                name: name_in_stat(self.get(stat)),
                stat: Some(stat),
                system_call: self.copy_line(&tasks, *tid, "syscall"),
                ..ThreadFacts::new(*tid)
            };
            self.facts.threads.push(thread);
        }
        self.note_inner_ids();
        self.copy_locks_of_running(memory, first);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::capture::Purpose;

    #[test]
    fn a_sleeping_thread_tells_its_system_call() {
        let (tell, told) = mpsc::channel();
        let (wake, sleep) = mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || {
            tell.send(nix::unistd::gettid().as_raw()).unwrap();
            let _ = sleep.recv();
        });
        let tid = Tid(told.recv().unwrap());
        let process = Pid(std::process::id() as i32);
        let futex = libc::SYS_futex.to_string();
        let is_asleep = || {
            let mut capture = Capture::default();
            capture.describe_running(process, &[tid, Tid(i32::MAX)], &Memory::of(tid));
            assert_eq!(capture.facts.threads.len(), 1);
            let call = capture.facts.threads[0].system_call?;
            let asleep = capture.get(call).starts_with(futex.as_bytes());
            assert!(!asleep || matches!(capture.facts.memory[0].purpose, Purpose::Lock(_)));
            asleep.then_some(())
        };
        while is_asleep().is_none() {
            std::thread::yield_now();
        }
        drop(wake);
        sleeper.join().unwrap();
    }

    #[test]
    fn siblings_are_those_that_were_not_captured() {
        let process = Pid(std::process::id() as i32);
        let mut capture = Capture::default();
        capture.facts.threads.push(ThreadFacts::new(process.leader()));
        capture.describe_siblings(process);
        let own = nix::unistd::gettid().as_raw();
        let described = |tid| {
            capture
                .facts
                .threads
                .iter()
                .filter(|thread| thread.tid == tid)
                .count()
        };
        assert_eq!((described(process.leader()), described(Tid(own))), (1, 1));
    }
}
