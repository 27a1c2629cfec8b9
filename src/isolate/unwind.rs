//! `unwind`: the thread ends by pthread_exit(3), called from one of its outer frames.
//!
//! The C library then unwinds the stack by force: destructors and cleanup handlers run, locks that they release are free,
//! and the thread ends. Who joins it gets `PTHREAD_CANCELED`. From which frame that is possible,
//! [`crate::diagnose::unwind::passage`] says.

use crate::diagnose::unwind::OuterFrame;
use crate::sys::memory::Memory;
use crate::sys::ptrace::Stopped;
use crate::sys::status::Status;

use super::call::Call;
use super::inject::Obstacle;

/// What joins of the thread yield (pthread.h).
const PTHREAD_CANCELED: u64 = u64::MAX;

/// Puts a thread that stands in front of its signal in front of pthread_exit(3), which is at `function`, instead.
pub fn prepare(thread: &Stopped, status: &Status, frame: &OuterFrame, function: u64) -> Result<(), Obstacle> {
    let memory = Memory::of(thread.tid());
    Call::from(thread, status, frame, &memory)?.enter(thread, function, &[PTHREAD_CANCELED])
}
