//! The instruction at the fault: its text, the values of its operands, the memory it touches.
//!
//! One file per architecture, picked by the machine whose registers the capture holds. Where there is no decoder
//! yet (aarch64), a diagnosis does without this part.

mod listing;
mod skip;
mod x86_64;

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::Access;
use super::subject::Memory;
use crate::sys::regs::{GeneralRegisters, MACHINE};
pub use listing::{Listed, listing};

/// How far behind its first byte an access of unknown size may reach: the largest XSAVE area.
const MAX_UNSIZED_ACCESS: u64 = 16 << 10;

/// Makes the decoder's and the formatter's tables, which the first instruction would have to wait for: some 3 ms.
pub fn prepare() {
    x86_64::prepare();
}

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
    /// Its value before the instruction, where the capture has it and it fits.
    pub value: Option<u64>,
    /// Whether the instruction uses the value; false where it only replaces it.
    pub read: bool,
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
    /// Its memory operand must lie at a multiple of its size.
    Aligned,
}

/// A thread behind an instruction that was stepped over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// The instruction's text.
    pub text: String,
    /// The registers.
    pub registers: GeneralRegisters,
}

/// What the registers of a thread are behind its instruction, which `code` starts with, if that did nothing and its
/// destination were zero.
///
/// # Errors
///
/// Why it cannot be stepped over, as a clause of a sentence.
pub fn skipped(code: &[u8], registers: &GeneralRegisters) -> Result<Skipped, String> {
    match MACHINE {
        "x86_64" => skip::skipped(code, registers),
        machine => Err(format!("nothing is decoded for {machine}")),
    }
}

/// What an instruction met.
pub(super) struct Context<'a> {
    pub(super) registers: &'a GeneralRegisters,
    pub(super) memory: &'a Memory<'a>,
}

impl Context<'_> {
    /// A little-endian value of 1, 2, 4 or 8 bytes in memory.
    fn word(&self, address: u64, size: usize) -> Option<u64> {
        matches!(size, 1 | 2 | 4 | 8).then(|| self.memory.word(address, size))?
    }
}

/// Decodes the instruction at `pc`, which `code` starts with.
pub(super) fn decode(code: &[u8], pc: u64, context: &Context<'_>) -> Option<Instruction> {
    match MACHINE {
        "x86_64" => x86_64::decode(code, pc, context),
        _ => None,
    }
}

impl Instruction {
    /// What the instruction does at `address`, if it touches it.
    pub fn access_at(&self, address: u64) -> Option<Access> {
        let touches = |access: &&MemoryAccess| match access.address {
            Some(start) => {
                let size = if access.size == 0 {
                    MAX_UNSIZED_ACCESS
                } else {
                    access.size
                };
                address.wrapping_sub(start) < size
            }
            None => false,
        };
        // Where ranges overlap (`movs` onto itself) the exact one and the write are more telling.
        let exact = |access: &&MemoryAccess| access.size != 0;
        let computed = self.accesses.iter().filter(exact).find(touches);
        let found = computed.or_else(|| self.accesses.iter().find(touches));
        found
            .map(|access| access.access)
            .or_else(|| self.only_unplaced_access())
    }

    /// The kind of access of an instruction whose addresses the capture cannot tell (gathers, scatters).
    fn only_unplaced_access(&self) -> Option<Access> {
        let mut unplaced = self.accesses.iter().filter(|access| access.address.is_none());
        let first = unplaced.next()?.access;
        unplaced.all(|other| other.access == first).then_some(first)
    }

    /// The registers that the instruction uses and their values: "rdi = 0x0, eax = 0x2a"; empty if there are none.
    pub fn register_values(&self) -> String {
        let mut text = String::new();
        for operand in self.operands.iter().filter(|operand| operand.read) {
            if let (Place::Register(name), Some(value)) = (&operand.place, operand.value) {
                let separator = if text.is_empty() { "" } else { ", " };
                // Writing into a string cannot fail.
                let _ = write!(text, "{separator}{name} = {value:#x}");
            }
        }
        text
    }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PC: u64 = 0x40_1000;

    fn decoded(code: &[u8], registers: &[(&str, u64)], memory: &[(u64, &[u8])]) -> Option<Instruction> {
        let registers = GeneralRegisters::from_named(registers);
        let memory = Memory::new(memory.to_vec());
        let context = Context {
            registers: &registers,
            memory: &memory,
        };
        decode(code, PC, &context)
    }

    #[test]
    fn a_store_names_its_registers_and_its_address() {
        let store = decoded(&[0xc7, 0x47, 0x08, 0x2a, 0, 0, 0, 0xc3], &[("rdi", 0x10)], &[]).unwrap();
        assert_eq!(store.text, "mov dword ptr [rdi+8], 2ah");
        assert_eq!(store.bytes.len(), 7);
        assert_eq!(store.register_values(), "rdi = 0x10");
        assert_eq!(store.access_at(0x18), Some(Access::Write));
        assert_eq!(store.access_at(0x1b), Some(Access::Write));
        assert_eq!((store.access_at(0x1c), store.access_at(0x17)), (None, None));
    }

