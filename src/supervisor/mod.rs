//! The front: tracers kept alive, incidents handed to recorders. What `run`, `attach`, `capture` and `daemon` share.
//!
//! One `poll(2)`: signals, the tracer, the recorders and the supervised processes are all descriptors there. One more
//! thread writes to stderr, and does nothing else. Nothing that the front waits for holds up a supervised thread: those are the tracer's.
//!
//! | file | subject |
//! |---|---|
//! | [`front`] | the loop of these verbs, and what each event means |
//! | `watch` | one service: its tracer kept alive, and what the tracer has to say |
//! | [`control`] | the socket that operators ask at |
//! | [`console`] | what is said to the operator, whoever reads it or not |
//! | `follow` | a service whose processes come and go |
//! | `program` | starting a program so that its first instruction is traced already |
//! | `tracer` | the tracer process, seen from here; another one when it dies |
//! | `recording` | from an incident to a report in the store |
//! | `recorder` | a recorder process, seen from here |
//! | `collector` | log lines for a report, and the process that collects them |
//! | `small` | the record that is written before anything can fail |
//! | `oom` | whether the kernel killed a process because memory ran out |
//! | `signals` | signals to this process: what is for the program, what the terminal sends to both |
//! | `orders` | what operators ask about isolated threads |
//! | `own_group` | copied processes in our control group instead of their service's |
//! | `passing` | signals on their way to the program, each delivered once |

mod collector;
pub mod console;
pub mod control;
pub(crate) mod follow;
pub mod front;
mod kernel_log;
mod oom;
pub(crate) mod orders;
mod own_group;
mod passing;
pub(crate) mod program;
mod recorder;
pub(crate) mod recording;
mod seccomp;
pub(crate) mod signals;
mod small;
pub(crate) mod tracer;
pub(crate) mod watch;

pub use front::{Captured, Front, FrontError, Options, Outcome};
pub use program::{become_as_called, launcher};
pub use watch::Refusal;

use crate::sys::{Pid, SigNo, pidfd};

/// Sends a signal to a process of ours.
fn send(process: Pid, signal: SigNo) {
    // A process that is gone needs no signal.
    let _ = pidfd::open(process).and_then(|pidfd| pidfd::send_signal(&pidfd, signal));
}
