//! The front: tracers kept alive, incidents handed to recorders. What `run` and `attach` share.
//!
//! One thread, one `poll(2)`: signals, the tracer, the recorders and the supervised processes are all descriptors
//! there. Nothing that the front waits for holds up a supervised thread: those are the tracer's.
//!
//! | file | subject |
//! |---|---|
//! | [`front`] | the loop, and what each event means |
//! | `program` | starting a program so that its first instruction is traced already |
//! | `tracer` | the tracer process, seen from here; another one when it dies |
//! | `recording` | from an incident to a report in the store |
//! | `recorder` | a recorder process, seen from here |
//! | `small` | the record that is written before anything can fail |
//! | `oom` | whether the kernel killed a process because memory ran out |
//! | `signals` | signals to this process: what is passed on, what ends the watch |

pub mod front;
mod oom;
mod program;
mod recorder;
mod recording;
mod signals;
mod small;
mod tracer;

pub use front::{Front, FrontError, Options, Outcome};
pub use program::launcher;
