//! The C++ exception that a thread is ended by: its type, and the text of the standard ones.
//!
//! A runtime library that ends the process for an exception keeps it reachable from the stack, below a header that every
//! such library lays out alike (Itanium C++ ABI, exception handling, 2.2.1) and marks with eight letters. So the words of
//! the stack are followed by one step each, all in one system call, and the marks looked for. It has to be done while the
//! process exists: exceptions lie on its heap. Whether one is the reason of an abort is for others to say.

use crate::sys::memory::{Memory, Span};
use crate::sys::regs::GeneralRegisters;

use super::maps::Maps;
use super::{Capture, ExceptionFacts, StackRange};

/// How much of the stack is followed, bytes from the stack pointer on.
const MAX_STACK: usize = 16 << 10;
/// How many pointers are followed.
const MAX_POINTERS: usize = 1024;
/// The longest name of a type, and the longest text, that is kept.
const MAX_NAME: usize = 1024;
const MAX_TEXT: usize = 4096;
/// How many types are looked at between that of an exception and one whose text is known, and how many bases of one.
const MAX_TYPES: usize = 32;
const MAX_BASES: u64 = 8;
/// How often an exception can be handled or referred to at a time, in earnest.
const MAX_USES: u64 = 1024;

/// `exception_class` of GNU's and LLVM's libraries; in the last byte, 1 marks another reference to an exception.
const CLASSES: [&[u8; 7]; 2] = [b"GNUCC++", b"CLNGC++"];
/// From the unwinder's part of the header, which begins with the mark: the thrown object, behind it; the type, the number
/// of handlers and the library's own beginnings of the header, before it.
const OBJECT: u64 = 0x20;
const TYPE: u64 = 0x50;
const HANDLERS: u64 = 0x28;
const BEGINNINGS: [u64; 2] = [0x50, 0x60];
/// What is read around a pointer, of whatever kind: from the mark where it points to the object, to the mark where it
/// points to a beginning.
const BEFORE: u64 = OBJECT;
const AROUND: usize = (BEFORE + BEGINNINGS[1] + 8) as usize;

/// Standard exceptions that keep a text behind their first word, as a pointer to its characters; names of types as mangled.
const WITH_TEXT: [&[u8]; 2] = [b"St13runtime_error", b"St11logic_error"];
/// The same of LLVM's library, which has a namespace of its own around them.
const WITH_TEXT_LLVM: [&[u8]; 2] = [b"St3__113runtime_error", b"St3__111logic_error"];

impl Capture {
    /// Copies type and text of the exception in flight of the faulting thread, whose stack is there already.
    pub(super) fn copy_exception(
        &mut self,
        memory: &Memory,
        maps: &Maps,
        registers: &GeneralRegisters,
    ) -> Option<ExceptionFacts> {
        let stack = self.facts.threads.first()?.stack?;
        let pointers = self.pointers(&stack, maps, registers);
        let object = in_flight(memory, &pointers)?;
        let described = memory.read_u64(object.checked_sub(OBJECT + TYPE)?)?;
        let name = type_name(memory, described)?;
        let text = text_of(memory, described, object);
        Some(ExceptionFacts {
            type_name: self.keep(&name),
            text: text.map(|text| self.keep(&text)),
        })
    }

    /// What the registers and the top of the stack point to, each once, the innermost first.
    fn pointers(&self, stack: &StackRange, maps: &Maps, registers: &GeneralRegisters) -> Vec<u64> {
        let bytes = self.get(stack.data);
        let below = usize::try_from(stack.pointer.saturating_sub(stack.start)).unwrap_or(usize::MAX);
        let words = bytes.get(below..).unwrap_or_default().chunks_exact(8);
        let words = words
            .take(MAX_STACK / 8)
            .filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)));
        let mut pointers = Vec::new();
        for word in registers.pointers().map(|(_, value)| value).chain(words) {
            let on_stack = (stack.low..stack.high).contains(&word);
            let to_data = || {
                maps.find(word)
                    .is_some_and(|mapping| mapping.readable && mapping.writable)
            };
            if word % 16 == 0 && !on_stack && !pointers.contains(&word) && to_data() {
                pointers.push(word);
            }
            if pointers.len() == MAX_POINTERS {
                break;
            }
        }
        pointers
    }
}

/// The object of an exception that is being handled, to which or to whose header one of the pointers leads.
fn in_flight(memory: &Memory, pointers: &[u64]) -> Option<u64> {
    let spans: Vec<Span> = pointers
        .iter()
        .map(|pointer| Span {
            start: pointer.saturating_sub(BEFORE),
            len: AROUND,
        })
        .collect();
    let mut bytes = Vec::new();
    let sizes = memory.read(&spans, &mut bytes);
    let mut rest = bytes.as_slice();
    for (span, size) in spans.iter().zip(sizes) {
        let (around, behind) = rest.split_at_checked(size)?;
        rest = behind;
        for at in [
            BEFORE - OBJECT,
            BEFORE,
            BEFORE + BEGINNINGS[0],
            BEFORE + BEGINNINGS[1],
        ] {
            let header = span.start + at;
            let mark = around.get(at as usize..).filter(|bytes| is_mark(bytes));
            let object = mark.and_then(|mark| object_of(memory, header, mark[0] == 1));
            if object.is_some_and(|object| is_alive(memory, object)) && is_handled(memory, header) {
                return object;
            }
        }
    }
    None
}

