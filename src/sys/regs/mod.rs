//! Registers as the kernel hands them out through `PTRACE_GETREGSET` (ptrace(2)).
//!
//! One file per architecture, all with the same surface, so that nothing above this module names a register
//! in code. The sets are kept as the kernel's bytes: what this file does not understand still reaches a core
//! file unchanged.
//!
//! | item | meaning |
//! |---|---|
//! | [`GeneralRegisters`] | `NT_PRSTATUS`, with the program counter, the stack pointer and the system call state by name |
//! | [`vector_registers`] | names and values out of the floating point and vector sets |
//! | [`SystemCall`] | a system call in progress |
//! | [`call_before`] | the system call that code makes, by its last instructions |
//! | [`ELF_MACHINE`] | the number that ELF files give the architecture |
//! | [`EXTENDED_SET`] | the note type of the set beyond `NT_PRFPREG`, where there is one |
//! | [`FP_OF_EXTENDED_SET`] | how many bytes at its beginning are what `NT_PRFPREG` holds |
//! | [`signal_frame`] | what the kernel leaves on a stack for a signal's handler |
//! | [`entry`] | the registers of a thread that is sent into a system call or a function |

#[cfg(target_arch = "aarch64")]
mod aarch64;
pub mod entry;
pub mod signal_frame;
mod system_call;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use system_call::SystemCall;

#[cfg(target_arch = "aarch64")]
pub use aarch64::{
    CALL_SITE, ELF_MACHINE, EXTENDED_SET, FP_OF_EXTENDED_SET, GeneralRegisters, MACHINE, call_before,
    restart_foreign_call, vector_registers,
};
#[cfg(target_arch = "x86_64")]
pub use x86_64::{
    CALL_SITE, ELF_MACHINE, EXTENDED_SET, FP_OF_EXTENDED_SET, GeneralRegisters, MACHINE, call_before,
    restart_foreign_call, vector_registers,
};

/// `NT_PRSTATUS` (elf(5)): the general registers.
pub const NT_PRSTATUS: i32 = libc::NT_PRSTATUS;
/// `NT_PRFPREG` (elf(5)): the floating point registers.
pub const NT_PRFPREG: i32 = libc::NT_PRFPREG;

/// A 32-bit process runs on another register set than ours ([`GeneralRegisters::from_bytes`] refuses it).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("register set of {found} bytes where {expected} were expected: not a process of this architecture")]
pub struct ForeignRegisters {
    /// Size that the kernel returned, bytes.
    pub found: usize,
    /// Size of this architecture's set, bytes.
    pub expected: usize,
}

/// Makes an interrupted system call restart, in a set of general registers as the kernel keeps it, whatever its word size;
/// returns whether there was one to repair ([`GeneralRegisters::restart_interrupted_call`]).
pub fn restart_interrupted_call(set: &mut [u8]) -> bool {
    let Ok(mut registers) = GeneralRegisters::from_bytes(set) else {
        return restart_foreign_call(set);
    };
    let repaired = registers.restart_interrupted_call();
    if repaired {
        set.copy_from_slice(&registers.to_bytes());
    }
    repaired
}
