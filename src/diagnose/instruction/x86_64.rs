//! x86-64, by iced-x86.

use iced_x86::{
    Decoder, DecoderOptions, EncodingKind, FlowControl, Formatter, Instruction as Decoded,
    InstructionInfoFactory, IntelFormatter, Mnemonic, OpAccess, OpKind, Register, UsedMemory,
};

use super::{Class, Context, Instruction, MemoryAccess, Operand, Place};
use crate::diagnose::Access;

/// Operands that one instruction may list; the longest real ones have five, of two registers each.
const MAX_OPERANDS: usize = 10;

/// Decodes the instruction at `pc`, which `code` starts with.
pub(super) fn decode(code: &[u8], pc: u64, context: &Context<'_>) -> Option<Instruction> {
    let decoded = Decoder::with_ip(64, code, pc, DecoderOptions::NONE)
        .iter()
        .next()?;
    if decoded.is_invalid() {
        return None;
    }
    let mut factory = InstructionInfoFactory::new();
    let accesses = factory
        .info(&decoded)
        .used_memory()
        .iter()
        .filter_map(|memory| access(memory, context))
        .collect::<Vec<_>>();
    Some(Instruction {
        bytes: code.get(..decoded.len()).unwrap_or_default().to_vec(),
        text: text(&decoded),
        operands: operands(&decoded, context),
        target: target(&decoded, &accesses, context),
        class: class(&decoded, context),
        accesses,
    })
}

/// Has one instruction decoded and written, for the tables that this makes.
pub(super) fn prepare() {
    const RETURN: &[u8] = &[0xc3];
    if let Some(decoded) = Decoder::new(64, RETURN, DecoderOptions::NONE).iter().next() {
        text(&decoded);
    }
}

pub(super) fn text(decoded: &Decoded) -> String {
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_uppercase_hex(false);
    options.set_space_after_operand_separator(true);
    options.set_branch_leading_zeros(false);
    let mut text = String::new();
    formatter.format(decoded, &mut text);
    text
}

/// What the instruction does to one piece of memory; none for address computations and prefetches.
fn access(memory: &UsedMemory, context: &Context<'_>) -> Option<MemoryAccess> {
    let access = match memory.access() {
        OpAccess::Read | OpAccess::CondRead => Access::Read,
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => {
            Access::Write
        }
        _ => return None,
    };
    Some(MemoryAccess {
        address: memory.virtual_address(0, |register, _, _| value_for_address(register, context)),
        size: memory.memory_size().size() as u64,
        access,
    })
}

/// A register as address computation uses it: segments count with their base, which is 0 for all but fs and gs.
fn value_for_address(register: Register, context: &Context<'_>) -> Option<u64> {
    match register {
        Register::FS => context.registers.get("fs_base"),
        Register::GS => context.registers.get("gs_base"),
        register if register.is_segment_register() => Some(0),
        register if register.is_gpr() => value(register, context),
        _ => None,
    }
}

/// The value of a general register, or of the part of it that has its own name.
fn value(register: Register, context: &Context<'_>) -> Option<u64> {
    if !register.is_gpr() {
        return None;
    }
    let whole = context.registers.get(&name(register.full_register()))?;
    Some(match register {
        Register::AH | Register::BH | Register::CH | Register::DH => whole >> 8 & 0xff,
        register => truncate(whole, register.size()),
    })
}

fn name(register: Register) -> String {
    format!("{register:?}").to_ascii_lowercase()
}

fn truncate(value: u64, bytes: usize) -> u64 {
    match bytes {
        1 | 2 | 4 => value & ((1 << (8 * bytes)) - 1),
        _ => value,
    }
}

/// Registers and memory in the order of the text, those that it implies last, each place once.
fn operands(decoded: &Decoded, context: &Context<'_>) -> Vec<Operand> {
    let mut listed = Listed {
        operands: Vec::new(),
        context,
    };
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(decoded);
    for index in 0..decoded.op_count() {
        let read = !matches!(info.op_access(index), OpAccess::Write | OpAccess::CondWrite);
        match decoded.op_kind(index) {
            OpKind::Register => listed.register(decoded.op_register(index), read),
            OpKind::Memory => {
                listed.address_register(decoded.memory_base());
                listed.address_register(decoded.memory_index());
                listed.memory(decoded, index, read);
            }
            OpKind::MemorySegSI
            | OpKind::MemorySegESI
            | OpKind::MemorySegRSI
            | OpKind::MemorySegDI
            | OpKind::MemorySegEDI
            | OpKind::MemorySegRDI
            | OpKind::MemoryESDI
            | OpKind::MemoryESEDI
            | OpKind::MemoryESRDI => listed.memory(decoded, index, read),
            _ => {}
        }
    }
    for register in implied(decoded) {
        listed.register(*register, true);
    }
    listed.operands
}

