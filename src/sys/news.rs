//! SIGCHLD, by which a tracer learns that there is news of its tracees (sigtimedwait(2)).
//!
//! The signal names one task and, where that stopped for a signal, which (kernel/signal.c,
//! `do_notify_parent_cldstop`). Another stop that comes while it is pending raises none: so a tracer has to look
//! beyond what is named, and [`Alarm`] says when.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

use super::ptrace::Stopped;
use super::timer::Timer;
use super::wait::{Event, Stop};
use super::{SigNo, Tid};

/// The signal of the alarm. Its number is lower than that of SIGCHLD, so that it is taken first where both are
/// pending (kernel/signal.c, `next_signal`).
const ALARM: libc::c_int = libc::SIGUSR2;

/// What [`next`] came back with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "an alarm that nobody hears is never set again"]
pub enum News {
    /// SIGCHLD names this task. Others may have events too: the signal coalesces.
    Task(Named),
    /// The alarm went off.
    Alarm,
    /// A handler ran: the wake-up ([`super::wake`]).
    Interrupted,
    /// Nothing came in that time.
    Silence,
}

/// The task that a SIGCHLD names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Named {
    /// The task.
    pub tid: Tid,
    stopped_for: Option<SigNo>,
}

impl Named {
    /// The stop that raised the signal, if it is one that the signal describes whole.
    ///
    /// It is the stop that the thread is in now only if that was not answered since the last SIGCHLD was taken: the
    /// signal may have been pending since before the answer.
    pub fn stop(self) -> Option<Event> {
        let signal = self.stopped_for?;
        Some(Event::Stopped(Stopped::seen(self.tid), Stop::Signal(signal)))
    }
}

/// A timer whose end [`next`] reports.
#[derive(Debug)]
pub struct Alarm(Timer);

impl Alarm {
    /// An alarm that is not set. [`block_signals`] comes first.
    pub fn new() -> io::Result<Self> {
        Timer::new(ALARM).map(Self)
    }

    /// Sets it, once.
    pub fn set(&self, delay: Duration) {
        self.0.set(delay);
    }
}

/// Blocks the signals that [`next`] takes.
pub fn block_signals() {
    let set = signals([libc::SIGCHLD, ALARM]);
    // SAFETY: `set` is a live, initialised set; the old one is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
}

/// Waits for news. No timeout: for as long as it takes, which costs less than any limit.
pub fn next(timeout: Option<Duration>) -> News {
    take(signals([libc::SIGCHLD, ALARM]), timeout)
}

/// Waits for SIGCHLD alone: the alarm is left to whoever has set it. Whether it came.
pub fn await_child(timeout: Duration) -> bool {
    take(signals([libc::SIGCHLD]), Some(timeout)) != News::Silence
}

/// The task that SIGCHLD names, if it is pending; `Err` if a handler ran before that could be told.
pub fn pending_child() -> Result<Option<Named>, Errno> {
    match take(signals([libc::SIGCHLD]), Some(Duration::ZERO)) {
        News::Task(named) => Ok(Some(named)),
        News::Silence | News::Alarm => Ok(None),
        News::Interrupted => Err(Errno::EINTR),
    }
}

fn take(set: libc::sigset_t, timeout: Option<Duration>) -> News {
    // SAFETY: siginfo_t is plain data, all zero is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let limit = timeout.map(|time| libc::timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: i64::from(time.subsec_nanos()),
    });
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: all three point to live locals, or are null where that is allowed.
    let signal = unsafe { libc::sigtimedwait(&raw const set, &raw mut info, limit) };
    match Errno::result(signal) {
        Ok(ALARM) => News::Alarm,
        Ok(_) => News::Task(named(&info)),
        Err(Errno::EINTR) => News::Interrupted,
        Err(_) => News::Silence,
    }
}

/// Reads the siginfo of a SIGCHLD.
fn named(info: &libc::siginfo_t) -> Named {
    // SAFETY: SIGCHLD's siginfo carries the task.
    let tid = Tid(unsafe { info.si_pid() });
    // SAFETY: as above.
    let signal = SigNo(unsafe { info.si_status() });
    // Event stops show as SIGTRAP, without the event. Only the kernel can give this code to another process's signal.
    let whole = info.si_code == libc::CLD_TRAPPED && signal != SigNo::TRAP;
    Named {
        tid,
        stopped_for: whole.then_some(signal),
    }
}

fn signals<const N: usize>(numbers: [libc::c_int; N]) -> libc::sigset_t {
    // SAFETY: sigset_t is plain data, all zero is a valid (empty) set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    for signal in numbers {
        // SAFETY: `set` is live; the numbers are valid signals.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}
