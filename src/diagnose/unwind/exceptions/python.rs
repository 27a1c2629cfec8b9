//! From which native function of a Python program NULL can be returned to the interpreter, as every such function does
//! after it has set an exception.
//!
//! That is the innermost frame which the interpreter called for a Python object: a function of an extension's table of
//! methods, whoever called it, or what a few functions of the interpreter call by an object's own pointer. What lies
//! further in returns nothing and is passed over, so it may have no destructors; and it may be nothing of the interpreter
//! itself, which could be half way through a change of its own objects.

use super::{FoundBy, FrameKind, OuterFrames};
use crate::diagnose::unwind::{FrameModule, Procedure};

/// How many frames may be passed over: those of a call through `ctypes` are seven.
const MAX_POPPED: usize = 32;

/// What is known of the interpreter.
#[derive(Clone, Copy)]
pub struct Interpreter<'a> {
    /// The module that it is.
    pub module: FrameModule,
    /// Where its functions begin that call objects, and pass on what these return.
    pub callers: &'a [u64],
    /// Whether a function stands in its module's table of methods.
    pub is_method: &'a dyn Fn(&Procedure) -> bool,
    /// Whether a module is the C library, which knows nothing of objects.
    pub is_c_library: &'a dyn Fn(FrameModule) -> bool,
}

/// The frame to which NULL is to be returned.
///
/// # Errors
///
/// Why there is none, as a clause of a sentence.
pub fn caller_of_native(outer: &OuterFrames, interpreter: Interpreter<'_>) -> Result<usize, String> {
    let frames = &outer.frames;
    for index in 0..frames.len().min(MAX_POPPED) {
        let outer = &frames[index];
        let procedure = match outer.procedure {
            Some(procedure) if outer.frame.kind == FrameKind::Code => procedure,
            _ => return Err(format!("frame {index} has no unwind table")),
        };
        if procedure.lsda.is_some() {
            return Err(format!(
                "frame {index} has destructors or handlers that would not run"
            ));
        }
        if procedure.module == interpreter.module {
            return Err(match index {
                0 => "it is inside the interpreter, which may be half way through a change".to_owned(),
                _ => format!("frame {index}, of the interpreter, calls what returns no object"),
            });
        }
        let Some(caller) = frames
            .get(index + 1)
            .filter(|caller| caller.frame.found_by == FoundBy::Cfi)
        else {
            return Err(format!("the registers of frame {} are not all known", index + 1));
        };
        let calls_object = caller.procedure.is_some_and(|procedure| {
            procedure.module == interpreter.module && interpreter.callers.contains(&procedure.low)
        });
        let calls_object = calls_object && !(interpreter.is_c_library)(procedure.module);
        if calls_object || (interpreter.is_method)(&procedure) {
            return Ok(index + 1);
        }
    }
    Err("no function that the interpreter called was found".to_owned())
}