    #[test]
    fn a_value_comes_from_the_named_part_of_a_register() {
        // mov al, [rbx+rcx*4]; add ah, dl
        let load = decoded(
            &[0x8a, 0x04, 0x8b],
            &[("rbx", 0x1000), ("rcx", 2), ("rax", 0x1234)],
            &[],
        )
        .unwrap();
        assert_eq!(load.register_values(), "rbx = 0x1000, rcx = 0x2");
        assert_eq!(load.access_at(0x1008), Some(Access::Read));
        let add = decoded(&[0x00, 0xd4], &[("rdx", 0x56), ("rax", 0x1234)], &[]).unwrap();
        assert_eq!(add.register_values(), "ah = 0x12, dl = 0x56");
    }

    #[test]
    fn stack_accesses_that_the_text_hides_are_known() {
        let sp = 0x7000_0000;
        let push = decoded(&[0x50], &[("rsp", sp)], &[]).unwrap();
        assert_eq!(push.access_at(sp - 8), Some(Access::Write));
        let call = decoded(&[0xe8, 0, 0, 0, 0], &[("rsp", sp)], &[]).unwrap();
        assert_eq!(call.access_at(sp - 1), Some(Access::Write));
        let pop = decoded(&[0x58], &[("rsp", sp)], &[]).unwrap();
        assert_eq!(pop.access_at(sp), Some(Access::Read));
        let ret = decoded(&[0xc3], &[("rsp", sp)], &[(sp, &[0x11; 8])]).unwrap();
        assert_eq!(ret.access_at(sp + 7), Some(Access::Read));
        assert_eq!(ret.target, Some(0x1111_1111_1111_1111));
    }

    #[test]
    fn string_instructions_tell_source_from_destination() {
        let registers = [("rsi", 0x1000), ("rdi", 0x9_0000), ("rcx", 5)];
        let copy = decoded(&[0xf3, 0xa4], &registers, &[]).unwrap();
        assert_eq!(copy.access_at(0x1000), Some(Access::Read));
        assert_eq!(copy.access_at(0x9_0000), Some(Access::Write));
        assert!(
            copy.register_values().contains("rcx = 0x5"),
            "{}",
            copy.register_values()
        );
    }

    #[test]
    fn thread_local_accesses_count_with_their_segment() {
        // mov eax, fs:[0x28]
        let load = decoded(
            &[0x64, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0],
            &[("fs_base", 0x5000)],
            &[],
        )
        .unwrap();
        assert_eq!(load.access_at(0x5028), Some(Access::Read));
    }

    #[test]
    fn branches_know_where_they_would_go() {
        let call = decoded(&[0xff, 0xd0], &[("rax", 0x1234), ("rsp", 0x7000)], &[]).unwrap();
        assert_eq!(call.target, Some(0x1234));
        let jump = decoded(
            &[0xff, 0x20],
            &[("rax", 0x1234)],
            &[(0x1234, &[9, 0, 0, 0, 0, 0, 0, 0x80])],
        )
        .unwrap();
        assert_eq!(jump.target, Some(0x8000_0000_0000_0009));
    }

    #[test]
    fn divisors_come_from_registers_and_memory() {
        let class =
            |code: &[u8], memory: &[(u64, &[u8])]| decoded(code, &[("rcx", 7)], memory).unwrap().class;
        let divide = decoded(&[0xf7, 0xf9], &[("rcx", 7), ("rax", 9), ("rdx", 0)], &[]).unwrap();
        assert_eq!(divide.register_values(), "ecx = 0x7, edx = 0x0, eax = 0x9");
        assert_eq!(divide.class, Class::Division(Some(7)));
        assert_eq!(
            class(&[0xf7, 0x39], &[(7, &[0, 0, 0, 0])]),
            Class::Division(Some(0))
        );
        assert_eq!(class(&[0xf7, 0x39], &[]), Class::Division(None));
    }

    #[test]
    fn alignment_and_privilege_are_classes() {
        let class = |code: &[u8]| decoded(code, &[], &[]).unwrap().class;
        assert_eq!(class(&[0x0f, 0x28, 0x07]), Class::Aligned, "movaps");
        assert_eq!(class(&[0x0f, 0x10, 0x07]), Class::Ordinary, "movups");
        assert_eq!(class(&[0x0f, 0x58, 0x07]), Class::Aligned, "addps");
        assert_eq!(class(&[0xc5, 0xf8, 0x58, 0x07]), Class::Ordinary, "vaddps");
        assert_eq!(class(&[0xf4]), Class::Privileged, "hlt");
        assert_eq!(class(&[0x90]), Class::Ordinary, "nop");
    }

    #[test]
    fn an_address_computation_is_no_access() {
        let lea = decoded(&[0x48, 0x8d, 0x07], &[("rdi", 0)], &[]).unwrap();
        assert_eq!(lea.access_at(0), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(
            code in proptest::collection::vec(any::<u8>(), 0..32),
            value in any::<u64>(),
            address in any::<u64>(),
        ) {
            let registers = [("rax", value), ("rdi", value), ("rsp", value), ("rcx", value)];
            if let Some(found) = decoded(&code, &registers, &[(value, &[0xff; 16])]) {
                found.access_at(address);
                prop_assert!(found.bytes.len() <= 15 && !found.text.is_empty() && found.text.len() < 256);
                prop_assert!(found.operands.len() <= 10);
            }
        }
    }
}
