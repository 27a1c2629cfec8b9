//! The panic that a Rust program aborts for: its text, and the place in the source.
//!
//! The runtime tells both to the panic hook in a `std::panic::PanicHookInfo` that lies in the frame of the function which
//! calls the hook, and that frame is still there when the runtime, or the hook, calls abort(3). Its fields are the payload
//! (two words: the value and its virtual table), before Rust 1.81 a message, and then the `core::panic::Location`. Rust
//! promises no layout, so every part is held against what it must be: the place leads to the name of a source file and to
//! numbers of a line and a column, the table says how large the value is, the value leads to a text. It has to be done
//! while the process exists: texts with values in them lie on its heap. Whether it is the reason of an abort is for others
//! to say.

use crate::sys::memory::{Memory, Span};

use super::maps::Maps;
use super::{Capture, PanicFacts, StackRange};

/// How much of the stack is searched, bytes from the stack pointer on: a hook may print a long backtrace.
const MAX_STACK: usize = 64 << 10;
/// How many places on the stack are looked at.
const MAX_CANDIDATES: usize = 512;
/// The longest name of a source file.
const MAX_NAME: u64 = 4096;
/// The longest text that is taken for one, and how much of it is kept, bytes.
const MAX_TEXT: u64 = 16 << 20;
const MAX_KEPT: usize = 4096;
const MAX_LINE: u32 = 10_000_000;
const MAX_COLUMN: u32 = 1_000_000;

/// `core::panic::Location`: where the name is, its length, and both numbers. A virtual table: how values are dropped, their
/// size and alignment.
const THREE_WORDS: usize = 24;
/// Sizes of what a panic's text is: `&'static str` where it has no values in it, else `String`.
const STR: u64 = 16;
const STRING: u64 = 24;

/// Words that may be the parts of a `PanicHookInfo`.
struct Candidate {
    value: u64,
    table: u64,
    location: u64,
}

impl Capture {
    /// Copies text and place of the panic that the faulting thread aborts for. Its stack is there already.
    pub(super) fn copy_panic(&mut self, memory: &Memory, maps: &Maps) -> Option<PanicFacts> {
        let stack = self.facts.threads.first()?.stack?;
        let candidates = candidates(&self.words(&stack), maps);
        let spans: Vec<Span> = candidates
            .iter()
            .flat_map(|candidate| [candidate.location, candidate.table])
            .map(|start| Span {
                start,
                len: THREE_WORDS,
            })
            .collect();
        let mut bytes = Vec::new();
        let sizes = memory.read(&spans, &mut bytes);
        let mut rest = bytes.as_slice();
        for (candidate, size) in candidates.iter().zip(sizes.chunks_exact(2)) {
            let (location, behind) = rest.split_at_checked(size[0])?;
            let (table, behind) = behind.split_at_checked(size[1])?;
            rest = behind;
            let (Some(location), Some(table)) = (three_words(location), three_words(table)) else {
                continue;
            };
            let (line, column) = (location[2] as u32, (location[2] >> 32) as u32);
            let is_place = (1..=MAX_LINE).contains(&line) && column <= MAX_COLUMN;
            let [_, size, alignment] = table;
            if !is_place || !alignment.is_power_of_two() || size % alignment != 0 {
                continue;
            }
            let Some(file) = source_file(memory, location[0], location[1]) else {
                continue;
            };
            let text = text_of(memory, candidate.value, size);
            return Some(PanicFacts {
                location: candidate.location,
                file: self.keep(&file),
                line,
                column,
                text: text.map(|text| self.keep(&text)),
            });
        }
        None
    }

    /// The top of a stack.
    fn words(&self, stack: &StackRange) -> Vec<u64> {
        let below = usize::try_from(stack.pointer.saturating_sub(stack.start)).unwrap_or(usize::MAX);
        let words = self
            .get(stack.data)
            .get(below..)
            .unwrap_or_default()
            .chunks_exact(8);
        let word = |word: &[u8]| Some(u64::from_le_bytes(word.try_into().ok()?));
        words.take(MAX_STACK / 8).filter_map(word).collect()
    }
}

