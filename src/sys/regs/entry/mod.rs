//! Where a stopped thread goes on: into a system call, or into a function as if another had called it.
//!
//! One file per architecture, all with the same surface. An architecture without this says so by
//! [`SYSTEM_CALL`]: no code matches an empty pattern, so no thread is ever sent anywhere.
//!
//! | item | meaning |
//! |---|---|
//! | [`SYSTEM_CALL`] | the instruction that enters the kernel |
//! | [`SYSTEM_CALL_AND_RETURN`] | the same with a return behind it |
//! | [`SIGNAL_RETURN`] | the code by which a signal handler returns: the kernel then loads the registers of a frame |
//! | [`signal_frame`] | such a frame |
//! | [`GeneralRegisters::at_system_call`] | the registers in front of a system call |
//! | [`GeneralRegisters::at_function`] | the registers at the entry of a function |
//! | [`GeneralRegisters::after_return`] | the registers behind a call that has returned |
//! | [`floating_at_function`] | the floating point registers at the entry of a function |
//! | [`has_floating_rest`] | whether they are others now |
//! | [`ROOM_BELOW`] | what must stay untouched below a stack pointer |

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::{
    ROOM_BELOW, SIGNAL_RETURN, SYSTEM_CALL, SYSTEM_CALL_AND_RETURN, floating_at_function, has_floating_rest,
    signal_frame,
};
#[cfg(target_arch = "x86_64")]
pub use x86_64::{
    ROOM_BELOW, SIGNAL_RETURN, SYSTEM_CALL, SYSTEM_CALL_AND_RETURN, floating_at_function, has_floating_rest,
    signal_frame,
};

#[cfg(doc)]
use super::GeneralRegisters;
