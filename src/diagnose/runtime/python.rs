//! Whether a thread holds CPython's interpreter lock (GIL).
//!
//! The lock has no owner that could be read, but the interpreter keeps the thread state of its holder: for the process up
//! to version 3.11, for each thread since. A function of one line returns it, in all versions since 3.6, and the state has
//! the id of its thread (`thread_id`, as pthread_self(3) returns it).

use super::getter::evaluate;
use crate::diagnose::unwind::MemorySource;
use crate::sys::regs::GeneralRegisters;

/// The function's names: up to version 3.12, and since.
pub(super) const GETTERS: [&str; 2] = ["_PyThreadState_UncheckedGet", "PyThreadState_GetUnchecked"];

/// How much of a thread state is searched for the id, bytes; it has been at 0x98 to 0xb0.
const SEARCHED: u64 = 512;

/// Whether the thread with these registers holds the lock, by the function at `getter`; none where that cannot be told.
pub fn holds_lock(getter: u64, registers: &GeneralRegisters, memory: &dyn MemorySource) -> Option<bool> {
    let thread = registers.thread_pointer()?;
    let state = evaluate(getter, registers, memory)?;
    if state == 0 {
        return Some(false);
    }
    let mut holds = false;
    for offset in (0..SEARCHED).step_by(8) {
        holds |= memory.word(state.wrapping_add(offset), 8)? == thread;
    }
    Some(holds)
}
