//! The instructions around a program counter.
//!
//! Instructions of x86 have no fixed length, so where one begins in front of the program counter is a guess: of all
//! places to begin, the one is taken from which most instructions in a row end exactly there.

use iced_x86::{Decoder, DecoderOptions};

use super::x86_64;
use crate::sys::regs::MACHINE;

/// Instructions that are listed in front of the program counter, and from it on.
const BEFORE: usize = 12;
const AFTER: usize = 8;
/// The longest instruction, bytes.
const LONGEST: usize = 15;

/// One instruction of a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Where it is.
    pub address: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its text.
    pub text: String,
}

/// Lists the code around `pc`, of which `code` is a piece that begins at `start`; empty without a decoder.
pub fn listing(code: &[u8], start: u64, pc: u64) -> Vec<Listed> {
    let offset = pc
        .checked_sub(start)
        .and_then(|offset| usize::try_from(offset).ok());
    let Some(offset) = offset.filter(|offset| *offset < code.len() && MACHINE == "x86_64") else {
        return Vec::new();
    };
    let mut listed = Vec::new();
    let lowest = offset.saturating_sub(BEFORE * LONGEST);
    let before = (lowest..offset)
        .map(|begin| decode(&code[begin..offset], start.wrapping_add(begin as u64)))
        .filter(|instructions| is_whole(instructions, pc))
        .max_by_key(Vec::len);
    if let Some(before) = before {
        let skipped = before.len().saturating_sub(BEFORE);
        listed.extend(before.into_iter().skip(skipped));
    }
    listed.extend(decode(&code[offset..], pc).into_iter().take(AFTER));
    listed
}

/// Decodes up to the first bytes that are no instruction.
fn decode(code: &[u8], address: u64) -> Vec<Listed> {
    let decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    decoder
        .into_iter()
        .take_while(|decoded| !decoded.is_invalid())
        .map(|decoded| {
            let at = decoded.ip().wrapping_sub(address) as usize;
            Listed {
                address: decoded.ip(),
                bytes: code.get(at..at + decoded.len()).unwrap_or_default().to_vec(),
                text: x86_64::text(&decoded),
            }
        })
        .collect()
}

/// Whether the last of them ends exactly there.
fn is_whole(instructions: &[Listed], end: u64) -> bool {
    instructions
        .last()
        .is_some_and(|last| last.address.wrapping_add(last.bytes.len() as u64) == end)
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_program_counter_begins_an_instruction() {
        // push rbp; mov rbp, rsp; xor eax, eax; mov dword ptr [rdi+8], 2ah; pop rbp; ret
        let code = [
            0x55, 0x48, 0x89, 0xe5, 0x31, 0xc0, 0xc7, 0x47, 0x08, 0x2a, 0, 0, 0, 0x5d, 0xc3,
        ];
        let listed = listing(&code, 0x1000, 0x1006);
        let texts: Vec<&str> = listed.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "push rbp",
                "mov rbp, rsp",
                "xor eax, eax",
                "mov dword ptr [rdi+8], 2ah",
                "pop rbp",
                "ret"
            ]
        );
        assert_eq!((listed[3].address, listed[3].bytes.len()), (0x1006, 7));
        assert_eq!(listing(&code, 0x1000, 0x2000), []);
        assert_eq!(listing(&code, 0x1000, 0x1000)[0].text, "push rbp");
    }

    proptest! {
        #[test]
        fn no_code_is_too_strange(code in proptest::collection::vec(any::<u8>(), 0..300), offset in 0..400_u64) {
            let listed = listing(&code, 0x1000, 0x1000 + offset);
            prop_assert!(listed.len() <= BEFORE + AFTER);
            let pieces: u64 = listed.iter().map(|line| line.bytes.len() as u64).sum();
            if let (Some(first), Some(last)) = (listed.first(), listed.last()) {
                prop_assert_eq!(first.address + pieces, last.address + last.bytes.len() as u64, "no gaps");
            }
        }

        #[test]
        fn code_at_the_end_of_the_address_space_is_listed(code in proptest::collection::vec(any::<u8>(), 1..40)) {
            listing(&code, u64::MAX - 20, u64::MAX - 20);
        }
    }
}
