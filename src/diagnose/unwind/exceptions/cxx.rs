//! Where a C++ exception starts, and where it is caught: a std::runtime_error.

use super::pad::terminates;
use super::{Clause, Flight, Reading, Refusal, Tried, clauses_of, innermost_start};
use crate::diagnose::unwind::{MemorySource, OuterFrames};

/// The longest name of a type that is read.
const MAX_NAME: usize = 64;
/// What a std::runtime_error is, by the names of its types in both C++ libraries.
const CAUGHT_BY: [&[u8]; 2] = [b"St13runtime_error", b"St9exception"];

/// Finds the innermost start of a std::runtime_error that is caught. `personalities` are the routines whose frames it may
/// pass; `is_boundary` says of a frame whether its caller knows no exceptions, so that what it catches of any type, it keeps.
///
/// # Errors
///
/// Why there is none, as a clause of a sentence.
pub fn flight(
    outer: &OuterFrames,
    personalities: &[u64],
    is_boundary: &dyn Fn(usize) -> bool,
    reading: Reading<'_>,
) -> Result<Flight, String> {
    let frames = &outer.frames;
    let caught = |from| {
        for index in from..frames.len() {
            let tried = clauses_of(frames, index, from, personalities, reading)?;
            if takes(&tried, index, is_boundary, reading.memory)? {
                return Ok(index);
            }
        }
        Err(Refusal::Everywhere("no frame catches it".to_owned()))
    };
    let (from, to) = innermost_start(frames, "no frame catches it", caught)?;
    Ok(Flight { from, to })
}

/// Whether one of these clauses catches a std::runtime_error.
fn takes(
    tried: &Tried,
    index: usize,
    is_boundary: &dyn Fn(usize) -> bool,
    memory: &dyn MemorySource,
) -> Result<bool, Refusal> {
    for clause in &tried.clauses {
        match clause {
            Clause::Catches(type_info) if is_base(*type_info, memory) => return Ok(true),
            Clause::Catches(_) | Clause::CleansUp => {}
            Clause::CatchesAll if is_boundary(index) && !terminates(tried.pad, memory) => return Ok(true),
            Clause::CatchesAll => {
                let why = format!("frame {index} catches everything, which may mean that it is noexcept");
                return Err(Refusal::Here(why));
            }
            Clause::Specification => {
                return Err(Refusal::Here(format!(
                    "frame {index} has an exception specification"
                )));
            }
        }
    }
    Ok(false)
}

/// Whether a `type_info` (a table of functions, then the name) is that of std::runtime_error or of its base.
fn is_base(type_info: u64, memory: &dyn MemorySource) -> bool {
    let Some(name) = type_info.checked_add(8).and_then(|place| memory.word(place, 8)) else {
        return false;
    };
    let mut text = Vec::new();
    while text.len() < MAX_NAME {
        let byte = memory.word(name.wrapping_add(text.len() as u64), 1);
        match byte {
            Some(0) | None => break,
            Some(byte) => text.push(byte as u8),
        }
    }
    let text = text.strip_prefix(b"*").unwrap_or(&text);
    CAUGHT_BY.contains(&text)
}
