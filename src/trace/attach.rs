//! Taking up every thread of a process, without stopping one.
//!
//! Threads are born while we look, so passes over `/proc/PID/task` repeat until one that began after the last
//! successful seizure finds nothing new. A thread whose parent is seized is traced from birth, but for the few
//! whose clone was under way at that moment (the kernel decides before it copies the parent): an audit finds
//! those later.
//!
//! What is listed belongs to the process, whose directory is kept open; what is seized is only a number, which may
//! have gone to a thread of another process in between. The last pass tells: it lists all that were seized, but for
//! those that an exec has swept away. Asking for each thread instead would cost as much again as its seizure.
//!
//! `PTRACE_SEIZE` waits while a thread of the process is in exec, and that exec may wait for us to reap a thread
//! that it killed. So a [`Deadline`] runs: a tracer that gets stuck here ends, which releases everything.

use std::fs;
use std::time::{Duration, Instant};

use fnv::FnvHashSet;
use nix::errno::Errno;

use crate::sys::deadline::Deadline;
use crate::sys::fail;
use crate::sys::ptrace::{self, Options, PtraceError};
use crate::sys::tasks::Tasks;
use crate::sys::{Pid, StartTime, Tid};

use crate::sys::status::Status;

/// After so many passes with a new thread each, the process is considered attached; audits find the rest.
const MAX_PASSES: usize = 1000;
/// How many threads are seized under one deadline.
const STRIDE: usize = 256;
/// How long so many seizures may take: 5 us each where nothing is in the way.
const STUCK: Duration = Duration::from_millis(500);

/// How long another tracer that is on its way out may take to let go of its threads, and the pause between two looks.
const ENDING: Duration = Duration::from_millis(300);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Fields of `/proc/TID/stat`, and bits of the second (include/linux/sched.h).
const START_TIME: usize = 22;
const FLAGS: usize = 9;
const PROCESSOR: usize = 39;
const PF_EXITING: u64 = 0x4;
const PF_KTHREAD: u64 = 0x0020_0000;

/// Why a process cannot be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is no such process, or it ended meanwhile.
    #[error("no such process {0}; look it up with 'pgrep' or 'ps'")]
    NoSuchProcess(Pid),
    /// The id is that of a thread.
    #[error("{tid} is a thread of process {process}; attach to {process}")]
    Thread {
        /// The id that was given.
        tid: Tid,
        /// Its process.
        process: Pid,
    },
    /// Somebody else traces it.
    #[error("already traced by {name} (pid {tracer}); end that session or attach after it")]
    Traced {
        /// The other tracer.
        tracer: Pid,
        /// Its name.
        name: String,
    },
    /// It is one that must not be traced by us.
    #[error("{0}")]
    Refused(&'static str),
    /// The kernel does not allow it.
    #[error(
        "not permitted: it belongs to another user, runs set-user-ID or is protected; \
         run as root or with CAP_SYS_PTRACE ('sickbay doctor' tells more)"
    )]
    NotPermitted,
    /// The id was given to another process meanwhile.
    #[error("process {0} was replaced by another one with the same id; try again")]
    Replaced(Pid),
    /// Something else.
    #[error("{0}")]
    Failed(#[from] PtraceError),
}

/// The threads that one call has taken up.
pub(super) type Taken = FnvHashSet<Tid>;

/// Checks that a process is one that may be attached at all.
pub(super) fn examine(pid: Pid) -> Result<StartTime, AttachError> {
    let status = Status::read(pid.leader()).map_err(|_| AttachError::NoSuchProcess(pid))?;
    if status.process() != pid {
        return Err(AttachError::Thread {
            tid: pid.leader(),
            process: status.process(),
        });
    }
    if pid == Pid(1) {
        return Err(AttachError::Refused(
            "process 1 is never attached: the whole machine waits when it is held",
        ));
    }
    if flags(pid.leader()).is_some_and(|flags| flags & PF_KTHREAD != 0) {
        return Err(AttachError::Refused(
            "it is a kernel thread, which cannot be traced",
        ));
    }
    if status.name == "systemd-journal" {
        return Err(AttachError::Refused(
            "the journal is never attached: what examines it would wait for it",
        ));
    }
    let own = Status::read(Tid(std::process::id() as i32)).unwrap_or_default();
    if status.tgid == own.tgid || is_ancestor(pid, &own) {
        return Err(AttachError::Refused(
            "it is sickbay itself, or one of the processes that started it",
        ));
    }
    if own.tracer != 0 && Status::read(Tid(own.tracer)).is_ok_and(|tracer| tracer.tgid == pid.0) {
        return Err(AttachError::Refused(
            "it traces sickbay: two tracers of each other could not be ended",
        ));
    }
    start_time(pid.leader()).ok_or(AttachError::NoSuchProcess(pid))
}

/// Seizes every thread of a process that `known` does not name; they are returned in that order.
pub(super) fn take(
    pid: Pid,
    start: StartTime,
    options: Options,
    mut known: impl FnMut(Tid) -> bool,
) -> Result<Vec<Tid>, AttachError> {
    let mut tasks = Tasks::open(pid).map_err(|_| AttachError::NoSuchProcess(pid))?;
    if start_time(pid.leader()) != Some(start) {
        return Err(AttachError::Replaced(pid));
    }
    let (mut taken, mut in_order) = (Taken::default(), Vec::new());
    let mut listed = Vec::new();
    for _ in 0..MAX_PASSES {
        listed = tasks.list().unwrap_or_default();
        if listed.is_empty() {
            return Err(AttachError::NoSuchProcess(pid));
        }
        let before = taken.len();
        for stride in listed.chunks(STRIDE) {
            let _deadline = Deadline::after(STUCK);
            for tid in stride {
                if !known(*tid) && !taken.contains(tid) && seize(*tid, options)? {
                    taken.insert(*tid);
                    in_order.push(*tid);
                }
            }
        }
        fail::point("tracer.attach.pass");
        if taken.len() == before {
            break;
        }
    }
    verify(pid, &taken, &listed)?;
    Ok(in_order)
}

