//! Where a Rust panic starts, and where it is caught.
//!
//! Rust's personality routine reads the tables of C++, and says by them: a call that no site covers aborts the process, and
//! so does an exception specification, which is how a function says that nothing may leave it (`extern "C"`, a
//! destructor that runs while a panic is on its way). Any clause is `catch_unwind`; every thread that std starts has one.

use super::{Clause, Flight, Reading, Refusal, clauses_of, innermost_start};
use crate::diagnose::unwind::{OuterFrame, OuterFrames};

/// What is known of a Rust program.
#[derive(Clone, Copy, Debug)]
pub struct RustRuntime<'a> {
    /// The personality routine.
    pub personality: u64,
    /// Functions whose catch ends the process: those that run `main`.
    pub enders: &'a [u64],
    /// Functions below which a panic aborts: those that run the hook of another.
    pub hooks: &'a [u64],
}

/// Finds the innermost start of a panic that is caught.
///
/// # Errors
///
/// Why there is none, as a clause of a sentence.
pub fn panic_flight(
    outer: &OuterFrames,
    runtime: RustRuntime<'_>,
    reading: Reading<'_>,
) -> Result<Flight, String> {
    let is_of = |functions: &[u64], outer: &OuterFrame| {
        let procedure = outer.procedure.as_ref();
        procedure.is_some_and(|procedure| functions.contains(&procedure.low))
    };
    if outer.frames.iter().any(|frame| is_of(runtime.hooks, frame)) {
        return Err("it is in the hook of another panic".to_owned());
    }
    let caught = |from| {
        for (index, frame) in outer.frames.iter().enumerate().skip(from) {
            let tried = clauses_of(&outer.frames, index, from, &[runtime.personality], reading)?;
            match tried.clauses.first() {
                None => {}
                Some(Clause::Specification) => {
                    let why = format!("frame {index} aborts when a panic would leave it");
                    return Err(Refusal::Here(why));
                }
                Some(_) if is_of(runtime.enders, frame) => {
                    let why = "a panic that leaves `main` ends the process".to_owned();
                    return Err(Refusal::Everywhere(why));
                }
                Some(_) => return Ok(index),
            }
        }
        Err(Refusal::Everywhere("no frame catches it".to_owned()))
    };
    let (from, to) = innermost_start(&outer.frames, "no frame catches it", caught)?;
    Ok(Flight { from, to })
}
