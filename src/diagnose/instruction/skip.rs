//! What a thread's registers are behind an instruction that did not happen: its destination is zero.
//!
//! Only what leaves nothing but a value behind can be stepped over: a load gives zero, a store is dropped, a division
//! gives zero. Where the instruction sets flags, they are those of a result of zero. Refused is all that others may count
//! on, or that goes somewhere else: branches, the stack, strings, atomic operations. So is what stands in front of a system
//! call: the step that shows whether the thread comes on would last as long as that.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction as Decoded, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register, UsedRegister,
};

use super::{Skipped, x86_64};
use crate::sys::regs::GeneralRegisters;

/// Flags of a result of zero, and all that a result decides (Intel SDM volume 1, 3.4.3.1).
const ZERO: u64 = 1 << 6 | 1 << 2;
const OF_RESULT: u64 = 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 11;

pub(super) fn skipped(code: &[u8], registers: &GeneralRegisters) -> Result<Skipped, String> {
    let mut decoder = Decoder::with_ip(64, code, registers.pc(), DecoderOptions::NONE);
    let mut decoded = decoder.iter();
    let next = decoded.next().filter(|decoded| !decoded.is_invalid());
    let (decoded, behind) = (next.ok_or("its instruction cannot be decoded")?, decoded.next());
    let text = x86_64::text(&decoded);
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(&decoded);
    let written: Vec<Register> = info
        .used_registers()
        .iter()
        .filter(|used| is_written(used))
        .map(UsedRegister::register)
        .collect();
    if let Some(why) = obstacle(&decoded, &written) {
        return Err(format!("`{text}` {why}"));
    }
    let calls = |behind: Decoded| {
        matches!(
            behind.mnemonic(),
            Mnemonic::Syscall | Mnemonic::Sysenter | Mnemonic::Int
        )
    };
    if behind.is_some_and(calls) {
        return Err(format!(
            "`{text}` stands in front of a system call, which may wait"
        ));
    }
    let mut after = registers.clone();
    for register in written {
        set_to_zero(&mut after, register);
    }
    if decoded.rflags_modified() != 0 {
        let flags = after.get("eflags").unwrap_or_default();
        after.set("eflags", flags & !OF_RESULT | ZERO);
    }
    after.set("rip", decoded.next_ip());
    Ok(Skipped {
        text,
        registers: after,
    })
}

/// Why it cannot be stepped over, as the end of a sentence about it.
fn obstacle(decoded: &Decoded, written: &[Register]) -> Option<String> {
    let touches_memory = (0..decoded.op_count()).any(|index| decoded.op_kind(index) == OpKind::Memory);
    let is_division = matches!(decoded.mnemonic(), Mnemonic::Div | Mnemonic::Idiv);
    let why = if decoded.flow_control() != FlowControl::Next {
        "goes somewhere else"
    } else if decoded.is_stack_instruction()
        || written
            .iter()
            .any(|register| register.full_register() == Register::RSP)
    {
        "moves the stack pointer"
    } else if decoded.is_string_instruction() {
        "works on more than one value"
    } else if decoded.has_lock_prefix() || decoded.mnemonic() == Mnemonic::Xchg {
        "is atomic, and others may count on what it does"
    } else if decoded.is_privileged() || decoded.is_save_restore_instruction() {
        "concerns the state of the processor"
    } else if !touches_memory && !is_division {
        "touches no memory and divides nothing"
    } else if decoded.fpu_stack_increment_info().writes_top() {
        "moves the stack of the floating point unit"
    } else if let Some(other) = written.iter().find(|register| !register.is_gpr()) {
        return Some(format!("writes {other:?}, which is no general register"));
    } else {
        return None;
    };
    Some(why.to_owned())
}

fn is_written(used: &UsedRegister) -> bool {
    matches!(
        used.access(),
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    )
}