/// What looks like the parts by the kinds of memory that they point to, the innermost first.
fn candidates(words: &[u64], maps: &Maps) -> Vec<Candidate> {
    let is_constant = |address: u64| {
        let mapping = maps.find(address);
        address.is_multiple_of(8) && mapping.is_some_and(|mapping| mapping.readable && mapping.inode != 0)
    };
    let constant: Vec<bool> = words.iter().map(|word| is_constant(*word)).collect();
    let candidate = |at: usize, table: usize| {
        let value = *words.get(table.checked_sub(1)?)?;
        (constant[table] && value != 0).then(|| Candidate {
            value,
            table: words[table],
            location: words[at],
        })
    };
    (2..words.len())
        .filter(|at| constant[*at])
        .flat_map(|at| [candidate(at, at - 1), candidate(at, at - 2)])
        .flatten()
        .take(MAX_CANDIDATES)
        .collect()
}

fn three_words(bytes: &[u8]) -> Option<[u64; 3]> {
    let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    Some([word(0)?, word(8)?, word(16)?])
}

/// The name of a source file; some versions of the compiler count a zero byte at its end.
fn source_file(memory: &Memory, start: u64, len: u64) -> Option<Vec<u8>> {
    if !(1..=MAX_NAME).contains(&len) {
        return None;
    }
    let name = exactly(memory, start, len)?;
    let name = name.strip_suffix(b"\0").unwrap_or(&name);
    let is_name = name.ends_with(b".rs")
        && std::str::from_utf8(name).is_ok_and(|name| !name.chars().any(char::is_control));
    is_name.then(|| name.to_vec())
}

/// The text of a panic, if its value of that size is one.
fn text_of(memory: &Memory, value: u64, size: u64) -> Option<Vec<u8>> {
    let word = |place: u64| memory.read_u64(value.checked_add(place * 8)?);
    let (start, len) = match size {
        STR => (word(0)?, word(1)?),
        // Capacity, start, length; the first two have stood the other way round.
        STRING => {
            let (first, second, len) = (word(0)?, word(1)?, word(2)?);
            let start = if (len..=MAX_TEXT).contains(&first) {
                second
            } else {
                first
            };
            (start, len)
        }
        _ => return None,
    };
    if !(1..=MAX_TEXT).contains(&len) {
        return None;
    }
    exactly(memory, start, len.min(MAX_KEPT as u64))
}

fn exactly(memory: &Memory, start: u64, len: u64) -> Option<Vec<u8>> {
    let bytes = memory.read_span(start, len as usize);
    (bytes.len() as u64 == len).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::panic::Location;

    use super::*;
    use crate::sys::Tid;

    fn own_memory() -> Memory {
        Memory::of(Tid(std::process::id() as i32))
    }

    #[test]
    fn places_and_texts_are_found_by_what_they_must_be() {
        let memory = own_memory();
        let location = Location::caller();
        let words = memory.read_span(std::ptr::from_ref(location) as u64, THREE_WORDS);
        let [start, len, numbers] = three_words(&words).unwrap();
        let file = source_file(&memory, start, len).unwrap();
        assert_eq!(String::from_utf8(file).unwrap(), file!());
        assert_eq!(numbers as u32, location.line());

        let fixed: &str = "no values";
        let formatted = format!("{} values", 2);
        let at =
            |value: u64, size| text_of(&memory, value, size).map(|text| String::from_utf8(text).unwrap());
        assert_eq!(
            at(std::ptr::from_ref(&fixed) as u64, STR).as_deref(),
            Some("no values")
        );
        assert_eq!(
            at(std::ptr::from_ref(&formatted) as u64, STRING).as_deref(),
            Some("2 values")
        );
        assert_eq!(at(std::ptr::from_ref(&formatted) as u64, 8), None);
        assert_eq!(source_file(&memory, fixed.as_ptr() as u64, 9), None);
    }

    #[test]
    fn words_that_lead_nowhere_are_no_candidates() {
        let maps =
            Maps::parse(b"1000-2000 r--p 00000000 fe:00 77 /prog\n3000-4000 rw-p 00000000 00:00 0 [heap]\n");
        let found = |words: &[u64]| candidates(words, &maps).len();
        assert_eq!(found(&[0x3008, 0x1010, 0x1020]), 1);
        assert_eq!(found(&[0x3008, 0x1010, 0, 0x1020]), 1, "a message between them");
        assert_eq!(found(&[0, 0x1010, 0x1020]), 0);
        assert_eq!(found(&[0x3008, 0x3010, 0x1020]), 0);
        assert_eq!(found(&[0x3008, 0x1010]), 0);
        assert_eq!(found(&vec![0x1010; 10_000]), MAX_CANDIDATES);
    }
}
