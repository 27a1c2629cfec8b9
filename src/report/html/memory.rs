//! Registers, code, and memory with what the words in it point to.

use super::text::Text;
use crate::report::model::{Address, Memory, Report, Thread};
use crate::report::wording::place::{TargetKind, in_module, target};

/// Bytes in a line of a dump, and lines of one dump.
const ROW: usize = 16;
const MAX_ROWS: usize = 64;
/// Dumps that a page has.
const MAX_DUMPS: usize = 64;
/// Words of the stack that a page has, and that it shows at once.
const MAX_WORDS: usize = 512;
const FIRST_WORDS: usize = 36;
const WORD: usize = 8;
/// Names that architectures give to the program counter and to the stack pointer.
const PROGRAM_COUNTERS: [&str; 3] = ["rip", "pc", "eip"];
const STACK_POINTERS: [&str; 3] = ["rsp", "sp", "esp"];

/// A register and what it points to.
pub(super) struct RegisterRow {
    pub(super) name: Text,
    pub(super) value: Text,
    pub(super) target: Text,
    pub(super) class: &'static str,
}

/// One instruction.
pub(super) struct CodeRow {
    pub(super) address: Text,
    pub(super) place: Text,
    pub(super) bytes: Text,
    pub(super) text: Text,
    pub(super) marked: bool,
}

/// One word of the stack.
pub(super) struct WordRow {
    pub(super) address: Text,
    /// Where it is from the stack pointer.
    pub(super) offset: Text,
    pub(super) value: Text,
    pub(super) target: Text,
    pub(super) class: &'static str,
    pub(super) marked: bool,
}

/// The stack of the faulting thread from about its pointer on.
#[derive(Default)]
pub(super) struct StackWords {
    /// What is shown at once.
    pub(super) first: Vec<WordRow>,
    /// What is folded.
    pub(super) rest: Vec<WordRow>,
}

/// The memory around what a register points to.
pub(super) struct Dump {
    pub(super) register: Text,
    pub(super) value: Text,
    pub(super) target: Text,
    pub(super) rows: Vec<DumpRow>,
}

/// Some bytes of it.
pub(super) struct DumpRow {
    pub(super) address: Text,
    pub(super) hex: Text,
    pub(super) text: Text,
    pub(super) marked: bool,
}

pub(super) fn registers(report: &Report, thread: &Thread) -> Vec<RegisterRow> {
    let row = |(name, value): (&String, &Address)| {
        let (target, class) = pointed_to(report, *value);
        RegisterRow {
            name: name.into(),
            value: format_args!("{:016x}", value.0).into(),
            target,
            class,
        }
    };
    thread.registers.iter().map(row).collect()
}

pub(super) fn code(report: &Report) -> Vec<CodeRow> {
    let row = |line: &crate::report::model::CodeLine| CodeRow {
        address: format_args!("{:x}", line.address.0).into(),
        place: in_module(report, line.address).into(),
        bytes: line
            .bytes
            .as_ref()
            .map(|bytes| Text::from(hex::encode(&bytes.0)))
            .unwrap_or_default(),
        text: line.text.as_deref().unwrap_or("(no instruction)").into(),
        marked: Some(line.address) == report.fault.pc,
    };
    report.code.iter().map(row).collect()
}

impl StackWords {
    pub(super) fn of(report: &Report, thread: &Thread) -> Self {
        let is_stack = |memory: &&Memory| STACK_POINTERS.contains(&memory.register.as_str());
        let pointer = STACK_POINTERS.iter().find_map(|name| thread.registers.get(*name));
        let (Some(memory), Some(pointer)) = (report.memory.iter().find(is_stack), pointer) else {
            return Self::default();
        };
        let words = memory.bytes.0.chunks_exact(WORD).enumerate().take(MAX_WORDS);
        let row = |(number, bytes): (usize, &[u8])| {
            let address = memory.address.0.wrapping_add((number * WORD) as u64);
            WordRow::new(report, address, *pointer, bytes)
        };
        let mut first: Vec<WordRow> = words.map(row).collect();
        let rest = first.split_off(FIRST_WORDS.min(first.len()));
        Self { first, rest }
    }
}

impl WordRow {
    fn new(report: &Report, address: u64, pointer: Address, bytes: &[u8]) -> Self {
        let value = bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte));
        let (target, class) = match pointed_to(report, Address(value)) {
            (target, "") if target.is_empty() => {
                let text = text_in(bytes);
                let class = if text.is_empty() { "" } else { "text" };
                (text, class)
            }
            pointed => pointed,
        };
        Self {
            address: format_args!("{address:x}").into(),
            offset: match address.checked_sub(pointer.0) {
                Some(above) => format_args!("+{above:#x}").into(),
                None => format_args!("-{:#x}", pointer.0 - address).into(),
            },
            value: format_args!("{value:016x}").into(),
            target,
            class,
            marked: address == pointer.0,
        }
    }
}

/// The memory around all other registers.
pub(super) fn dumps(report: &Report, has_code: bool) -> Vec<Dump> {
    let is_shown = |memory: &&Memory| {
        let is_code = PROGRAM_COUNTERS.contains(&memory.register.as_str());
        let is_stack = STACK_POINTERS.contains(&memory.register.as_str());
        !(is_stack || is_code && has_code)
    };
    let registers = report.faulting_thread().map(|thread| &thread.registers);
    let dump = |memory: &Memory| {
        let value = registers.and_then(|registers| registers.get(&memory.register).copied());
        Dump {
            register: Text::from(&memory.register),
            value: value.map(Text::from).unwrap_or_default(),
            target: value.map(|value| pointed_to(report, value).0).unwrap_or_default(),
            rows: rows(memory, value),
        }
    };
    report
        .memory
        .iter()
        .filter(is_shown)
        .take(MAX_DUMPS)
        .map(dump)
        .collect()
}

fn rows(memory: &Memory, value: Option<Address>) -> Vec<DumpRow> {
    let rows = memory.bytes.0.chunks(ROW).take(MAX_ROWS).enumerate();
    rows.map(|(number, bytes)| {
        let start = memory.address.0.wrapping_add((number * ROW) as u64);
        DumpRow {
            address: format_args!("{start:x}").into(),
            hex: bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<Vec<_>>()
                .join(" ")
                .into(),
            text: printable(bytes).into(),
            marked: value.is_some_and(|value| value.0.wrapping_sub(start) < bytes.len() as u64),
        }
    })
    .collect()
}

/// What an address points to, and the class of its kind.
fn pointed_to(report: &Report, address: Address) -> (Text, &'static str) {
    match target(report, address) {
        Some(target) => (target.text.into(), class(target.kind)),
        None => (Text::default(), ""),
    }
}

const fn class(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Code => "code",
        TargetKind::Data => "data",
        TargetKind::Stack => "stack",
        TargetKind::Heap => "heap",
        TargetKind::Other => "other",
    }
}

/// The characters of a word, if it looks like text.
fn text_in(bytes: &[u8]) -> Text {
    let length = bytes.iter().take_while(|byte| is_printable(**byte)).count();
    let rest_is_empty = bytes.iter().skip(length).all(|byte| *byte == 0);
    if length >= 3 && rest_is_empty {
        format_args!("\"{}\"", printable(&bytes[..length])).into()
    } else {
        Text::default()
    }
}

fn printable(bytes: &[u8]) -> String {
    let shown = |byte: &u8| {
        if is_printable(*byte) {
            char::from(*byte)
        } else {
            '.'
        }
    };
    bytes.iter().map(shown).collect()
}

const fn is_printable(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte == b' '
}
