//! What a turn of the engine leaves to its caller.

use std::time::Instant;

use crate::sys::ptrace::Stopped;
use crate::sys::regs::GeneralRegisters;
use crate::sys::signal::SigInfo;
use crate::sys::status::Status;
use crate::sys::wait::ExitStatus;
use crate::sys::{Pid, SigNo, StartTime, Tid};
use crate::trace::stop_rate::TooManyStops;

/// What one turn of the engine came to.
#[derive(Debug)]
pub enum Turn {
    /// A signal is about to end a process. The thread waits.
    Fault(Box<Fault>),
    /// A process has ended; it still waits to be reaped.
    Ending(Ending),
    /// A thread of a process was killed by a seccomp filter, alone or with all of them.
    Refused(Pid),
    /// A process of the service runs another program now.
    Exec(Pid),
    /// The process that is followed takes a signal that this process has sent it, one that groups are sent.
    Took(SigNo, Pid),
    /// A process goes on that was stopped as a whole.
    GoesOn(Pid),
    /// The service stops more often than its limit allows.
    TooManyStops(TooManyStops),
    /// The front, or a timer.
    Woken,
    /// No thread is traced.
    Nobody,
}

/// A fatal signal, seen in one thread before it takes effect.
#[derive(Debug)]
#[must_use = "a fault is delivered, suppressed or passed on"]
pub struct Fault {
    /// The thread, in its signal-delivery-stop.
    pub thread: Stopped,
    /// Its process.
    pub process: Pid,
    /// The signal.
    pub signal: SigNo,
    /// `siginfo_t`, if it could be read.
    pub siginfo: Option<SigInfo>,
    /// The hardware fault that the program's own handler took last, if any.
    pub handled: Option<HandledFault>,
    /// When the stop was seen.
    pub seen: Instant,
    /// What /proc said of the thread then.
    pub status: Status,
}

/// A hardware fault that went to the program's own handler.
#[derive(Clone, Debug)]
pub struct HandledFault {
    /// The thread.
    pub tid: Tid,
    /// The signal.
    pub signal: SigNo,
    /// `siginfo_t`.
    pub siginfo: SigInfo,
    /// Its registers.
    pub registers: GeneralRegisters,
    /// When.
    pub seen: Instant,
}

/// A process that has ended, not yet reaped: /proc still tells its name and times.
#[derive(Debug)]
#[must_use = "a dead process is reaped: its parent learns of its end only then"]
pub struct Ending {
    /// The process.
    pub process: Pid,
    /// When it had started.
    pub start: StartTime,
    /// How it ended.
    pub status: ExitStatus,
}

impl Fault {
    /// Puts another signal in the place of its own, with the same sender.
    pub fn replace_signal(&mut self, signal: SigNo) {
        self.signal = signal;
        if let Some(info) = self.siginfo.as_mut() {
            *info = info.with_signal(signal);
            // Failure means that the thread died; the kernel would fill in this tracer as the sender.
            let _ = self.thread.set_siginfo(info);
        }
    }
}
