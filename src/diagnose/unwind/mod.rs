//! Call stacks: from a thread's registers and a copy of its stack to its frames.
//!
//! Each step from a frame to its caller takes the first of these ways that applies:
//!
//! | `found_by` | when |
//! |---|---|
//! | `signal frame` | the code is a signal trampoline: all registers are in the frame that the kernel built |
//! | `cfi` | the module's unwind table covers the address |
//! | `return address` | the innermost frame has no table, or is no code at all (a jump to null): the word at its stack pointer follows a call |
//! | `frame pointer` | no table: generated code, assembly |
//!
//! What a step needs comes through [`ModuleSource`](super::ModuleSource) (tables) and [`MemorySource`] (stack), so it
//! works on a capture in a recorder and on a stopped thread in a tracer alike. Both are what the process left there:
//! each loop has a bound, and all table interpretation of an incident together has one too.
//!
//! A stack is complete where a table says so (undefined return address), or where it ends in a function that
//! processes and threads begin in. Everywhere else [`CallStack::truncated`] says why it does not go on.
//!
//! | file | subject |
//! |---|---|
//! | `machine` | the processor: register numbers, signal frames, calls |
//! | `registers` | the registers of a frame, as far as they are known |
//! | `tables` | the unwind tables of a file; `cache` keeps them between incidents |
//! | `row` | a table's row for an address, and the caller's registers by it |
//! | `code` | whose code an address is |
//! | `walk` | the steps; `ending` knows the functions that nothing calls |
//! | `data_area` | what becomes of an exception that leaves a call; `exceptions` says from where one would be caught |
//! | `threads` | all threads of a capture |
//! | `outer` | the outer frames of one thread, each with all registers that its callee preserved |

mod cache;
mod code;
mod data_area;
mod ending;
mod exceptions;
mod machine;
mod outer;
mod registers;
mod row;
mod tables;
mod threads;
mod walk;

pub use cache::TableCache;
pub use data_area::{Clause, Outcome, Site, Tried, look_up};
pub use exceptions::{
    Flight, Interpreter, Reading, RustRuntime, caller_of_native, cleans_up, flight, panic_flight, passage,
};
pub use outer::{OuterFrame, OuterFrames, Personality, Procedure};
pub use registers::FrameRegisters;
pub use tables::Tables;
pub use threads::{CallStacks, call_stacks};
pub use walk::{Truncation, Unwinder};

/// Bytes of a process's memory.
pub trait MemorySource {
    /// A little-endian value of up to 8 bytes; none where the memory is not there.
    fn word(&self, address: u64, size: usize) -> Option<u64>;
}

/// The frames of a thread, innermost first.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CallStack {
    /// The frames.
    pub frames: Vec<Frame>,
    /// Why they do not reach the start of the thread; none if they do.
    pub truncated: Option<Truncation>,
}

/// One frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The next instruction of the frame: where it was interrupted, or the address that its callee returns to.
    pub pc: u64,
    /// The stack pointer.
    pub sp: u64,
    /// What code it is.
    pub kind: FrameKind,
    /// How it was found.
    pub found_by: FoundBy,
    /// Whose code it is.
    pub module: Option<FrameModule>,
    /// [`Frame::pc`] in the numbering of the module's file.
    pub address: Option<u64>,
}

/// The module that a frame's code belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FrameModule {
    /// A mapped file; it counts [`Facts::modules`](crate::capture::Facts::modules).
    File(usize),
    /// The vdso.
    Vdso,
}

/// What code a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// A module's.
    Code,
    /// The trampoline between a signal's handler and what it interrupted.
    Signal,
    /// Code that the process generated.
    Generated,
    /// None that can be executed.
    Unknown,
}

/// How a frame was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FoundBy {
    /// It is where the thread stopped.
    Context,
    /// The kernel saved its registers for a signal's handler.
    SignalFrame,
    /// By the unwind table of its callee.
    Cfi,
    /// Its callee had no table, and the word at the stack pointer follows a call.
    ReturnAddress,
    /// Its callee had no table, and the frame pointer led here.
    FramePointer,
}

impl FoundBy {
    /// The word in a report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::SignalFrame => "signal frame",
            Self::Cfi => "cfi",
            Self::ReturnAddress => "return address",
            Self::FramePointer => "frame pointer",
        }
    }
}

impl Frame {
    /// Whether [`Frame::pc`] is where the frame was interrupted; else it lies behind a call, and what belongs to the
    /// call (unwind tables, lines) is found at the byte before.
    pub fn is_interrupted(&self) -> bool {
        matches!(self.found_by, FoundBy::Context | FoundBy::SignalFrame) || self.kind == FrameKind::Signal
    }
}
