//! `skip`: the thread goes on behind the instruction that faulted, as if that had done nothing.
//!
//! What its registers are then is worked out before ([`crate::diagnose::instruction::skipped`]). One single step shows
//! whether the thread comes on: where the next instruction faults as well, everything is as it was, and the signal is
//! what the thread takes.
//!
//! # If this process dies on the way
//!
//! Before the step, the thread takes its signal. In the step it runs already; the kernel may then end the process by the
//! SIGTRAP of a step that nobody waits for. A signal that arrived in the step then waits, blocked, until the program
//! unblocks it. Without the block the thread would take it on the instruction that it was put behind, before it is known
//! whether that one faults as well; and one that is taken away instead, to be sent again, would be lost.
//!
//! # What arrives in the step
//!
//! A signal that stops the thread in its step is handed back: with that signal blocked, going on with it has the kernel
//! put it back into the queue it came from, with sender and payload (kernel/signal.c, `ptrace_signal`). It is blocked for the
//! rest of the step alone. What cannot be blocked, SIGSTOP, and what must not be, a signal that the next instruction may
//! raise, is put aside and sent again.

use crate::sys::fail;
use crate::sys::process::bit;
use crate::sys::ptrace::{PtraceError, Stopped};
use crate::sys::regs::GeneralRegisters;
use crate::sys::signal::{SigInfo, send_to_thread};
use crate::sys::wait::{self, Event, Stop};
use crate::sys::{Pid, SigNo};

use super::inject::{Failure, Obstacle, status};

/// `TRAP_TRACE` (asm-generic/siginfo.h): a step was made.
const STEPPED: i32 = 2;

/// Puts a thread that stands in front of its signal behind its instruction, with those registers, and has it make one
/// step. It takes effect when the thread is let go on without a signal.
pub fn skip(thread: Stopped, process: Pid, after: &GeneralRegisters) -> Result<Stopped, Failure> {
    let ready = match prepare(&thread, after) {
        Ok(before) => before,
        Err(reason) => return Err(Failure::of(thread, reason)),
    };
    fail::point("isolate.skip.sent");
    let tid = thread.tid();
    let mut arrived = Arrived::default();
    let stepped = step(thread, &ready, &mut arrived);
    if let (
        Some(mask),
        Ok(thread)
        | Err(Failure {
            thread: Some(thread), ..
        }),
    ) = (arrived.mask, &stepped)
    {
        // Failure means that it has died.
        let _ = thread.set_signal_mask(mask);
    }
    for signal in arrived.aside {
        if let Err(error) = send_to_thread(process, tid, signal) {
            log::warn!("{signal} could not be sent to {tid} again: {error}");
        }
    }
    stepped
}

/// What the thread was like.
struct Before {
    registers: GeneralRegisters,
    siginfo: SigInfo,
}

/// What arrived in the step, which was not for it.
#[derive(Default)]
struct Arrived {
    /// Signals that are to be sent again.
    aside: Vec<SigNo>,
    /// The mask that the thread had before signals were blocked.
    mask: Option<u64>,
}

impl Arrived {
    /// Hands a signal back to the kernel, and has the thread make its step again.
    fn put_back(&mut self, thread: Stopped, signal: SigNo) -> Result<(), PtraceError> {
        let mask = thread.signal_mask()?;
        self.mask.get_or_insert(mask);
        thread.set_signal_mask(mask | bit(signal))?;
        thread.single_step(Some(signal))
    }

    /// Takes a signal away, and has the thread make its step again.
    fn put_aside(&mut self, thread: Stopped, signal: SigNo) -> Result<(), PtraceError> {
        wait::consume(&thread);
        self.aside.push(signal);
        thread.single_step(None)
    }
}

fn prepare(thread: &Stopped, after: &GeneralRegisters) -> Result<Before, Obstacle> {
    // A trap that is blocked or ignored would have the kernel forget what the program does about it.
    let trap = bit(SigNo::TRAP);
    if (thread.signal_mask()? | status(thread)?.ignored) & trap != 0 {
        return Err(Obstacle::NoStep);
    }
    let before = Before {
        registers: thread.registers()?,
        siginfo: thread.siginfo().map_err(|_| Obstacle::NoSignal)?,
    };
    thread.set_registers(after)?;
    Ok(before)
}

/// Has the thread make its step.
fn step(thread: Stopped, before: &Before, arrived: &mut Arrived) -> Result<Stopped, Failure> {
    let tid = thread.tid();
    let lost = |reason: Obstacle| Failure { thread: None, reason };
    let failed = |error: PtraceError| lost(error.into());
    thread.single_step(None).map_err(failed)?;
    loop {
        let Some(Event::Stopped(thread, stop)) = wait::await_one(tid) else {
            return Err(failed(PtraceError::Died(tid)));
        };
        match stop {
            Stop::Signal(signal) => {
                let code = thread.siginfo().map_or(0, |info| info.code());
                if signal == SigNo::TRAP && code == STEPPED {
                    // Nobody is to take this signal, should we die now.
                    wait::consume(&thread);
                    return Ok(thread);
                }
                if signal.is_hardware() && code > 0 {
                    thread.set_registers(&before.registers).map_err(failed)?;
                    thread.set_siginfo(&before.siginfo).map_err(failed)?;
                    return Err(Failure::of(thread, Obstacle::NoProgress(signal)));
                }
                if signal == SigNo::STOP || signal == SigNo::TRAP || signal.is_hardware() {
                    arrived.put_aside(thread, signal).map_err(failed)?;
                } else {
                    arrived.put_back(thread, signal).map_err(failed)?;
                }
            }
            Stop::Group(_) | Stop::Trap => thread.single_step(None).map_err(failed)?,
            _ => return Err(lost(Obstacle::Unexpected(stop))),
        }
    }
}
