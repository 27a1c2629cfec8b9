//! Signals that somebody sent: another process, the process itself, a timer, the terminal, a limit.
//!
//! The kernel's own SIGPIPE and SIGXFSZ look as if the process had sent them to itself (`SI_USER` with its own
//! pid, `send_sig(sig, current, 0)`); the system call that the thread is in tells them from `kill(2)`.

use super::abort::Abort;
use super::subject::Subject;
use super::{Cause, Finding, system_call_name};
use crate::sys::signal::{SI_KERNEL, SI_MESGQ, SI_QUEUE, SI_TKILL};
use crate::sys::{Pid, SigNo};

const SI_USER: i32 = 0;
const SI_TIMER: i32 = -2;
const SI_SIGIO: i32 = -5;
const SI_ASYNCIO: i32 = -4;

// Numbers of signal(7), equal on all architectures that are supported.
const PIPE: SigNo = SigNo(13);
const ALRM: SigNo = SigNo(14);
const VTALRM: SigNo = SigNo(26);
const PROF: SigNo = SigNo(27);

/// What is known about the sender beside siginfo.
pub(super) struct Sender<'a> {
    /// The process's id in its own pid namespace, where senders are counted.
    pub(super) own_pid: Option<Pid>,
    /// The sender's command name.
    pub(super) comm: Option<&'a str>,
}

/// Explains a signal that no instruction raised.
pub(super) fn explain(subject: &Subject<'_>, sender: &Sender<'_>, abort: &Abort) -> Finding {
    let signal = subject.signal;
    match subject.code() {
        SI_USER | SI_TKILL | SI_QUEUE | SI_MESGQ if is_itself(subject, sender) => by_itself(subject, abort),
        SI_USER | SI_TKILL | SI_QUEUE | SI_MESGQ => by_other(subject, sender),
        SI_TIMER => Finding::new(Cause::Timer, format!("{signal} from a timer that ran out")),
        SI_SIGIO | SI_ASYNCIO => Finding::new(Cause::RaisedByKernel, format!("{signal} for input or output")),
        _ => by_kernel(subject),
    }
}

/// Whether the process sent the signal to itself.
pub(super) fn is_itself(subject: &Subject<'_>, sender: &Sender<'_>) -> bool {
    let from = subject.info.and_then(|info| info.sender()).map(|(pid, _)| pid);
    from.is_some() && from == sender.own_pid
}

fn by_itself(subject: &Subject<'_>, abort: &Abort) -> Finding {
    let signal = subject.signal;
    let called = subject
        .registers
        .as_ref()
        .and_then(|registers| registers.system_call());
    let in_other_call = called.is_some_and(|call| system_call_name(call.number) != Some("kill"));
    match signal {
        SigNo::ABRT => abort.explain(),
        PIPE if subject.code() == SI_USER && in_other_call => Finding::new(
            Cause::BrokenPipe,
            "wrote to a pipe or socket that nobody reads any more",
        ),
        SigNo::XFSZ if subject.code() == SI_USER && in_other_call => Finding::new(
            Cause::FileSizeLimit,
            "wrote past the file size limit (RLIMIT_FSIZE)",
        ),
        _ => Finding::new(
            Cause::RaisedByItself,
            format!("the process sent {signal} to itself"),
        ),
    }
}

fn by_other(subject: &Subject<'_>, sender: &Sender<'_>) -> Finding {
    let signal = subject.signal;
    let Some((pid, uid)) = subject.info.and_then(|info| info.sender()) else {
        return Finding::new(
            Cause::SentByProcess,
            format!("{signal} was sent by an unknown process"),
        );
    };
    let who = match (sender.comm, pid) {
        (Some(comm), pid) => format!("{comm} (pid {pid}, uid {uid})"),
        // The kernel shows 0 for a sender that the receiver's pid namespace has no id for.
        (None, Pid(0)) => format!("a process outside of its pid namespace (uid {uid})"),
        (None, pid) => format!("pid {pid} (uid {uid})"),
    };
    let by_manager = pid == Pid(1) || sender.comm == Some("systemd");
    if signal == SigNo::ABRT && by_manager {
        let detail = format!("{signal} from the service manager, {who}: its watchdog or a timeout ran out");
        return Finding::new(Cause::Watchdog, detail);
    }
    Finding::new(Cause::SentByProcess, format!("{signal} was sent by {who}"))
}