/// Registers that matter although the text does not name them: the dividend, the count of a repetition, and where
/// it works.
fn implied(decoded: &Decoded) -> &'static [Register] {
    if is_division(decoded) {
        let size = match decoded.op_kind(0) {
            OpKind::Register => decoded.op_register(0).size(),
            _ => decoded.memory_size().size(),
        };
        return match size {
            1 => &[Register::AX],
            2 => &[Register::DX, Register::AX],
            4 => &[Register::EDX, Register::EAX],
            _ => &[Register::RDX, Register::RAX],
        };
    }
    if decoded.is_string_instruction() && (decoded.has_rep_prefix() || decoded.has_repne_prefix()) {
        return &[Register::RSI, Register::RDI, Register::RCX];
    }
    &[]
}

struct Listed<'a> {
    operands: Vec<Operand>,
    context: &'a Context<'a>,
}

impl Listed<'_> {
    fn push(&mut self, place: Place, value: Option<u64>, read: bool) {
        if let Some(known) = self.operands.iter_mut().find(|known| known.place == place) {
            known.read |= read;
        } else if self.operands.len() < MAX_OPERANDS {
            self.operands.push(Operand { place, value, read });
        }
    }

    fn register(&mut self, register: Register, read: bool) {
        self.push(
            Place::Register(name(register)),
            value(register, self.context),
            read,
        );
    }

    fn address_register(&mut self, register: Register) {
        if register.is_gpr() {
            self.register(register, true);
        }
    }

    fn memory(&mut self, decoded: &Decoded, index: u32, read: bool) {
        if let Some(address) = operand_address(decoded, index, self.context) {
            let value = self.context.word(address, decoded.memory_size().size());
            self.push(Place::Address(address), value, read);
        }
    }
}

fn operand_address(decoded: &Decoded, index: u32, context: &Context<'_>) -> Option<u64> {
    decoded.virtual_address(index, 0, |register, _, _| value_for_address(register, context))
}

fn is_division(decoded: &Decoded) -> bool {
    matches!(decoded.mnemonic(), Mnemonic::Div | Mnemonic::Idiv)
}

/// Where a branch goes: by register, through memory, or to the address on the stack.
fn target(decoded: &Decoded, accesses: &[MemoryAccess], context: &Context<'_>) -> Option<u64> {
    match decoded.flow_control() {
        FlowControl::IndirectBranch | FlowControl::IndirectCall => match decoded.op_kind(0) {
            OpKind::Register => value(decoded.op_register(0), context),
            _ => {
                let read = accesses.iter().find(|access| access.access == Access::Read)?;
                context.word(read.address?, 8)
            }
        },
        FlowControl::Return => context.word(context.registers.get("rsp")?, 8),
        FlowControl::UnconditionalBranch | FlowControl::Call => {
            Some(decoded.near_branch_target()).filter(|target| *target != 0)
        }
        _ => None,
    }
}

fn class(decoded: &Decoded, context: &Context<'_>) -> Class {
    if is_division(decoded) {
        let divisor = match decoded.op_kind(0) {
            OpKind::Register => value(decoded.op_register(0), context),
            _ => operand_address(decoded, 0, context)
                .and_then(|address| context.word(address, decoded.memory_size().size())),
        };
        return Class::Division(divisor);
    }
    // `in`, `out`, `cli` and `sti` depend on IOPL, which is 0 in all but rare processes (iopl(2)).
    let needs_io_privilege = matches!(
        decoded.mnemonic(),
        Mnemonic::In
            | Mnemonic::Out
            | Mnemonic::Insb
            | Mnemonic::Insw
            | Mnemonic::Insd
            | Mnemonic::Outsb
            | Mnemonic::Outsw
            | Mnemonic::Outsd
            | Mnemonic::Cli
            | Mnemonic::Sti
    );
    if decoded.is_privileged() || needs_io_privilege {
        return Class::Privileged;
    }
    if needs_alignment(decoded) {
        return Class::Aligned;
    }
    Class::Ordinary
}

/// Instructions that fault on an address that is not a multiple of their size (Intel SDM volume 1, 4.1.1): SSE
/// without the VEX prefix but for the moves that say otherwise, and the aligned moves of AVX.
fn needs_alignment(decoded: &Decoded) -> bool {
    if decoded.memory_size().size() < 16 {
        return false;
    }
    let aligned_move = matches!(
        decoded.mnemonic(),
        Mnemonic::Movaps
            | Mnemonic::Movapd
            | Mnemonic::Movdqa
            | Mnemonic::Movntps
            | Mnemonic::Movntpd
            | Mnemonic::Movntdq
            | Mnemonic::Movntdqa
            | Mnemonic::Vmovaps
            | Mnemonic::Vmovapd
            | Mnemonic::Vmovdqa
            | Mnemonic::Vmovdqa32
            | Mnemonic::Vmovdqa64
            | Mnemonic::Vmovntps
            | Mnemonic::Vmovntpd
            | Mnemonic::Vmovntdq
            | Mnemonic::Vmovntdqa
            | Mnemonic::Cmpxchg16b
    );
    let unaligned_move = matches!(
        decoded.mnemonic(),
        Mnemonic::Movups | Mnemonic::Movupd | Mnemonic::Movdqu | Mnemonic::Lddqu
    );
    aligned_move
        || (decoded.encoding() == EncodingKind::Legacy
            && decoded.memory_size().size() == 16
            && !unaligned_move)
}
