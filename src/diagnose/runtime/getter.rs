//! What a function of a few instructions would return, worked out without calling it.
//!
//! Such functions tell where a library keeps a variable, whatever its version and however it was built: in a global
//! variable, behind a pointer, or for each thread. Loads, moves and the sequence that asks for a thread's variable
//! (System V ABI, general dynamic model) are followed; anything else is an answer of none.

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use crate::diagnose::unwind::MemorySource;
use crate::sys::regs::{GeneralRegisters, MACHINE};

/// Instructions that are followed.
const MAX_INSTRUCTIONS: usize = 16;
/// The longest instruction, bytes.
const LONGEST: usize = 15;
/// Where a thread's control block has the table of its modules' variables (glibc, `tcbhead_t.dtv`), and the size of an
/// entry of that, bytes.
const TABLE_OF_VARIABLES: u64 = 8;
const ENTRY: u64 = 16;
/// An entry of a module whose variables this thread has never used (`TLS_DTV_UNALLOCATED`).
const UNALLOCATED: u64 = u64::MAX;

/// What the function at `address` would return to a thread with these registers.
pub(super) fn evaluate(address: u64, registers: &GeneralRegisters, memory: &dyn MemorySource) -> Option<u64> {
    if MACHINE != "x86_64" {
        return None;
    }
    let thread = registers.thread_pointer()?;
    let mut values = Values::default();
    let mut at = address;
    for _ in 0..MAX_INSTRUCTIONS {
        let instruction = decode(at, memory)?;
        at = instruction.next_ip();
        match instruction.mnemonic() {
            Mnemonic::Ret => return values.get(Register::RAX),
            Mnemonic::Mov | Mnemonic::Lea => {
                let to = instruction.op0_register();
                let value = source(&instruction, &values, thread, memory)?;
                values.set(to, value);
            }
            Mnemonic::Call => {
                let variable = values.get(Register::RDI)?;
                match variable_of_thread(variable, thread, memory)? {
                    Some(place) => values.set(Register::RAX, place),
                    None => return Some(0),
                }
            }
            Mnemonic::Endbr64 | Mnemonic::Nop | Mnemonic::Push | Mnemonic::Pop => {}
            Mnemonic::Sub | Mnemonic::Add if instruction.op0_register() == Register::RSP => {}
            _ => return None,
        }
    }
    None
}

/// The few registers that were written.
#[derive(Default)]
struct Values(Vec<(Register, u64)>);

impl Values {
    fn get(&self, register: Register) -> Option<u64> {
        let found = self.0.iter().rev().find(|(known, _)| *known == register);
        found.map(|(_, value)| *value)
    }

    fn set(&mut self, register: Register, value: u64) {
        self.0.push((register, value));
    }
}

fn decode(address: u64, memory: &dyn MemorySource) -> Option<Instruction> {
    let bytes: Vec<u8> = (0..LONGEST as u64)
        .map_while(|offset| memory.word(address.wrapping_add(offset), 1))
        .map(|byte| byte as u8)
        .collect();
    let decoded = Decoder::with_ip(64, &bytes, address, DecoderOptions::NONE).decode();
    (!decoded.is_invalid()).then_some(decoded)
}

/// The value that an instruction moves to a 64-bit register.
fn source(instruction: &Instruction, values: &Values, thread: u64, memory: &dyn MemorySource) -> Option<u64> {
    if !instruction.op0_register().is_gpr64() {
        return None;
    }
    if instruction.op1_kind() == OpKind::Register {
        return values.get(instruction.op1_register());
    }
    if instruction.op1_kind() != OpKind::Memory {
        return None;
    }
    let value = |register: Register| match register {
        Register::FS => Some(thread),
        register if register.is_segment_register() => Some(0),
        register => values.get(register),
    };
    let address = instruction.virtual_address(1, 0, |register, _, _| value(register))?;
    match instruction.mnemonic() {
        Mnemonic::Lea => Some(address),
        _ => memory.word(address, 8),
    }
}