/// Sets a register, or the part of one that has its own name, to zero. A part of 32 bits is extended by zeros.
fn set_to_zero(registers: &mut GeneralRegisters, register: Register) {
    let name = format!("{:?}", register.full_register()).to_ascii_lowercase();
    let keep = match (register, register.size()) {
        (Register::AH | Register::BH | Register::CH | Register::DH, _) => !0xff00,
        (_, 1) => !0xff,
        (_, 2) => !0xffff,
        _ => 0,
    };
    let value = registers.get(&name).unwrap_or_default();
    registers.set(&name, value & keep);
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;

    const PC: u64 = 0x40_1000;
    const RAX: u64 = 0x1111_2222_3333_4444;

    fn after(code: &[u8]) -> Result<GeneralRegisters, String> {
        let registers = GeneralRegisters::from_named(&[
            ("rip", PC),
            ("rax", RAX),
            ("rdx", 7),
            ("rsp", 0x7000),
            ("eflags", 0x282),
        ]);
        skipped(code, &registers).map(|skipped| skipped.registers)
    }

    #[test]
    fn a_load_gives_zero_in_as_much_of_its_register_as_it_writes() {
        for (code, rax) in [
            (&[0x48, 0x8b, 0x07][..], 0),
            (&[0x8b, 0x07], 0),
            (&[0x66, 0x8b, 0x07], 0x1111_2222_3333_0000),
            (&[0x8a, 0x07], 0x1111_2222_3333_4400),
            (&[0x8a, 0x27], 0x1111_2222_3333_0044),
        ] {
            let after = after(code).unwrap();
            assert_eq!(after.get("rax"), Some(rax), "{code:x?}");
            assert_eq!(after.pc(), PC + code.len() as u64);
            assert_eq!(after.get("eflags"), Some(0x282), "a load sets no flags");
        }
    }

    #[test]
    fn a_store_is_dropped_and_a_comparison_finds_zero() {
        // mov dword ptr [rdi+8], 2ah; cmp dword ptr [rdi], 5
        let store = after(&[0xc7, 0x47, 0x08, 0x2a, 0, 0, 0]).unwrap();
        assert_eq!(
            (store.get("rax"), store.get("eflags"), store.pc()),
            (Some(RAX), Some(0x282), PC + 7)
        );
        let compared = after(&[0x83, 0x3f, 0x05]).unwrap();
        assert_eq!(compared.get("eflags"), Some(0x246));
    }

    #[test]
    fn a_division_gives_zero_and_nothing_left() {
        let divided = after(&[0x48, 0xf7, 0xf9]).unwrap();
        assert_eq!((divided.get("rax"), divided.get("rdx")), (Some(0), Some(0)));
    }

    #[test]
    fn what_others_count_on_is_refused() {
        for (code, why) in [
            (&[0xff, 0x10][..], "`call qword ptr [rax]` goes somewhere else"),
            (&[0x0f, 0x0b], "`ud2` goes somewhere else"),
            (&[0xff, 0x30], "moves the stack pointer"),
            (&[0x48, 0x8b, 0x20], "moves the stack pointer"),
            (&[0xf3, 0xa4], "works on more than one value"),
            (&[0xf0, 0xff, 0x00], "is atomic"),
            (&[0x87, 0x07], "is atomic"),
            (&[0x0f, 0xae, 0x27], "concerns the state of the processor"),
            (&[0x90], "touches no memory and divides nothing"),
            (&[0xdd, 0x00], "floating point unit"),
            (&[0x0f, 0x10, 0x07], "writes XMM0, which is no general register"),
            (&[0x8b, 0x07, 0x0f, 0x05], "stands in front of a system call"),
            (&[0x8b, 0x07, 0xcd, 0x80], "stands in front of a system call"),
            (&[0x06], "cannot be decoded"),
            (&[], "cannot be decoded"),
        ] {
            let refused = after(code).unwrap_err();
            assert!(refused.contains(why), "{code:x?}: {refused}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_strange(code in proptest::collection::vec(proptest::num::u8::ANY, 0..32)) {
            if let Ok(after) = after(&code) {
                proptest::prop_assert!(after.pc() > PC && after.pc() <= PC + 15);
                proptest::prop_assert_eq!(after.sp(), 0x7000);
            }
        }
    }
}
