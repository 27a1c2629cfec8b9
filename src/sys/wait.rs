//! waitid(2) for a tracer: look at an event without consuming it, then act, then reap only the dead.
//!
//! A tracer that dies after it consumed a signal-delivery-stop takes the signal with it: the service goes on
//! as if never signalled. Every stop is therefore looked at with `WNOWAIT`; the request that resumes the thread
//! ends the stop. The status is decoded from its number, since enums of signals lack the realtime ones.
//!
//! `WCONTINUED` is never asked for of a tracee: it would eat the notification of the service's own parent. Of our own
//! children we are the parent.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::ptrace::Stopped;
use super::{Pid, SigNo, Tid};

/// Something that happened to a tracee.
#[derive(Debug)]
pub enum Event {
    /// It is in a ptrace-stop.
    Stopped(Stopped, Stop),
    /// It has ended and waits to be [`reap`]ed.
    Ended(Tid, ExitStatus),
}

/// Why a thread is in a ptrace-stop (ptrace(2), "Stopped states").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// signal-delivery-stop: the signal is about to be delivered.
    Signal(SigNo),
    /// group-stop: the whole process is stopped by this signal.
    Group(SigNo),
    /// `PTRACE_EVENT_STOP` with SIGTRAP: first stop of a new task, an interrupt, or the end of a group-stop.
    Trap,
    /// `PTRACE_EVENT_CLONE`, `_FORK` or `_VFORK`; the event message is the new task.
    NewTask(Birth),
    /// `PTRACE_EVENT_EXEC`; the event message is the former id of the task.
    Exec,
    /// An event that this tracer did not ask for.
    Other(i32),
}

/// Which kind of task was born.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Birth {
    /// By clone(2) with another exit signal than SIGCHLD: a thread, nearly always.
    Clone,
    /// By fork(2).
    Fork,
    /// By vfork(2) or posix_spawn(3): the parent waits in the kernel.
    Vfork,
}

/// How a task ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Killed {
        /// The signal.
        signal: SigNo,
        /// Whether the kernel wrote a core.
        core: bool,
    },
}

impl ExitStatus {
    /// Reads the status as wait(2) encodes it.
    pub const fn from_raw(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Exited(status >> 8 & 0xff),
            signal => Self::Killed {
                signal: SigNo(signal),
                core: status & 0x80 != 0,
            },
        }
    }
}

/// What a look at all tracees came back with.
#[derive(Debug)]
pub enum Look {
    /// An event.
    Event(Event),
    /// None has anything to report.
    Nothing,
    /// There is no tracee left.
    Nobody,
}

impl Event {
    /// The tracee.
    pub fn tid(&self) -> Tid {
        match self {
            Self::Stopped(thread, _) => thread.tid(),
            Self::Ended(tid, _) => *tid,
        }
    }
}

/// Looks at one tracee, without waiting. None: nothing new, or it is no tracee of ours any more.
pub fn peek(tid: Tid) -> Option<Event> {
    let options = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
    wait(libc::P_PID, tid.0, options).unwrap_or_default()
}

/// Whether a task is a tracee of ours that was not reaped.
pub fn is_tracee(tid: Tid) -> bool {
    let options = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
    wait(libc::P_PID, tid.0, options).is_ok()
}

/// Looks at all tracees, without waiting, newest first. Costs time in proportion to the number of those that have
/// nothing to report: 15 ns each.
pub fn peek_any() -> Look {
    let options = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
    match wait(libc::P_ALL, 0, options) {
        Ok(Some(event)) => Look::Event(event),
        Ok(None) | Err(Errno::EINTR) => Look::Nothing,
        Err(_) => Look::Nobody,
    }
}

