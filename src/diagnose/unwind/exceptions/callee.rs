//! Whether the compiler took a call for one that may throw.
//!
//! The table of a function has nothing for a call of which the compiler knows that it throws nothing. The site that covers
//! it all the same is that of its neighbours: one that says "no destructors" may be true for these alone, with a lock held
//! around the call between them. So such a site counts only for calls that may throw: the only one of the site, one through
//! a pointer, and one of a function that leads to what nobody can know.

use std::collections::HashSet;

use iced_x86::{FlowControl, Instruction, OpKind, Register};

use super::pad::decode;
use crate::diagnose::unwind::MemorySource;
use crate::diagnose::unwind::data_area::Site;

/// Instructions that are looked at, of one site and of what a function leads to: more lead somewhere.
const MAX_INSTRUCTIONS: usize = 512;

/// Whether the call that returns to `behind`, within `site`, may throw for all that the compiler knew.
pub(super) fn may_throw(site: Site, behind: u64, memory: &dyn MemorySource) -> bool {
    let (mut calls, mut own) = (0, None);
    let mut at = site.low;
    for _ in 0..MAX_INSTRUCTIONS {
        if at >= site.high {
            break;
        }
        let Some(instruction) = decode(at, memory) else {
            return false;
        };
        at = instruction.next_ip();
        if matches!(
            instruction.flow_control(),
            FlowControl::Call | FlowControl::IndirectCall
        ) {
            calls += 1;
            own = own.or((at == behind).then_some(instruction));
        }
        if own.is_some() && calls > 1 {
            break;
        }
    }
    match own {
        Some(_) if calls == 1 => true,
        Some(call) if call.flow_control() == FlowControl::Call => leads_on(call.near_branch_target(), memory),
        Some(_) => true,
        None => false,
    }
}

/// Whether a function may throw, as far as a compiler that sees all of it can tell.
fn leads_on(function: u64, memory: &dyn MemorySource) -> bool {
    let (mut waiting, mut seen) = (vec![function], HashSet::new());
    while let Some(at) = waiting.pop() {
        if !seen.insert(at) {
            continue;
        }
        if seen.len() > MAX_INSTRUCTIONS {
            return true;
        }
        let Some(instruction) = decode(at, memory) else {
            continue;
        };
        match instruction.flow_control() {
            FlowControl::IndirectCall => return true,
            FlowControl::IndirectBranch if is_through_table_of_others(&instruction) => return true,
            FlowControl::Call | FlowControl::ConditionalBranch => {
                waiting.extend([instruction.next_ip(), instruction.near_branch_target()]);
            }
            FlowControl::UnconditionalBranch => waiting.push(instruction.near_branch_target()),
            FlowControl::Next => waiting.push(instruction.next_ip()),
            _ => {}
        }
    }
    false
}

/// `jmp [rip + x]`: to a function of another module. A jump through a register is one within the function.
fn is_through_table_of_others(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::Memory && instruction.memory_base() == Register::RIP
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: u64 = 0x1000;
    const LEAF: u64 = 0x1040;
    const OTHER: u64 = 0x1060;

    struct Code([u8; 128]);

    impl Code {
        fn of(parts: &[(u64, &[u8])]) -> Self {
            let mut code = [0xc3; 128];
            for (address, bytes) in parts {
                let start = (address - CODE) as usize;
                code[start..start + bytes.len()].copy_from_slice(bytes);
            }
            Self(code)
        }
    }

    impl MemorySource for Code {
        fn word(&self, address: u64, size: usize) -> Option<u64> {
            let place = usize::try_from(address.checked_sub(CODE)?).ok()?;
            let bytes = self.0.get(place..place + size)?.iter().rev();
            Some(bytes.fold(0, |word, byte| word << 8 | u64::from(*byte)))
        }
    }

    fn call(from: u64, to: u64) -> Vec<u8> {
        let distance = (to as i64 - (from as i64 + 5)) as i32;
        [&[0xe8], &distance.to_le_bytes()[..]].concat()
    }

    /// mov dword ptr [rdi], 42
    const WRITES: &[u8] = &[0xc7, 0x07, 42, 0, 0, 0];
    /// call rax
    const THROUGH_POINTER: &[u8] = &[0xff, 0xd0];
    const SITE: Site = Site {
        low: CODE,
        high: CODE + 10,
    };

    #[test]
    fn what_a_site_says_of_several_calls_counts_for_those_that_may_throw() {
        let (first, second) = (call(CODE, LEAF), call(CODE + 5, OTHER));
        let code = Code::of(&[
            (CODE, &first),
            (CODE + 5, &second),
            (LEAF, WRITES),
            (OTHER, THROUGH_POINTER),
        ]);
        assert!(!may_throw(SITE, CODE + 5, &code), "a leaf throws nothing");
        assert!(may_throw(SITE, CODE + 10, &code), "the other may");
        let alone = Site {
            high: CODE + 5,
            ..SITE
        };
        assert!(may_throw(alone, CODE + 5, &code), "why else has it a site");
        assert!(!may_throw(alone, CODE + 4, &code), "no call returns there");
        let through = Code::of(&[(CODE, THROUGH_POINTER), (CODE + 2, &call(CODE + 2, OTHER))]);
        assert!(may_throw(SITE, CODE + 2, &through));
    }

    #[test]
    fn a_function_leads_on_by_what_it_calls() {
        let plain = Code::of(&[(CODE, &call(CODE, LEAF)), (LEAF, WRITES)]);
        assert!(!leads_on(CODE, &plain));
        // jmp [rip + 0]
        let linked = Code::of(&[(CODE, &call(CODE, OTHER)), (OTHER, &[0xff, 0x25, 0, 0, 0, 0])]);
        assert!(leads_on(CODE, &linked));
        // jmp rax, within the function
        assert!(!leads_on(CODE, &Code::of(&[(CODE, &[0xff, 0xe0])])));
        // jmp CODE
        assert!(!leads_on(CODE, &Code::of(&[(CODE, &[0xeb, 0xfe])])));
    }
}
