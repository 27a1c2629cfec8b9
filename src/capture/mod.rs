//! Copies a stopped thread or process into a [`Capture`]; interprets nothing.
//!
//! What is copied stays as the kernel gave it: register sets, `siginfo_t`, stacks and the text of /proc files
//! are ranges of one byte blob, named by a small index. So the time a thread is held goes into copying alone,
//! and everything that reads the copy (and may be wrong about it) runs later, in another process.

mod abort_message;
mod aside;
mod directories;
pub mod ending;
mod exception;
pub mod fault;
mod freeze;
mod interrupted;
mod loader;
mod locks;
pub mod maps;
mod memory;
mod model;
mod modules;
mod panic;
mod process;
pub mod python;
mod restarted;
mod running;
mod stats;
mod symbol;
mod thread_library;
mod withheld;

pub use freeze::{Frozen, Prospect, freeze};
pub use model::{
    Blob, Capture, CaptureError, ExceptionFacts, Facts, FaultFacts, Kind, MemoryRange, Missing, ModuleFile,
    OpenFile, PanicFacts, Pause, Phase, Precursor, ProcessFacts, Purpose, Python, StackRange, ThreadFacts,
    Withheld,
};
pub use modules::{Loaded, ModuleFiles};
