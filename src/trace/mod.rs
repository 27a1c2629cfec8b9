//! Keeps every thread of one service attached; yields faults, obeys verdicts.
//!
//! | file | subject |
//! |---|---|
//! | [`machine`] | pure: what a reported stop means for a thread, and the one request that answers it |
//! | [`engine`] | carries the machine's answers out, and turns what is left into [`Turn`]s |
//! | [`attach`] | takes up every thread of a process, or says why it cannot |
//! | `children` | which processes a process has started |
//! | [`disposition`] | whether a signal would end the process |
//! | `tracees` | everyone, in the order in which they were attached |
//! | [`waiting`] | which tracee to look at next, so that the cost does not grow with their number |
//! | `placement` | on which CPU the tracer runs while one thread storms |
//! | [`stop_rate`] | whether the service stops more often than is good for it |
//!
//! Stops are looked at, never consumed (`WNOWAIT`): a stop that nobody answers is reported again, and if this
//! process dies the kernel finishes it as if nobody had watched. The whole module relies on that.

pub mod attach;
mod children;
pub mod disposition;
pub mod engine;
pub mod machine;
mod placement;
pub mod stop_rate;
mod tracees;
pub mod waiting;

pub use attach::AttachError;
pub use engine::{Ending, Engine, Fault, HandledFault, NotStopped, Turn};