/// Where a thread has its variable, described by a module and an offset in two words; inner none where the thread has
/// none yet.
fn variable_of_thread(description: u64, thread: u64, memory: &dyn MemorySource) -> Option<Option<u64>> {
    let module = memory.word(description, 8)?;
    let offset = memory.word(description.wrapping_add(8), 8)?;
    let table = memory.word(thread.wrapping_add(TABLE_OF_VARIABLES), 8)?;
    let block = memory.word(table.wrapping_add(module.wrapping_mul(ENTRY)), 8)?;
    Some((block != UNALLOCATED).then(|| block.wrapping_add(offset)))
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;

    const THREAD: u64 = 0x7000;
    const CODE: u64 = 0x1000;

    /// Code at [`CODE`], and words by address.
    struct Made<'a>(&'a [u8], &'a [(u64, u64)]);

    impl MemorySource for Made<'_> {
        fn word(&self, address: u64, size: usize) -> Option<u64> {
            let code = address.checked_sub(CODE).and_then(|at| self.0.get(at as usize));
            match code {
                Some(byte) if size == 1 => Some(u64::from(*byte)),
                _ => self
                    .1
                    .iter()
                    .find(|(at, _)| *at == address)
                    .map(|(_, value)| *value),
            }
        }
    }

    fn evaluated(code: &[u8], words: &[(u64, u64)]) -> Option<u64> {
        let registers = GeneralRegisters::from_named(&[("fs_base", THREAD)]);
        evaluate(CODE, &registers, &Made(code, words))
    }

    #[test]
    fn variables_are_found_however_they_are_reached() {
        // mov rax, [rip + 0x10]; ret
        let global = [0x48, 0x8b, 0x05, 0x10, 0, 0, 0, 0xc3];
        assert_eq!(evaluated(&global, &[(CODE + 7 + 0x10, 42)]), Some(42));
        // endbr64; mov rax, [rip + 0x10]; mov rax, [rax + 0x240]; ret
        let behind = [
            0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x8b, 0x05, 0x10, 0, 0, 0, 0x48, 0x8b, 0x80, 0x40, 2, 0, 0, 0xc3,
        ];
        assert_eq!(
            evaluated(&behind, &[(CODE + 11 + 0x10, 0x5000), (0x5240, 7)]),
            Some(7)
        );
        // mov rax, fs:[-8]; ret
        let local = [0x64, 0x48, 0x8b, 0x04, 0x25, 0xf8, 0xff, 0xff, 0xff, 0xc3];
        assert_eq!(evaluated(&local, &[(THREAD - 8, 9)]), Some(9));
    }

    #[test]
    fn a_thread_s_variable_is_asked_for_as_the_abi_says() {
        // sub rsp, 8; data16 lea rdi, [rip + 0x100]; data16 data16 rex.W call; mov rax, [rax]; add rsp, 8; ret
        let code = [
            0x48, 0x83, 0xec, 8, 0x66, 0x48, 0x8d, 0x3d, 0, 1, 0, 0, 0x66, 0x66, 0x48, 0xe8, 0, 0, 0, 0,
            0x48, 0x8b, 0, 0x48, 0x83, 0xc4, 8, 0xc3,
        ];
        let description = CODE + 12 + 0x100;
        let mut words = vec![
            (description, 3),
            (description + 8, 0x20),
            (THREAD + 8, 0x9000),
            (0x9000 + 3 * 16, 0x6000),
            (0x6020, 77),
        ];
        assert_eq!(evaluated(&code, &words), Some(77));
        words[3].1 = UNALLOCATED;
        assert_eq!(evaluated(&code, &words), Some(0), "never used by this thread");
    }

    #[test]
    fn what_is_more_than_that_has_no_answer() {
        for code in [
            &[0x31, 0xc0, 0xc3][..],   // xor eax, eax; ret
            &[0x48, 0x8b, 0x07, 0xc3], // mov rax, [rdi]; ret
            &[0xeb, 0xfe],             // a loop
            &[0x90; 64],
            &[],
        ] {
            assert_eq!(evaluated(code, &[]), None, "{code:x?}");
        }
    }
}
