//! A thread goes on in one of its outer frames, as if that had called a function, or what it called were done.
//!
//! The frame's return address lies on the stack already, and its registers are those that calls preserve. Nothing of the
//! program is changed, and until the thread is let go on without its signal the signal is what it takes.

use crate::diagnose::unwind::OuterFrame;
use crate::sys::memory::Memory;
use crate::sys::ptrace::Stopped;
use crate::sys::regs::GeneralRegisters;
use crate::sys::status::Status;

use super::floating;
use super::inject::Obstacle;

/// What a return address takes, bytes.
const RETURN_ADDRESS: u64 = 8;

/// A frame that is about to call.
#[derive(Debug)]
pub(super) struct Call {
    registers: GeneralRegisters,
    sp: u64,
}

impl Call {
    /// From `frame`, of a thread that stands in front of its signal.
    pub(super) fn from(
        thread: &Stopped,
        status: &Status,
        frame: &OuterFrame,
        memory: &Memory,
    ) -> Result<Self, Obstacle> {
        if status.shadow_stack {
            return Err(Obstacle::ShadowStack);
        }
        let mut registers = thread.registers()?;
        frame.registers.apply_to(&mut registers);
        let sp = registers
            .sp()
            .checked_sub(RETURN_ADDRESS)
            .ok_or(Obstacle::NoStack)?;
        // As the call left it: the function returns to where the frame goes on.
        if memory.read_u64(sp) != Some(frame.frame.pc) {
            return Err(Obstacle::NoStack);
        }
        Ok(Self { registers, sp })
    }

    /// Where the return address lies; the callee's own stack is below.
    pub(super) fn sp(&self) -> u64 {
        self.sp
    }

    /// Puts the thread at the entry of `function`.
    pub(super) fn enter(self, thread: &Stopped, function: u64, arguments: &[u64]) -> Result<(), Obstacle> {
        floating::clear(thread)?;
        thread.set_registers(&self.registers.at_function(function, arguments, self.sp))?;
        Ok(())
    }

    /// Puts the thread behind the call that the frame made, which has returned `value`.
    pub(super) fn finish(self, thread: &Stopped, value: u64) -> Result<(), Obstacle> {
        floating::clear(thread)?;
        thread.set_registers(&self.registers.after_return(value))?;
        Ok(())
    }
}
