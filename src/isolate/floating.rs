//! The floating point registers of a thread that goes on in another function than the one that faulted.
//!
//! Rounding and masks are the program's, whoever set them. What the functions that are given up had in the x87 unit is
//! not: eight of them would fill it, and what is computed then is no number any more.

use crate::sys::ptrace::{PtraceError, Stopped};
use crate::sys::regs::NT_PRFPREG;
use crate::sys::regs::entry::{floating_at_function, has_floating_rest};

/// The registers as a function is to find them.
pub(super) fn at_function(thread: &Stopped) -> Result<Vec<u8>, PtraceError> {
    Ok(floating_at_function(&set_of(thread)?))
}

/// Gives the thread the registers as a function is to find them.
pub(super) fn clear(thread: &Stopped) -> Result<(), PtraceError> {
    let set = set_of(thread)?;
    if has_floating_rest(&set) {
        thread.set_register_set(NT_PRFPREG, &floating_at_function(&set))?;
    }
    Ok(())
}

fn set_of(thread: &Stopped) -> Result<Vec<u8>, PtraceError> {
    let mut set = Vec::new();
    thread.register_set(NT_PRFPREG, &mut set)?;
    Ok(set)
}
