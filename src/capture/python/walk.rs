//! From the runtime to the frames of each thread.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::sys::Tid;

use super::layout::{Entry, Innermost, Layout};
use super::{Source, line};

/// Interpreters, and threads of all together, that are followed.
const MAX_INTERPRETERS: usize = 64;
const MAX_THREADS: usize = 4096;
/// Frames of one thread.
const MAX_FRAMES: usize = 256;
/// Characters of a name, bytes of a table of locations.
const MAX_TEXT: usize = 1024;
const MAX_TABLE: usize = 64 << 10;

/// `PyVarObject`, `PyBytesObject`, `PyASCIIObject`: the same in all versions.
const SIZE: usize = 16;
const BYTES: usize = 32;
const TEXT_STATE: usize = 32;
/// Bits of the state: the size of a character, whether the text follows, whether it is ASCII.
const KIND: u32 = 0x1c;
const COMPACT: u32 = 0x20;
const ASCII: u32 = 0x40;
/// `FRAME_OWNED_BY_CSTACK`.
const C_STACK: u8 = 3;

/// The Python frames of a thread.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PythonStack {
    /// Innermost first.
    pub frames: Vec<PythonFrame>,
    /// Whether the outermost could not be followed.
    pub truncated: bool,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PythonFrame {
    /// The qualified name of its function.
    pub function: String,
    /// The file, as Python was given it.
    pub file: String,
    /// The line.
    pub line: Option<u32>,
    /// Whether the interpreter's C function was entered for it; the frames that it called up to the next such run in the
    /// same.
    pub is_entry: bool,
}

/// What the frames of one function share.
struct Code {
    function: String,
    file: String,
    first_line: i32,
    lines: Vec<u8>,
}

/// The stacks of these threads, as far as they run Python; `threads` in the order of their importance.
pub(super) fn stacks(
    source: &mut impl Source,
    runtime: u64,
    version: u32,
    threads: &[Tid],
) -> Result<HashMap<Tid, PythonStack>, String> {
    let layout = Layout::of(version, runtime, source)?;
    let mut walk = Walk {
        layout,
        source,
        known: HashMap::new(),
    };
    let states = walk.innermost_frames(runtime);
    let found = threads.iter().filter_map(|tid| {
        let stack = walk.stack(*states.get(&(tid.0 as u64))?)?;
        Some((*tid, stack))
    });
    Ok(found.collect())
}

/// Where the states of the thread with that id are.
pub(super) fn states_of(
    source: &mut impl Source,
    runtime: u64,
    version: u32,
    thread: Tid,
) -> Result<Vec<u64>, String> {
    let layout = Layout::of(version, runtime, source)?;
    let mut walk = Walk {
        layout,
        source,
        known: HashMap::new(),
    };
    let states = walk.thread_states(runtime).into_iter();
    let own = states.filter(|state| state.thread == thread.0 as u64);
    Ok(own.map(|state| state.address).collect())
}

/// The state of a thread.
struct State {
    address: u64,
    /// The id that the thread has for itself.
    thread: u64,
    /// Where its innermost frame is, or leads from.
    innermost: u64,
}

struct Walk<'a, S> {
    layout: Layout,
    source: &'a mut S,
    known: HashMap<u64, Option<Rc<Code>>>,
}

