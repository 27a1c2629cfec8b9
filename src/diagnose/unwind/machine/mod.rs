//! What an unwinder must know of the processor: roles of DWARF's register numbers, the code of the signal
//! trampoline and the frame that the kernel builds for it.
//!
//! One file per architecture, all with the same surface.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(super) use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::*;