/// Whether bytes begin with a mark; it is a number, whose last letter comes first in memory.
fn is_mark(bytes: &[u8]) -> bool {
    let letter = |place: usize| bytes.get(7 - place);
    letter(7).is_some_and(|reference| *reference <= 1)
        && CLASSES.iter().any(|class| {
            class
                .iter()
                .enumerate()
                .all(|(place, byte)| letter(place) == Some(byte))
        })
}

fn object_of(memory: &Memory, header: u64, is_reference: bool) -> Option<u64> {
    match is_reference {
        false => header.checked_add(OBJECT),
        true => memory.read_u64(header.checked_sub(TYPE)?),
    }
}

/// Whether a handler was entered; a number below zero marks one that was thrown once more.
fn is_handled(memory: &Memory, header: u64) -> bool {
    let count = header.checked_sub(HANDLERS).map(|at| memory.read_span(at, 4));
    let count = count.and_then(|bytes| Some(i32::from_le_bytes(bytes.try_into().ok()?)));
    count.is_some_and(|count| (1..=MAX_USES).contains(&u64::from(count.unsigned_abs())))
}

/// Whether an exception is not over. Its memory keeps mark and handlers when it is given back, but not the number of its
/// users at the very beginning beside a word that is zero: there every allocator notes something of its own.
fn is_alive(memory: &Memory, object: u64) -> bool {
    let Some(start) = object.checked_sub(OBJECT + BEGINNINGS[1]) else {
        return false;
    };
    let used = 1..=MAX_USES;
    match (memory.read_u64(start), memory.read_u64(start + 8)) {
        // GNU's library has the number first, LLVM's second.
        (Some(users), Some(0)) | (Some(0), Some(users)) => used.contains(&users),
        _ => false,
    }
}

/// The name in a `std::type_info`, which lies behind its first word.
fn type_name(memory: &Memory, described: u64) -> Option<Vec<u8>> {
    let name = memory.read_u64(described.checked_add(8)?)?;
    let name = text_at(memory, name, MAX_NAME)?;
    // GNU's library marks those that are compared by their address.
    Some(name.strip_prefix(b"*").map(<[u8]>::to_vec).unwrap_or(name))
}

/// The text of an exception whose type derives from a standard one that has a text.
fn text_of(memory: &Memory, described: u64, object: u64) -> Option<Vec<u8>> {
    let mut left = vec![(described, object)];
    for _ in 0..MAX_TYPES {
        let (described, object) = left.pop()?;
        let Some(name) = type_name(memory, described) else {
            continue;
        };
        if WITH_TEXT
            .iter()
            .chain(&WITH_TEXT_LLVM)
            .any(|known| *known == name)
        {
            return text_at(memory, memory.read_u64(object.checked_add(8)?)?, MAX_TEXT);
        }
        left.extend(bases(memory, described, object));
    }
    None
}

/// The bases of a type and where they lie in an object: of a `__si_class_type_info` the word behind its name, of a
/// `__vmi_class_type_info` a list (Itanium C++ ABI, 2.9.5). Which of them it is, if any, is told by what lies there.
fn bases(memory: &Memory, described: u64, object: u64) -> Vec<(u64, u64)> {
    /// `__virtual_mask`, and the bits below an offset.
    const VIRTUAL: u64 = 1;
    const OFFSET: u32 = 8;
    let word = |at: u64| memory.read_u64(described.saturating_add(at));
    let Some(first) = word(16) else {
        return Vec::new();
    };
    let (flags, count) = (first & 0xffff_ffff, first >> 32);
    if flags > 3 || count == 0 || count > MAX_BASES {
        return vec![(first, object)];
    }
    let base = |place: u64| {
        let (base, offset) = (word(24 + place * 16)?, word(32 + place * 16)?);
        (offset & VIRTUAL == 0).then(|| (base, object.wrapping_add_signed(offset as i64 >> OFFSET)))
    };
    (0..count).rev().filter_map(base).collect()
}

/// A text up to its zero byte.
fn text_at(memory: &Memory, address: u64, longest: usize) -> Option<Vec<u8>> {
    let bytes = memory.read_span(address, longest);
    let text = bytes.split(|byte| *byte == 0).next()?;
    (!text.is_empty()).then(|| text.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_those_of_the_two_libraries() {
        for (mark, known) in [
            (b"\0++CCUNG", true),
            (b"\x01++CCUNG", true),
            (b"\0++CGNLC", true),
            (b"\x02++CCUNG", false),
            (b"GNUCC++\0", false),
            (b"\0++CCUNX", false),
        ] {
            assert_eq!(is_mark(mark), known, "{mark:?}");
        }
        assert!(!is_mark(b"\0++CCUN"));
    }
}