/// Whether all that was taken belongs to the process, of which `listed` is the last pass.
fn verify(pid: Pid, taken: &Taken, listed: &[Tid]) -> Result<(), AttachError> {
    if listed.iter().filter(|tid| taken.contains(tid)).count() == taken.len() {
        return Ok(());
    }
    let listed: Taken = listed.iter().copied().collect();
    let own = tracer_id();
    let foreign =
        |tid: &Tid| Status::read(*tid).is_ok_and(|status| status.process() != pid && status.tracer == own);
    if taken.difference(&listed).any(foreign) {
        return Err(AttachError::Replaced(pid));
    }
    Ok(())
}

/// When a task started.
pub fn start_time(tid: Tid) -> Option<StartTime> {
    stat_field(tid, START_TIME)?.parse().ok().map(StartTime)
}

/// The CPU that a task runs on, or ran on last.
pub(super) fn last_cpu(tid: Tid) -> Option<usize> {
    stat_field(tid, PROCESSOR)?.parse().ok()
}

/// Whether a task is on its way out (`PF_EXITING`): its memory is being given back, and nothing of it runs.
pub(super) fn is_exiting(tid: Tid) -> bool {
    flags(tid).is_none_or(|flags| flags & PF_EXITING != 0)
}

/// Flags of a task (`PF_*`).
fn flags(tid: Tid) -> Option<u64> {
    stat_field(tid, FLAGS)?.parse().ok()
}

/// A field of the task's own stat, counted as in proc_pid_stat(5). That of the process adds up what all of its
/// threads have used: 1 ms for 10,000.
fn stat_field(tid: Tid, number: usize) -> Option<String> {
    let stat = fs::read(format!("/proc/{tid}/task/{tid}/stat")).ok()?;
    // The name in the second field may hold spaces and parentheses.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    rest.split_whitespace()
        .nth(number.checked_sub(3)?)
        .map(str::to_owned)
}

/// Seizes one thread; false where it ended meanwhile.
fn seize(tid: Tid, options: Options) -> Result<bool, AttachError> {
    seize_within(tid, options, Instant::now() + ENDING)
}

/// The same, with patience for a tracer that is about to end: it still holds its threads when its sockets are closed.
fn seize_within(tid: Tid, options: Options, patience: Instant) -> Result<bool, AttachError> {
    let error = match ptrace::seize(tid, options) {
        Ok(()) => return Ok(true),
        Err(PtraceError::Died(_)) => return Ok(false),
        Err(error) => error,
    };
    // The kernel says EPERM for a thread that is traced already, that has ended, and that is out of reach.
    let PtraceError::Refused {
        errno: Errno::EPERM, ..
    } = error
    else {
        return Err(error.into());
    };
    let Ok(status) = Status::read(tid) else {
        return Ok(false);
    };
    let own = tracer_id();
    match status.tracer {
        _ if status.is_dead() => Ok(false),
        0 => Err(AttachError::NotPermitted),
        tracer if tracer == own => Ok(true),
        tracer if is_exiting(Tid(tracer)) && Instant::now() < patience => {
            std::thread::sleep(LOOK_AGAIN);
            seize_within(tid, options, patience)
        }
        tracer => {
            let name = Status::read(Tid(tracer))
                .map(|status| status.name)
                .unwrap_or_else(|_| "?".into());
            Err(AttachError::Traced {
                tracer: Pid(tracer),
                name,
            })
        }
    }
}

/// How the status of a tracee names us: the thread that has seized it.
fn tracer_id() -> i32 {
    nix::unistd::gettid().as_raw()
}

fn is_ancestor(pid: Pid, own: &Status) -> bool {
    let mut parent = own.parent;
    // A chain of parents is short; the bound is against one that changes while it is read.
    for _ in 0..1000 {
        if parent == pid.0 {
            return true;
        }
        match Status::read(Tid(parent)) {
            Ok(status) if status.parent > 0 => parent = status.parent,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_thread_that_turns_out_to_be_another_processs_is_noticed() {
        let mut cat = Command::new("cat");
        let mut child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Once it answers, its exec is over, which would be a stop.
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let pid = Pid(child.id() as i32);
        let start = start_time(pid.leader()).unwrap();
        let taken = take(pid, start, Options::threads(), |_| false).unwrap();
        assert_eq!(taken, [pid.leader()]);
        let taken = Taken::from_iter(taken);

        let own = Pid(std::process::id() as i32);
        assert!(verify(pid, &taken, &[pid.leader()]).is_ok());
        assert!(matches!(verify(own, &taken, &[]), Err(AttachError::Replaced(_))));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(verify(own, &taken, &[]).is_ok(), "one that is gone is nobody's");
    }

    #[test]
    fn another_process_with_the_same_id_is_not_seized() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid(child.id() as i32);
        let start = start_time(pid.leader()).unwrap();
        let earlier = StartTime(start.0 - 1);
        let refused = take(pid, earlier, Options::threads(), |_| false);
        assert!(matches!(refused, Err(AttachError::Replaced(_))), "{refused:?}");
        assert_eq!(Status::read(pid.leader()).unwrap().tracer, 0);
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
