//! The instruction at the fault: its text, the values of its operands, the memory it touches.
//!
//! One file per architecture. A decoder is picked by the machine whose registers the capture holds; where there
//! is none yet (aarch64), reports do without this part.

use serde::{Deserialize, Serialize};

use super::Access;

/// A decoded instruction with the values it met.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Instruction {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its text: Intel syntax on x86-64.
    pub text: String,
    /// Registers and memory it names, with their values.
    pub operands: Vec<Operand>,
    /// The memory it touches, stack accesses that its text does not show included.
    pub accesses: Vec<MemoryAccess>,
    /// Where it would go on, for a branch whose target is known.
    pub target: Option<u64>,
    /// What else matters for the cause.
    pub class: Class,
}

/// A register or a piece of memory that an instruction names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Operand {
    /// Which.
    pub place: Place,
    /// Its value before the instruction, where the capture has it.
    pub value: Option<u64>,
}

/// Where an operand is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the register of that name.
    Register(String),
    /// In memory at that address.
    Address(u64),
}

/// One memory access.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemoryAccess {
    /// First byte; none where it depends on values that the capture lacks.
    pub address: Option<u64>,
    /// Number of bytes; 0 where the instruction's state decides (`xsave`, `rep movs`).
    pub size: u64,
    /// Read or write.
    pub access: Access,
}

/// The kinds of instruction that a cause depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Class {
    /// None of those below.
    #[default]
    Ordinary,
    /// Integer division; the operand that divides, where its value is known.
    Division(Option<u64>),
    /// Only the kernel may execute it.
    Privileged,
}