fn by_kernel(subject: &Subject<'_>) -> Finding {
    let signal = subject.signal;
    match signal {
        SigNo::XCPU => Finding::new(Cause::CpuTimeLimit, "used up its CPU time limit (RLIMIT_CPU)"),
        SigNo::XFSZ => Finding::new(
            Cause::FileSizeLimit,
            "wrote past the file size limit (RLIMIT_FSIZE)",
        ),
        PIPE => Finding::new(
            Cause::BrokenPipe,
            "wrote to a pipe or socket that nobody reads any more",
        ),
        ALRM | VTALRM | PROF => Finding::new(Cause::Timer, format!("{signal} from a timer that ran out")),
        SigNo::HUP | SigNo::INT | SigNo::QUIT | SigNo::TSTP if subject.code() == SI_KERNEL => {
            Finding::new(Cause::Terminal, format!("{signal} from the controlling terminal"))
        }
        _ => Finding::new(Cause::RaisedByKernel, format!("{signal} from the kernel")),
    }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;
    use crate::diagnose::sample::{Case, PID};

    #[test]
    fn senders_are_named() {
        let term = Case::sent(SigNo::TERM, 0, 812).comm("kill").told();
        assert_eq!(
            (term.0, term.2),
            (
                Cause::SentByProcess,
                "SIGTERM was sent by kill (pid 812, uid 1000)".into()
            )
        );
        let segv = Case::sent(SigNo::SEGV, SI_QUEUE, 812).told();
        assert_eq!(
            (segv.0, segv.2),
            (
                Cause::SentByProcess,
                "SIGSEGV was sent by pid 812 (uid 1000)".into()
            )
        );
        assert_eq!(
            Case::sent(SigNo::SEGV, SI_TKILL, PID).cause(),
            Cause::RaisedByItself
        );
        assert_eq!(Case::sent(SigNo::ABRT, 0, 812).cause(), Cause::SentByProcess);
        assert_eq!(
            Case::sent(SigNo::ABRT, 0, 1).comm("systemd").cause(),
            Cause::Watchdog
        );
        let outside = Case::sent(SigNo::TERM, 0, 0).told();
        assert!(
            outside.2.contains("outside of its pid namespace"),
            "{}",
            outside.2
        );
    }

    #[test]
    fn a_process_knows_itself_by_its_inner_id() {
        let mut case = Case::sent(SigNo::SEGV, SI_TKILL, 7);
        let status = case
            .capture
            .keep(b"Name:\tprog\nNStgid:\t4711\t7\nNSpid:\t4728\t24\n");
        case.capture.facts.process.status = Some(status);
        assert_eq!(case.cause(), Cause::RaisedByItself);
    }

    #[test]
    fn the_kernels_own_signals_are_told_by_the_call_they_interrupt() {
        let by_kernel = |number, code| Case::sent(SigNo(number), code, PID).with("orig_rax", 1).cause();
        assert_eq!(by_kernel(libc::SIGPIPE, 0), Cause::BrokenPipe);
        assert_eq!(by_kernel(libc::SIGXFSZ, 0), Cause::FileSizeLimit);
        let killed_itself = Case::sent(SigNo(libc::SIGPIPE), 0, PID).with("orig_rax", libc::SYS_kill as u64);
        assert_eq!(killed_itself.cause(), Cause::RaisedByItself);
        assert_eq!(by_kernel(libc::SIGXFSZ, SI_TKILL), Cause::RaisedByItself);
        let from_kernel = |number, code| Case::new(SigNo(number), code, 0).cause();
        assert_eq!(from_kernel(libc::SIGXCPU, 0x80), Cause::CpuTimeLimit);
        assert_eq!(from_kernel(libc::SIGALRM, 0x80), Cause::Timer);
        assert_eq!(from_kernel(40, -2), Cause::Timer);
        assert_eq!(from_kernel(libc::SIGQUIT, 0x80), Cause::Terminal);
        assert_eq!(from_kernel(libc::SIGIO, -5), Cause::RaisedByKernel);
        assert_eq!(from_kernel(libc::SIGSYS, 0x80), Cause::DispatchedSystemCall);
    }
}
