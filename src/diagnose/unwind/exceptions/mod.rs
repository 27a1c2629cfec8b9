//! From which frame an error of the program's own language would reach a handler, or forced unwinding the start of the
//! thread, and none of the frames on the way would end the process.
//!
//! A faulting instruction is no call, so no table knows what an exception there should do: the exception starts from a
//! caller, as if that had called a function that throws. Where the compiler knew that a callee throws nothing, the
//! caller's table does not cover the call either, and the next frame outwards is tried.
//!
//! No frame is passed over that has destructors or handlers of its own: they would not run, and a lock that one of them
//! releases would stay locked.
//!
//! Everything that is not known counts as an obstacle: another language's frame, a table that cannot be read, a clause
//! that catches everything in C++ (LLVM says `noexcept` that way, and it may pass the exception on).
//!
//! | file | what starts |
//! |---|---|
//! | `cxx` | a C++ exception |
//! | `rust` | a Rust panic |
//! | `python` | a native function's return to CPython with an exception set |
//! | `forced` | forced unwinding |
//!
//! `callee` says whether a table tells anything of a call, `pad` what a landing pad does.

mod callee;
mod cxx;
mod forced;
mod pad;
mod python;
mod rust;

pub use cxx::flight;
pub use forced::passage;
pub use python::{Interpreter, caller_of_native};
pub use rust::{RustRuntime, panic_flight};

use callee::may_throw;

use super::data_area::{Clause, Outcome, Tried, look_up};
use super::{FoundBy, FrameKind, MemorySource, OuterFrame, OuterFrames};

/// How many frames may be passed over.
const MAX_POPPED: usize = 16;

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

/// What the frames of a thread are read with.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// The memory of the thread.
    pub memory: &'a dyn MemorySource,
    /// Reads a data area from its address on.
    pub area: &'a dyn Fn(u64) -> Vec<u8>,
}

/// Whether one of the frames from `from` to `to` has destructors for what leaves its call. Where none has, nothing is
/// released on the way.
pub fn cleans_up(outer: &OuterFrames, from: usize, to: usize, reading: Reading<'_>) -> bool {
    let frames = outer.frames.get(from..=to).unwrap_or_default();
    frames.iter().any(|outer| {
        let found = outer.procedure.and_then(|procedure| {
            let start = procedure.lsda?;
            let bytes = (reading.area)(start);
            look_up(
                &bytes,
                start,
                procedure.low,
                outer.frame.pc.saturating_sub(1),
                reading.memory,
            )
        });
        matches!(found, Some(Outcome::Tried(tried)) if tried.clauses.contains(&Clause::CleansUp))
    })
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

/// The clauses that a frame tries on what leaves its call; none where that goes on to the caller.
fn clauses_of(
    frames: &[OuterFrame],
    index: usize,
    from: usize,
    personalities: &[u64],
    reading: Reading<'_>,
) -> Result<Tried, Refusal> {
    let outer = &frames[index];
    let everywhere = |why: &str| Err(Refusal::Everywhere(format!("frame {index} {why}")));
    if outer.frame.kind != FrameKind::Code {
        return everywhere("is no ordinary code");
    }
    let Some(procedure) = outer.procedure else {
        return everywhere("has no unwind table");
    };
    let Some(routine) = procedure.personality else {
        return Ok(Tried::default());
    };
    let routine = routine.resolve(reading.memory);
    if !routine.is_some_and(|routine| personalities.contains(&routine)) {
        return everywhere("is of another language");
    }
    let Some(start) = procedure.lsda else {
        return Ok(Tried::default());
    };
    let bytes = (reading.area)(start);
    let behind_call = outer.frame.pc.saturating_sub(1);
    match look_up(&bytes, start, procedure.low, behind_call, reading.memory) {
        None => Err(Refusal::Everywhere(format!(
            "the table of frame {index} cannot be read"
        ))),
        Some(Outcome::Terminates) if index == from => {
            Err(Refusal::Here(format!("frame {index} expects no exception")))
        }
        Some(Outcome::Terminates) => Err(Refusal::Here(format!("frame {index} is noexcept"))),
        Some(Outcome::Passes(None)) => Ok(Tried::default()),
        Some(Outcome::Passes(Some(site))) => {
            // What has a site for its own call may throw.
            let callee = index.checked_sub(1).and_then(|callee| frames[callee].procedure);
            let is_known = index > from && callee.is_some_and(|callee| callee.lsda.is_some());
            if is_known || may_throw(site, outer.frame.pc, reading.memory) {
                return Ok(Tried::default());
            }
            Err(Refusal::Here(format!(
                "frame {index} calls what throws nothing, and may have destructors that would not run"
            )))
        }
        Some(Outcome::Tried(mut tried)) => {
            tried.clauses.retain(|clause| *clause != Clause::CleansUp);
            Ok(tried)
        }
    }
}
