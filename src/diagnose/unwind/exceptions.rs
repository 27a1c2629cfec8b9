//! From which frame a C++ exception would reach a handler, or forced unwinding the start of the thread, and none of the
//! frames on the way would end the process.
//!
//! A faulting instruction is no call, so no table knows what an exception there should do: the exception starts from a
//! caller, as if that had called a function that throws. Where the compiler knew that a callee throws nothing, the
//! caller's table does not cover the call either, and the next frame outwards is tried.
//!
//! No frame is passed over that has destructors or handlers of its own: they would not run, and a lock that one of them
//! releases would stay locked.
//!
//! Everything that is not known counts as an obstacle: another language's frame, a table that cannot be read, a clause
//! that catches everything (LLVM says `noexcept` that way).

use super::data_area::{Clause, Outcome, look_up};
use super::{FoundBy, FrameKind, MemorySource, OuterFrame, OuterFrames};

/// How many frames may be passed over.
const MAX_POPPED: usize = 16;
/// The longest name of a type that is read.
const MAX_NAME: usize = 64;
/// What a std::runtime_error is, by the names of its types in both C++ libraries.
const CAUGHT_BY: [&[u8]; 2] = [b"St13runtime_error", b"St9exception"];

/// Where an exception starts, and where it is caught.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flight {
    /// The frame that appears to throw.
    pub from: usize,
    /// The frame that catches.
    pub to: usize,
}

/// Why a start is no good.
enum Refusal {
    /// Another start may be better.
    Here(String),
    /// None is.
    Everywhere(String),
}

/// Finds the innermost start of a std::runtime_error that is caught. `personality` is the routine of C++; `area` reads a
/// data area from its address on.
///
/// # Errors
///
/// Why there is none, as a clause of a sentence.
pub fn flight(
    outer: &OuterFrames,
    personality: u64,
    memory: &dyn MemorySource,
    area: &dyn Fn(u64) -> Vec<u8>,
) -> Result<Flight, String> {
    let caught = |from| caught(&outer.frames, from, personality, memory, area);
    let (from, to) = innermost_start(&outer.frames, "no frame catches it", caught)?;
    Ok(Flight { from, to })
}

/// Finds the innermost frame from which forced unwinding (`_Unwind_ForcedUnwind`, as pthread_exit(3) does it) gets to the
/// start of the thread. `personality` is the routine of C++, where the process has one.
///
/// # Errors
///
/// Why there is none, as a clause of a sentence.
pub fn passage(
    outer: &OuterFrames,
    personality: Option<u64>,
    memory: &dyn MemorySource,
    area: &dyn Fn(u64) -> Vec<u8>,
) -> Result<usize, String> {
    if let Some(why) = outer.truncated {
        return Err(format!("its stack cannot be unwound to its beginning: {why}"));
    }
    let passes = |from| passes(&outer.frames, from, personality, memory, area);
    let (from, ()) = innermost_start(&outer.frames, "it has no frame to start from", passes)?;
    Ok(from)
}

/// The innermost frame that `travels` accepts as a start, with what that says of it.
fn innermost_start<T>(
    frames: &[OuterFrame],
    otherwise: &str,
    travels: impl Fn(usize) -> Result<T, Refusal>,
) -> Result<(usize, T), String> {
    let mut last = otherwise.to_owned();
    for from in 1..frames.len().min(MAX_POPPED) {
        let passed = frames[from - 1].procedure;
        if passed.is_some_and(|procedure| procedure.lsda.is_some()) {
            let why = format!(
                "frame {} has destructors or handlers that would not run",
                from - 1
            );
            return Err(if from == 1 {
                why
            } else {
                format!("{last}, and {why}")
            });
        }
        if frames[from].frame.found_by != FoundBy::Cfi || frames[from - 1].frame.kind == FrameKind::Signal {
            return Err(format!("the registers of frame {from} are not all known"));
        }
        match travels(from) {
            Ok(found) => return Ok((from, found)),
            Err(Refusal::Here(why)) => last = why,
            Err(Refusal::Everywhere(why)) => return Err(why),
        }
    }
    Err(last)
}

/// The frame that catches what frame `from` throws.
fn caught(
    frames: &[OuterFrame],
    from: usize,
    personality: u64,
    memory: &dyn MemorySource,
    area: &dyn Fn(u64) -> Vec<u8>,
) -> Result<usize, Refusal> {
    for index in from..frames.len() {
        let clauses = clauses_of(frames, index, from, Some(personality), memory, area)?;
        if takes(&clauses, index, memory)? {
            return Ok(index);
        }
    }
    Err(Refusal::Everywhere("no frame catches it".to_owned()))
}

/// Whether forced unwinding from frame `from` passes all frames.
fn passes(
    frames: &[OuterFrame],
    from: usize,
    personality: Option<u64>,
    memory: &dyn MemorySource,
    area: &dyn Fn(u64) -> Vec<u8>,
) -> Result<(), Refusal> {
    for index in from..frames.len() {
        for clause in clauses_of(frames, index, from, personality, memory, area)? {
            match clause {
                // Forced unwinding is no exception of any type that a program names.
                Clause::Catches(_) => {}
                Clause::CatchesAll => {
                    let why = format!("frame {index} catches everything, and may not pass it on");
                    return Err(Refusal::Here(why));
                }
                Clause::Specification => {
                    return Err(Refusal::Here(format!(
                        "frame {index} has an exception specification"
                    )));
                }
            }
        }
    }
    Ok(())
}

/// The clauses that a frame tries on what leaves its call; none where that goes on to the caller.
fn clauses_of(
    frames: &[OuterFrame],
    index: usize,
    from: usize,
    personality: Option<u64>,
    memory: &dyn MemorySource,
    area: &dyn Fn(u64) -> Vec<u8>,
) -> Result<Vec<Clause>, Refusal> {
    let outer = &frames[index];
    let everywhere = |why: &str| Err(Refusal::Everywhere(format!("frame {index} {why}")));
    if outer.frame.kind != FrameKind::Code {
        return everywhere("is no ordinary code");
    }
    let Some(procedure) = outer.procedure else {
        return everywhere("has no unwind table");
    };
    let Some(routine) = procedure.personality else {
        return Ok(Vec::new());
    };
    if personality.is_none() || routine.resolve(memory) != personality {
        return everywhere("is of another language");
    }
    let Some(start) = procedure.lsda else {
        return Ok(Vec::new());
    };
    let bytes = area(start);
    let behind_call = outer.frame.pc.saturating_sub(1);
    match look_up(&bytes, start, procedure.low, behind_call, memory) {
        None => Err(Refusal::Everywhere(format!(
            "the table of frame {index} cannot be read"
        ))),
        Some(Outcome::Terminates) if index == from => {
            Err(Refusal::Here(format!("frame {index} expects no exception")))
        }
        Some(Outcome::Terminates) => Err(Refusal::Here(format!("frame {index} is noexcept"))),
        Some(Outcome::Passes) => Ok(Vec::new()),
        Some(Outcome::Tried(clauses)) => Ok(clauses),
    }
}

/// Whether one of these clauses catches a std::runtime_error.
fn takes(clauses: &[Clause], index: usize, memory: &dyn MemorySource) -> Result<bool, Refusal> {
    for clause in clauses {
        match clause {
            Clause::Catches(type_info) if is_base(*type_info, memory) => return Ok(true),
            Clause::Catches(_) => {}
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
