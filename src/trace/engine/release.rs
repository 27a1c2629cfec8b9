//! Letting go of everything.
//!
//! The end of this thread lets every tracee go, running ones without being woken. It resumes stopped ones with their own
//! signals, but it repairs no system call that the stop has interrupted. So threads that stop are let go one by one first,
//! each repaired, until none has stopped for a while: those that are left are the quiet ones.

use std::time::{Duration, Instant};

use crate::sys::news;
use crate::sys::wait::{self, Event};

use super::{Engine, Turn};

/// How long nothing must stop.
const QUIET: Duration = Duration::from_millis(5);
/// How long this may take where something always stops.
const LONGEST: Duration = Duration::from_millis(500);

impl Engine {
    /// Lets go of threads as they stop. What is left is let go by the end of this thread, which must follow at once.
    ///
    /// Fatal signals take their effect without being examined.
    pub fn leave(&mut self) {
        self.is_leaving = true;
        let deadline = Instant::now() + LONGEST;
        while Instant::now() < deadline {
            for tid in self.waiting.tracees().collect::<Vec<_>>() {
                if let Some(event) = wait::peek(tid) {
                    self.part(event);
                }
            }
            // Whatever has stopped since it was looked at has raised the signal.
            if self.machine.is_empty() || !news::await_child(QUIET) {
                return;
            }
        }
    }

    fn part(&mut self, event: Event) {
        match event {
            Event::Stopped(thread, stop) => drop(self.stopped(thread, stop)),
            Event::Ended(tid, status) => {
                if let Some(Turn::Ending(ending)) = self.ended(tid, status) {
                    self.reap(ending);
                }
            }
        }
    }
}
