//! What /proc still tells of a process that has ended and waits to be reaped.

use crate::sys::{Pid, StartTime};

use super::fault::wall_clock;
use super::{Capture, Kind};

/// Copies it. The address space, and all that belongs to it, is gone.
pub fn copy(process: Pid, start: StartTime) -> Capture {
    let mut capture = Capture::default();
    capture.facts.kind = Kind::Exit;
    capture.facts.time_us = wall_clock(std::time::Instant::now());
    capture.facts.process.start_time = start.0;
    capture.copy_remains(process);
    capture
}