impl<S: Source> Walk<'_, S> {
    /// Where the innermost frame of each thread is, or leads from, by the ids that the threads have for themselves.
    fn innermost_frames(&mut self, runtime: u64) -> HashMap<u64, u64> {
        let states = self.thread_states(runtime).into_iter();
        states.map(|state| (state.thread, state.innermost)).collect()
    }

    fn thread_states(&mut self, runtime: u64) -> Vec<State> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        let mut interpreter = self.word(runtime, self.layout.interpreters);
        for _ in 0..MAX_INTERPRETERS {
            let Some(current) = interpreter else { break };
            let mut thread = self.word(current, self.layout.threads);
            // No further than to where the list leads back into itself.
            while let Some(address) =
                thread.filter(|address| *address != 0 && found.len() < MAX_THREADS && seen.insert(*address))
            {
                let place = match self.layout.innermost {
                    Innermost::Through(place, _) | Innermost::At(place) => place,
                };
                let len = self.layout.thread_id.max(place) + 8;
                let Some(state) = self.source.read(address, len) else {
                    break;
                };
                found.push(State {
                    address,
                    thread: word(&state, self.layout.thread_id).unwrap_or(0),
                    innermost: word(&state, place).unwrap_or(0),
                });
                thread = word(&state, self.layout.thread_next);
            }
            interpreter = self.word(current, self.layout.interpreter_next);
        }
        found
    }

    fn stack(&mut self, innermost: u64) -> Option<PythonStack> {
        let mut next = match self.layout.innermost {
            Innermost::Through(_, place) => self.word(innermost, place)?,
            Innermost::At(_) => innermost,
        };
        let mut stack = PythonStack::default();
        while next != 0 {
            match self.frame(next, &mut stack.frames) {
                Some(previous) if stack.frames.len() < MAX_FRAMES => next = previous,
                _ => {
                    stack.truncated = true;
                    break;
                }
            }
        }
        (!stack.frames.is_empty()).then_some(stack)
    }

    /// Adds a frame; returns the address of the one that called it.
    fn frame(&mut self, address: u64, frames: &mut Vec<PythonFrame>) -> Option<u64> {
        let layout = self.layout;
        let (Entry::Flag(flag) | Entry::Shim(flag)) = layout.entry;
        let len = [
            layout.previous + 8,
            layout.code + 8,
            layout.instruction + 8,
            flag + 1,
        ];
        let frame = self.source.read(address, len.into_iter().max()?)?;
        let previous = word(&frame, layout.previous)?;
        if matches!(layout.entry, Entry::Shim(owner) if frame[owner] == C_STACK) {
            if let Some(inner) = frames.last_mut() {
                inner.is_entry = true;
            }
            return Some(previous);
        }
        let at = word(&frame, layout.code)?;
        let code = self.code(at)?;
        let instruction = word(&frame, layout.instruction)?;
        let line = instruction
            .checked_sub(at.checked_add(layout.instructions as u64)?)
            .map_or(u32::try_from(code.first_line).ok(), |offset| {
                line::at(&code.lines, code.first_line, offset)
            });
        frames.push(PythonFrame {
            function: code.function.clone(),
            file: code.file.clone(),
            line,
            is_entry: matches!(layout.entry, Entry::Flag(flag) if frame[flag] != 0),
        });
        Some(previous)
    }

    fn code(&mut self, address: u64) -> Option<Rc<Code>> {
        if let Some(known) = self.known.get(&address) {
            return known.clone();
        }
        let code = self.read_code(address).map(Rc::new);
        self.known.insert(address, code.clone());
        code
    }

    fn read_code(&mut self, address: u64) -> Option<Code> {
        let layout = self.layout;
        let object = self.source.read(address, layout.instructions)?;
        let first_line = object.get(layout.first_line..)?.first_chunk::<4>()?;
        Some(Code {
            function: self.text(word(&object, layout.function)?)?,
            file: self.text(word(&object, layout.file)?)?,
            first_line: i32::from_ne_bytes(*first_line),
            lines: self.bytes(word(&object, layout.line_table)?)?,
        })
    }

    fn bytes(&mut self, address: u64) -> Option<Vec<u8>> {
        let head = self.source.read(address, SIZE + 8)?;
        let len = usize::try_from(word(&head, SIZE)?).ok()?;
        self.source
            .read(address.checked_add(BYTES as u64)?, len.min(MAX_TABLE))
    }

    fn text(&mut self, address: u64) -> Option<String> {
        let head = self.source.read(address, TEXT_STATE + 4)?;
        let len = usize::try_from(word(&head, SIZE)?).ok()?.min(MAX_TEXT);
        let state = u32::from_ne_bytes(*head.get(TEXT_STATE..)?.first_chunk()?);
        let start = match (state & COMPACT != 0, state & ASCII != 0) {
            (false, _) => return None,
            (true, true) => self.layout.ascii_text,
            (true, false) => self.layout.other_text,
        };
        let size = usize::try_from((state & KIND) >> 2).ok()?;
        let bytes = self.source.read(address.checked_add(start as u64)?, len * size)?;
        let characters = bytes.chunks_exact(size.max(1)).map(|bytes| {
            let code = bytes
                .iter()
                .rev()
                .fold(0, |code: u32, byte| code << 8 | u32::from(*byte));
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
        });
        Some(characters.collect())
    }

    /// The word at a place in a structure; None for zero, which leads nowhere.
    fn word(&mut self, address: u64, place: usize) -> Option<u64> {
        let bytes = self.source.read(address.checked_add(place as u64)?, 8)?;
        word(&bytes, 0).filter(|word| *word != 0)
    }
}

/// The word at a place.
pub(super) fn word(bytes: &[u8], place: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(place..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Memory in which everything leads somewhere, mostly.
    struct Damaged {
        seed: u64,
        reads: usize,
    }

    impl Source for Damaged {
        fn read(&mut self, address: u64, len: usize) -> Option<Vec<u8>> {
            self.reads += 1;
            let mut state = address.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.seed;
            if state.is_multiple_of(31) || self.reads > 10_000 {
                return None;
            }
            let words = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // Few addresses, so that lists lead back into themselves; sizes of all kinds.
                if state.is_multiple_of(5) {
                    state >> (state % 64)
                } else {
                    state % 64 * 8 + 0x1000
                }
            });
            Some(words.flat_map(u64::to_ne_bytes).take(len).collect())
        }
    }

    proptest! {
        #[test]
        fn damaged_structures_end_the_walk(seed: u64, version in 0x030b_u32..0x030f) {
            let mut memory = Damaged { seed, reads: 0 };
            let threads: Vec<Tid> = (0..64).map(|number| Tid(number * 8 + 0x1000)).collect();
            let found = stacks(&mut memory, 0x1000, version << 16, &threads);
            for stack in found.unwrap_or_default().values() {
                prop_assert!(stack.frames.len() <= MAX_FRAMES);
            }
        }
    }

    #[test]
    fn an_unknown_version_is_named() {
        let mut memory = Damaged { seed: 0, reads: 0 };
        let refused = stacks(&mut memory, 0x1000, 0x030e_00f0, &[]).unwrap_err();
        assert_eq!(
            refused,
            "the structures of Python 3.14 are not known; those of 3.11 to 3.13 are"
        );
    }
}
