//! Whether a landing pad that is entered for everything is a handler, or how LLVM says `noexcept`.
//!
//! For the latter LLVM has a function of its own in each file (`__clang_call_terminate`): it begins to catch, and
//! terminates. Its landing pads hand it the exception and do nothing else; a handler does more. What a pad does that is of
//! neither form is not known.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};

use crate::diagnose::unwind::MemorySource;

/// Instructions that are looked at.
const MAX_INSTRUCTIONS: usize = 8;
/// The longest instruction, bytes.
const LONGEST: u64 = 15;

/// Whether the pad ends the process.
pub(super) fn terminates(pad: u64, memory: &dyn MemorySource) -> bool {
    let mut at = pad;
    for _ in 0..MAX_INSTRUCTIONS {
        let Some(instruction) = decode(at, memory) else {
            return true;
        };
        at = instruction.next_ip();
        match instruction.flow_control() {
            FlowControl::Call => {
                let follows = decode(at, memory);
                let calls_again = follows.is_some_and(|next| next.flow_control() == FlowControl::Call);
                return calls_again || calls_twice(instruction.near_branch_target(), memory);
            }
            FlowControl::Next if is_move(&instruction) => {}
            FlowControl::Next | FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                return false;
            }
            _ => return true,
        }
    }
    false
}

/// Whether a function does nothing but one call behind the other.
fn calls_twice(function: u64, memory: &dyn MemorySource) -> bool {
    let (mut at, mut calls) = (function, 0);
    for _ in 0..MAX_INSTRUCTIONS {
        let Some(instruction) = decode(at, memory) else {
            return true;
        };
        at = instruction.next_ip();
        match instruction.flow_control() {
            FlowControl::Call => calls += 1,
            FlowControl::Next if is_move(&instruction) && calls == 0 => {}
            _ => break,
        }
    }
    calls >= 2
}

fn is_move(instruction: &Instruction) -> bool {
    matches!(
        instruction.mnemonic(),
        Mnemonic::Mov | Mnemonic::Push | Mnemonic::Endbr64 | Mnemonic::Nop
    )
}

/// The instruction at an address.
pub(super) fn decode(address: u64, memory: &dyn MemorySource) -> Option<Instruction> {
    let whole = [0, 8].map(|offset| memory.word(address.checked_add(offset)?, 8));
    let bytes = match whole {
        [Some(low), Some(high)] => [low.to_le_bytes(), high.to_le_bytes()].concat(),
        _ => (0..LONGEST)
            .map_while(|offset| memory.word(address.checked_add(offset)?, 1))
            .map(|byte| byte as u8)
            .collect(),
    };
    let decoded = Decoder::with_ip(64, &bytes, address, DecoderOptions::NONE).decode();
    (!decoded.is_invalid()).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAD: u64 = 0x1000;
    const FUNCTION: u64 = 0x1020;

    /// A pad, and a function that it calls.
    struct Code([u8; 64]);

    impl Code {
        fn of(pad: &[u8], function: &[u8]) -> Self {
            let mut code = [0xcc; 64];
            code[..pad.len()].copy_from_slice(pad);
            code[32..32 + function.len()].copy_from_slice(function);
            Self(code)
        }
    }

    impl MemorySource for Code {
        fn word(&self, address: u64, size: usize) -> Option<u64> {
            let place = usize::try_from(address.checked_sub(PAD)?).ok()?;
            let bytes = self.0.get(place..place + size)?.iter().rev();
            Some(bytes.fold(0, |word, byte| word << 8 | u64::from(*byte)))
        }
    }

    #[test]
    fn a_pad_that_calls_what_terminates_is_no_handler() {
        let call = |from: u64| {
            let distance = (FUNCTION - (from + 5)) as u32;
            [&[0xe8], &distance.to_le_bytes()[..]].concat()
        };
        // mov rdi, rax; call FUNCTION
        let pad = [&[0x48, 0x89, 0xc7], call(PAD + 3).as_slice()].concat();
        // push rax; call +0; call +0
        let terminate = [0x50, 0xe8, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0];
        assert!(terminates(PAD, &Code::of(&pad, &terminate)));
        // push rbx; mov rbx, rdi; call +0; mov rax, rbx; ret
        let other = [0x53, 0x48, 0x89, 0xfb, 0xe8, 0, 0, 0, 0, 0x48, 0x89, 0xd8, 0xc3];
        let handler = [pad.as_slice(), &[0x48, 0x89, 0xc3]].concat();
        assert!(!terminates(PAD, &Code::of(&handler, &other)));
        // cmp rdx, 2
        assert!(!terminates(PAD, &Code::of(&[0x48, 0x83, 0xfa, 2], &[])));
        assert!(terminates(PAD, &Code::of(&[0xcc], &[])));
    }
}
