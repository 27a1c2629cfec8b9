//! Pure: a fault and the rules in, an action out, with the reason in words.
//!
//! [`Walk`] picks what happens to the thread, [`Limits`] says when enough has been done, and [`Budget`] whether the fault is
//! recorded or only counted. All see nothing but their arguments: the time comes in as a number, the fault as [`FaultFacts`]. Whatever is
//! configured, two things hold: an action that this version cannot carry out is passed over, and a signal that
//! the thread's own instruction, the thread itself or the kernel raised is never suppressed, because the same
//! instruction would fault again without end and `abort(3)` would go on into code that must not run.

mod budget;
mod decide;
mod limits;
mod matching;
mod noteworthy;
mod obstacle;
mod rescue;

pub use budget::{Admission, Budget};
pub use decide::{Decision, Walk, decide};
pub use limits::{Limits, Site};
pub use matching::{Danger, FaultFacts};
pub use noteworthy::{Origin, is_noteworthy};
pub use obstacle::Asleep;
pub use rescue::{Place, Return, choose};
