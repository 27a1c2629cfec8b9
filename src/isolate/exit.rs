//! `exit`: the thread ends by exit(2), which ends no other thread.
//!
//! pthread_join(3) of it returns, robust mutexes that it held report `EOWNERDEAD`, all other locks stay as they are.
//! Destructors and cleanup handlers do not run, and a detached thread's stack stays mapped. The main thread is left
//! alone: without it, `/proc/PID` of a process that goes on tells nothing any more.

use crate::sys::memory::Memory;
use crate::sys::ptrace::Stopped;

use super::inject::{Call, Obstacle, status};
use super::landing::Landing;
use super::sites::Sites;

/// Puts a thread that stands in front of its signal, or sleeps, in front of exit(2) instead. It takes effect when the
/// thread is let go on without a signal; until then, the signal is what it takes if we end, and one that sleeps exits.
pub fn prepare(thread: &Stopped, sites: &Sites) -> Result<(), Obstacle> {
    if status(thread)?.seccomp_filter {
        return Err(Obstacle::Filtered);
    }
    let registers = thread.registers()?;
    let memory = Memory::of(thread.tid());
    let landing = Landing::below(&registers, registers.sp(), thread.signal_mask()?, &memory, sites);
    let call = Call {
        number: libc::SYS_exit,
        args: [0; 6],
    };
    thread.set_registers(&landing.registers(&registers, call))?;
    Ok(())
}
