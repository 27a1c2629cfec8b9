//! Looking for what slipped through: threads that are not traced, processes that outlived a fatal signal, threads that are
//! gone without a word.
//!
//! A thread whose clone was under way while its parent was seized is not traced (kernel/fork.c, `copy_process`). A
//! process that was let go with its fatal signal may have changed its mind meanwhile, and goes on untraced. An exec gives
//! its thread another id; where the process is killed before that was told, nobody reports the former one.

use std::time::{Duration, Instant};

use crate::sys::status::Status;
use crate::sys::{Pid, StartTime, Tid, wait};
use crate::trace::attach;

use super::Engine;

/// How long after its fatal signal was delivered a process may take to end before it is looked at again.
const DEPARTURE: Duration = Duration::from_secs(1);
/// The most processes that are remembered as departing.
const MAX_DEPARTING: usize = 1024;

/// A process that was let go with a fatal signal.
#[derive(Debug)]
pub(super) struct Departing {
    process: Pid,
    start: StartTime,
    since: Instant,
}

impl Engine {
    /// Looks for threads that are not traced: those whose clone was under way when their parent was seized,
    /// and those of a process that survived its fatal signal. Forgets threads that are gone.
    pub fn audit(&mut self) {
        self.forget_untraced();
        let survivors: Vec<Pid> = self
            .departing
            .iter()
            .filter(|gone| gone.since.elapsed() >= DEPARTURE && is_alive(gone.process, gone.start))
            .map(|gone| gone.process)
            .collect();
        self.departing
            .retain(|gone| gone.since.elapsed() < DEPARTURE || is_dumping(gone.process, gone.start));
        for pid in survivors {
            if let Err(error) = self.attach(pid) {
                log::warn!("cannot attach to {pid} again, which survived its signal: {error}");
            }
        }
        let processes: Vec<(Pid, StartTime)> = self
            .processes
            .iter()
            .map(|(pid, known)| (*pid, known.start))
            .collect();
        for (pid, start) in processes {
            let known = self
                .machine
                .threads()
                .filter(|(_, thread)| thread.process == Some(pid))
                .count();
            if Status::read(pid.leader()).is_ok_and(|status| status.threads != known && !status.is_dead())
                && let Err(error) = self.take(pid, start)
            {
                log::debug!("audit of {pid}: {error}");
            }
        }
    }

    fn forget_untraced(&mut self) {
        let known = self.waiting.tracees();
        let untraced: Vec<Tid> = known.filter(|tid| !wait::is_tracee(*tid)).collect();
        for tid in untraced {
            self.drop_thread(tid);
        }
    }

    /// Whether a process that was let go may still have to be looked at.
    pub fn has_departing(&self) -> bool {
        !self.departing.is_empty()
    }

    /// Remembers a process that was let go with a fatal signal.
    pub(super) fn departs(&mut self, process: Pid, start: StartTime) {
        if self.departing.len() < MAX_DEPARTING {
            self.departing.push(Departing {
                process,
                start,
                since: Instant::now(),
            });
        }
    }
}

fn is_alive(pid: Pid, start: StartTime) -> bool {
    attach::start_time(pid.leader()) == Some(start)
        && !attach::is_exiting(pid.leader())
        && Status::read(pid.leader()).is_ok_and(|status| !status.is_dead() && !status.dumping)
}

fn is_dumping(pid: Pid, start: StartTime) -> bool {
    attach::start_time(pid.leader()) == Some(start)
        && Status::read(pid.leader()).is_ok_and(|status| status.dumping)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::sys::ptrace::{self, Options};
    use crate::sys::tasks::Tasks;
    use crate::trace::engine::Process;

    /// A program with a few threads, all of which are there.
    fn threads() -> (std::process::Child, Vec<Tid>) {
        let program = "import threading, sys\n\
            for _ in range(3): threading.Thread(target=threading.Event().wait, daemon=True).start()\n\
            sys.stdin.read()";
        let mut python = Command::new("python3");
        let child = python
            .args(["-c", program])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let listed = Tasks::open(Pid(child.id() as i32)).and_then(|mut tasks| tasks.list());
            match listed {
                Ok(tids) if tids.len() == 4 => return (child, tids),
                _ if Instant::now() > deadline => panic!("the threads did not come"),
                _ => std::thread::yield_now(),
            }
        }
    }

    #[test]
    fn a_thread_that_slipped_through_is_taken_up() {
        let (mut child, tids) = threads();
        let pid = Pid(child.id() as i32);
        let mut engine = Engine::new(Options::threads()).unwrap();
        let (slipped, seized) = tids.split_last().unwrap();
        for tid in seized {
            ptrace::seize(*tid, Options::threads()).unwrap();
            engine.machine.seized(*tid, pid);
        }
        let start = attach::start_time(pid.leader()).unwrap();
        let known = Process {
            start,
            dispositions: None,
            handled: None,
        };
        engine.processes.insert(pid, known);
        assert!(!wait::is_tracee(*slipped));
        engine.audit();
        assert!(wait::is_tracee(*slipped));
        assert_eq!(engine.threads_of(pid).len(), tids.len());
        child.kill().unwrap();
        // The leader ends once its tracer has seen the ends of the others.
        let deadline = Instant::now() + Duration::from_secs(20);
        for tid in tids.iter().filter(|tid| **tid != pid.leader()) {
            while wait::is_tracee(*tid) && wait::reap(*tid).is_none() {
                assert!(Instant::now() < deadline, "{tid} does not end");
                std::thread::yield_now();
            }
        }
        child.wait().unwrap();
    }
}
