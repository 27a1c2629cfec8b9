//! What the front is told of the program that it runs: the signals that it takes, and that it goes on after a stop.
//!
//! A front whose program is stopped stops too, and cannot notice that somebody continues or kills the program alone.
//! The tracer does, and continues the front. Both are signalled by others meanwhile, in any order, so the tracer asks
//! again until the front says that it goes on.

use std::time::{Duration, Instant};

use crate::ipc::FromTracer;
use crate::sys::status::Status;
use crate::sys::{Pid, SigNo, pidfd};

use super::{Tracer, TracerError};

/// When a front that stops is looked after first, and again.
const AGAIN: Duration = Duration::from_millis(10);
/// The most signals that are told within [`WINDOW`]: the program's own children may send it any number.
const MAX_TOLD: u32 = 32;
const WINDOW: Duration = Duration::from_millis(100);

/// The program that the front runs.
#[derive(Debug)]
pub(super) struct Following {
    process: Option<Pid>,
    /// Whether the front has stopped with it, or is about to.
    front_stops: bool,
    /// When to look whether it must go on.
    pub(super) due: Option<Instant>,
    told: u32,
    window: Instant,
}

impl Default for Following {
    fn default() -> Self {
        Self {
            process: None,
            front_stops: false,
            due: None,
            told: 0,
            window: Instant::now(),
        }
    }
}

impl Following {
    /// Whether the front is to be told that this process takes that signal.
    pub(super) fn takes(&self, process: Pid, signal: SigNo) -> bool {
        self.process == Some(process) && signal.is_sent_to_groups()
    }
}

impl Tracer {
    /// The front runs that process.
    pub(super) fn follow(&mut self, process: Pid) {
        self.following.process = Some(process);
        self.engine.follow(process);
    }

    /// The process takes a signal from that sender.
    pub(super) fn took(&mut self, signal: SigNo, sender: Pid) -> Result<(), TracerError> {
        let following = &mut self.following;
        if following.window.elapsed() >= WINDOW {
            following.window = Instant::now();
            following.told = 0;
        }
        following.told += 1;
        match following.told {
            0..=MAX_TOLD => self.say(FromTracer::Took { signal, sender }),
            _ => Ok(()),
        }
    }

    /// The front stops, or goes on.
    pub(super) fn front_stops(&mut self, stops: bool) {
        self.following.front_stops = stops;
        self.following.due = stops.then(|| Instant::now() + AGAIN);
        self.set_alarm();
    }

    /// The process goes on, or ends.
    pub(super) fn goes_on(&mut self, process: Pid) {
        if self.following.front_stops && self.following.process == Some(process) {
            self.following.due = Some(Instant::now());
            self.look_after_front();
        }
    }

    /// Continues a front that has stopped with a process which has not, or no longer.
    pub(super) fn look_after_front(&mut self) {
        let (Some(process), Some(due)) = (self.following.process, self.following.due) else {
            return;
        };
        if due > Instant::now() {
            return;
        }
        // Once its threads listen, an event tells when that ends.
        let listens = self.engine.is_stopped(process);
        self.following.due = (!listens).then(|| Instant::now() + AGAIN);
        let is_stopped = || Status::read(process.leader()).is_ok_and(|status| status.is_stopped());
        if !listens && !is_stopped() {
            // A front that is gone needs no signal.
            let _ = self
                .channel
                .peer()
                .and_then(pidfd::open)
                .and_then(|front| pidfd::send_signal(&front, SigNo::CONT));
        }
        self.set_alarm();
    }
}
