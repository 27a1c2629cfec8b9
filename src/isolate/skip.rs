//! `skip`: the thread goes on behind the instruction that faulted, as if that had done nothing.
//!
//! What its registers are then is worked out before ([`crate::diagnose::instruction::skipped`]). One single step shows
//! whether the thread comes on: where the next instruction faults as well, everything is as it was, and the signal is
//! what the thread takes.
//!
//! # If this process dies on the way
//!
//! Before the step, the thread takes its signal. In the step it runs already; the kernel may then end the process by the
//! SIGTRAP of a step that nobody waits for.

use crate::sys::fail;
use crate::sys::process::bit;
use crate::sys::ptrace::{PtraceError, Stopped};
use crate::sys::regs::GeneralRegisters;
use crate::sys::signal::{SigInfo, send_to_thread};
use crate::sys::wait::{self, Event, Stop};
use crate::sys::{Pid, SigNo};

use super::inject::{Failure, Obstacle};
use super::protections::Protections;

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
    let mut others = Vec::new();
    let stepped = step(thread, &ready, &mut others);
    // What arrived in the step was not for it.
    for signal in others {
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

fn prepare(thread: &Stopped, after: &GeneralRegisters) -> Result<Before, Obstacle> {
    // A trap that is blocked or ignored would have the kernel forget what the program does about it.
    let trap = bit(SigNo::TRAP);
    if (thread.signal_mask()? | Protections::read(thread.tid()).ignored) & trap != 0 {
        return Err(Obstacle::NoStep);
    }
    let before = Before {
        registers: thread.registers()?,
        siginfo: thread.siginfo().map_err(|_| Obstacle::NoSignal)?,
    };
    thread.set_registers(after)?;
    Ok(before)
}

/// Has the thread make its step. Other signals than those of an instruction are put aside.
fn step(thread: Stopped, before: &Before, others: &mut Vec<SigNo>) -> Result<Stopped, Failure> {
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
                wait::consume(&thread);
                others.push(signal);
                thread.single_step(None).map_err(failed)?;
            }
            Stop::Group(_) | Stop::Trap => thread.single_step(None).map_err(failed)?,
            _ => return Err(lost(Obstacle::Unexpected(stop))),
        }
    }
}
