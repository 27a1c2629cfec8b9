//! From where forced unwinding (`_Unwind_ForcedUnwind`, as pthread_exit(3) does it) gets to the start of the thread.

use super::{Clause, Reading, Refusal, clauses_of, innermost_start};
use crate::diagnose::unwind::{OuterFrame, OuterFrames};

/// Finds the innermost frame from which forced unwinding gets to the start of the thread. `personalities` are the routines
/// whose frames it may pass.
///
/// # Errors
///
/// Why there is none, as a clause of a sentence.
pub fn passage(outer: &OuterFrames, personalities: &[u64], reading: Reading<'_>) -> Result<usize, String> {
    if let Some(why) = outer.truncated {
        return Err(format!("its stack cannot be unwound to its beginning: {why}"));
    }
    let passes = |from| passes(&outer.frames, from, personalities, reading);
    let (from, ()) = innermost_start(&outer.frames, "it has no frame to start from", passes)?;
    Ok(from)
}

/// Whether forced unwinding from frame `from` passes all frames.
fn passes(
    frames: &[OuterFrame],
    from: usize,
    personalities: &[u64],
    reading: Reading<'_>,
) -> Result<(), Refusal> {
    for index in from..frames.len() {
        for clause in clauses_of(frames, index, from, personalities, reading)?.clauses {
            match clause {
                // Forced unwinding is no exception of any type that a program names.
                Clause::Catches(_) | Clause::CleansUp => {}
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