/// Waits until one tracee has something to report. None: it is no tracee of ours any more.
///
/// Blocks for as long as the thread runs: the caller holds a [`super::deadline::Deadline`].
pub fn await_one(tid: Tid) -> Option<Event> {
    loop {
        match wait(libc::P_PID, tid.0, libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT) {
            Ok(Some(event)) => return Some(event),
            Ok(None) | Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// Consumes a stop that carries no signal which could be lost.
///
/// * An exec by another thread than the leader: the survivor has the leader's id, and every request fails with ESRCH
///   until its tracer has waited for the event (kernel/ptrace.c, `looks_like_a_spurious_pid`, since 5.13).
/// * A stop at a system call: where it was not consumed and its tracer dies, the thread is sent SIGTRAP
///   (include/linux/ptrace.h, `ptrace_report_syscall`).
pub fn consume(thread: &Stopped) {
    // Failure means that the thread died; the next request tells.
    let _ = wait(libc::P_PID, thread.tid().0, libc::WSTOPPED | libc::WNOHANG);
}

/// A change of one of our own children.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChildChange {
    /// It ended, and is reaped.
    Ended(ExitStatus),
    /// It was stopped by this signal.
    Stopped(SigNo),
    /// It was continued.
    Continued,
}

/// Takes the next change of one of our own children that we do not trace, without waiting.
pub fn child_change(pid: Pid) -> Option<ChildChange> {
    let options = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED | libc::WNOHANG;
    // SAFETY: siginfo_t is plain data, all zero is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is a live siginfo_t; the kernel checks the rest.
    let outcome = unsafe {
        libc::waitid(
            libc::P_PID,
            pid.0 as libc::id_t,
            &raw mut info,
            options | libc::__WALL,
        )
    };
    Errno::result(outcome).ok()?;
    // SAFETY: waitid fills the SIGCHLD members, or leaves zero where there was no change.
    let status = unsafe { info.si_status() };
    match info.si_code {
        0 => None,
        libc::CLD_CONTINUED => Some(ChildChange::Continued),
        libc::CLD_STOPPED => Some(ChildChange::Stopped(SigNo(status))),
        code => match decode(Tid(pid.0), code, status) {
            Event::Ended(_, status) => Some(ChildChange::Ended(status)),
            Event::Stopped(..) => None,
        },
    }
}

/// Consumes the end of a dead tracee. Its process's exec and its parent's knowledge of the exit wait for this.
pub fn reap(tid: Tid) -> Option<ExitStatus> {
    match wait(libc::P_PID, tid.0, libc::WEXITED | libc::WNOHANG) {
        Ok(Some(Event::Ended(_, status))) => Some(status),
        _ => None,
    }
}

fn wait(kind: libc::idtype_t, id: i32, options: i32) -> Result<Option<Event>, Errno> {
    // SAFETY: siginfo_t is plain data, all zero is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is a live siginfo_t; the kernel checks the rest.
    let outcome = unsafe { libc::waitid(kind, id as libc::id_t, &raw mut info, options | libc::__WALL) };
    Errno::result(outcome)?;
    // SAFETY: waitid fills the SIGCHLD members, or leaves zero where there was no event.
    let pid = unsafe { info.si_pid() };
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    Ok((pid != 0).then(|| decode(Tid(pid), info.si_code, status)))
}

fn decode(tid: Tid, code: i32, status: i32) -> Event {
    match code {
        libc::CLD_EXITED => Event::Ended(tid, ExitStatus::Exited(status)),
        libc::CLD_KILLED | libc::CLD_DUMPED => {
            let signal = SigNo(status & 0x7f);
            Event::Ended(
                tid,
                ExitStatus::Killed {
                    signal,
                    core: code == libc::CLD_DUMPED,
                },
            )
        }
        _ => Event::Stopped(Stopped::seen(tid), stop_of(status)),
    }
}

/// Reads the status of a stop: the signal in the low byte, the ptrace event above it.
fn stop_of(status: i32) -> Stop {
    let signal = SigNo(status & 0x7f);
    match status >> 8 {
        0 => Stop::Signal(signal),
        libc::PTRACE_EVENT_STOP if signal == SigNo::TRAP => Stop::Trap,
        libc::PTRACE_EVENT_STOP => Stop::Group(signal),
        libc::PTRACE_EVENT_CLONE => Stop::NewTask(Birth::Clone),
        libc::PTRACE_EVENT_FORK => Stop::NewTask(Birth::Fork),
        libc::PTRACE_EVENT_VFORK => Stop::NewTask(Birth::Vfork),
        libc::PTRACE_EVENT_EXEC => Stop::Exec,
        event => Stop::Other(event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realtime_signals_keep_their_numbers() {
        for number in [32, 33, 34, 64] {
            assert_eq!(stop_of(number), Stop::Signal(SigNo(number)));
        }
    }

    #[test]
    fn event_stops_are_told_from_signals() {
        let event = |signal: i32, event: i32| stop_of(signal | event << 8);
        assert_eq!(event(libc::SIGTRAP, libc::PTRACE_EVENT_STOP), Stop::Trap);
        assert_eq!(
            event(libc::SIGTSTP, libc::PTRACE_EVENT_STOP),
            Stop::Group(SigNo::TSTP)
        );
        assert_eq!(
            event(libc::SIGTRAP, libc::PTRACE_EVENT_VFORK),
            Stop::NewTask(Birth::Vfork)
        );
        assert_eq!(stop_of(libc::SIGTRAP), Stop::Signal(SigNo::TRAP));
        assert_eq!(
            event(libc::SIGTRAP, libc::PTRACE_EVENT_SECCOMP),
            Stop::Other(libc::PTRACE_EVENT_SECCOMP)
        );
    }

    #[test]
    fn deaths_carry_the_core_flag() {
        let died = |code, status| match decode(Tid(1), code, status) {
            Event::Ended(_, status) => status,
            Event::Stopped(..) => panic!("a death"),
        };
        assert_eq!(died(libc::CLD_EXITED, 3), ExitStatus::Exited(3));
        assert_eq!(
            died(libc::CLD_DUMPED, 11),
            ExitStatus::Killed {
                signal: SigNo::SEGV,
                core: true
            }
        );
        assert_eq!(
            died(libc::CLD_KILLED, 64),
            ExitStatus::Killed {
                signal: SigNo(64),
                core: false
            }
        );
    }
}
