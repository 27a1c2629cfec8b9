//! aarch64: `struct user_pt_regs` and `struct user_fpsimd_state` (asm/ptrace.h).

use super::{ForeignRegisters, SystemCall};

/// The machine as `uname -m` and ELF name it.
pub const MACHINE: &str = "aarch64";
/// `EM_AARCH64` (elf(5)).
pub const ELF_MACHINE: u16 = 183;

/// No set beyond `NT_PRFPREG` is read: SVE and SME state belong to the raw sets of a later version.
pub const EXTENDED_SET: Option<i32> = None;
/// No part of it is `NT_PRFPREG`.
pub const FP_OF_EXTENDED_SET: u64 = 0;

const NAMES: [&str; 34] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
    "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30",
    "sp", "pc", "pstate",
];

/// Offset of the stack pointer in `ucontext_t` (arch/arm64/include/uapi/asm/sigcontext.h): `fault_address` and 31
/// registers lie before it in `uc_mcontext`.
pub(super) const INTERRUPTED_SP: usize = 176 + 32 * 8;
/// The flags that the kernel sets in it: none.
pub(super) const FLAGS_OF_SIGNAL_FRAME: u64 = 0;

const X29: usize = 29;
const SP: usize = 31;
const PC: usize = 32;

/// The general registers of one stopped thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GeneralRegisters([u64; 34]);

impl GeneralRegisters {
    /// Size of the set, bytes.
    pub const SIZE: usize = 34 * 8;

    /// Reads the kernel's bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ForeignRegisters> {
        if bytes.len() != Self::SIZE {
            return Err(ForeignRegisters {
                found: bytes.len(),
                expected: Self::SIZE,
            });
        }
        let mut values = [0; 34];
        for (value, chunk) in values.iter_mut().zip(bytes.chunks_exact(8)) {
            *value = chunk
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        Ok(Self(values))
    }

    /// The kernel's bytes again.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// Program counter.
    pub fn pc(&self) -> u64 {
        self.0[PC]
    }

    /// Stack pointer.
    pub fn sp(&self) -> u64 {
        self.0[SP]
    }

    /// Frame pointer, where the code keeps one.
    pub fn frame_pointer(&self) -> u64 {
        self.0[X29]
    }

    /// How many registers have a DWARF number; they count from 0 without gaps.
    pub const DWARF_COUNT: usize = PC + 1;

    /// The register that DWARF gives that number (DWARF for the Arm 64-bit Architecture, "DWARF register names"):
    /// x0 to x30, sp, pc.
    pub fn dwarf(&self, number: usize) -> Option<u64> {
        self.0.get(number).copied().filter(|_| number < Self::DWARF_COUNT)
    }

    /// Sets the register that DWARF gives that number; nothing happens where there is none.
    pub fn set_dwarf(&mut self, number: usize, value: u64) {
        if number < Self::DWARF_COUNT {
            self.0[number] = value;
        }
    }

    /// Where the C library keeps what belongs to the thread: in `tpidr_el0`, which is a set of its own.
    pub fn thread_pointer(&self) -> Option<u64> {
        None
    }

    /// Names and values in reading order.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        NAMES.iter().copied().zip(self.0.iter().copied())
    }

    /// The value of the register of that name.
    pub fn get(&self, name: &str) -> Option<u64> {
        NAMES
            .iter()
            .position(|known| *known == name)
            .map(|index| self.0[index])
    }

    /// Registers that may hold a data pointer, for a look at the memory around them.
    pub fn pointers(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.named().filter(|(name, _)| *name != "pstate")
    }

    /// The system call in x8 where the instruction before pc is `svc #0`; the set itself does not tell
    /// (`NT_ARM_SYSTEM_CALL` does while stopped), so none is reported from a copy.
    pub fn system_call(&self) -> Option<SystemCall> {
        None
    }

    /// None, as [`Self::system_call`].
    pub fn blocked_call(&self) -> Option<SystemCall> {
        None
    }

    /// Never possible here: arm64 decides about the restart before the stop is reported, and keeps the first
    /// argument (`orig_x0`) to itself (arch/arm64/kernel/signal.c, `do_signal`).
    pub fn restart_interrupted_call(&mut self) -> bool {
        false
    }

    /// Sets what the system call that the thread is in returns.
    pub fn set_result(&mut self, result: i64) {
        self.0[0] = result as u64;
    }

    /// Sets the register of that name; nothing happens where there is none.
    pub fn set(&mut self, name: &str, value: u64) {
        if let Some(index) = NAMES.iter().position(|known| *known == name) {
            self.0[index] = value;
        }
    }

    /// A set with the given values and zero elsewhere, for tests of pure code.
    pub fn from_named(values: &[(&str, u64)]) -> Self {
        let mut registers = Self([0; 34]);
        for (name, value) in values {
            if let Some(index) = NAMES.iter().position(|known| known == name) {
                registers.0[index] = *value;
            }
        }
        registers
    }
}

/// As [`GeneralRegisters::restart_interrupted_call`], for a program of 32 bits: never possible here either.
pub fn restart_foreign_call(_set: &mut [u8]) -> bool {
    false
}

/// How much code in front of the program counter [`call_before`] wants, bytes.
pub const CALL_SITE: usize = 0;

/// None: the number is in x8, which may have been loaded far before.
pub fn call_before(_code: &[u8]) -> Option<u64> {
    None
}

/// Names and little-endian bytes of v0 to v31, fpsr and fpcr in `fp` (`NT_PRFPREG`).
pub fn vector_registers(fp: &[u8], _extended: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut named: Vec<_> = fp
        .chunks_exact(16)
        .take(32)
        .enumerate()
        .map(|(n, bytes)| (format!("v{n}"), bytes.to_vec()))
        .collect();
    for (name, offset) in [("fpsr", 512), ("fpcr", 516)] {
        named.extend(
            fp.get(offset..offset + 4)
                .map(|bytes| (name.to_owned(), bytes.to_vec())),
        );
    }
    named
}
