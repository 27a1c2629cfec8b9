//! A copy of a live process, because somebody asked: freeze, copy, let go on, hand over.
//!
//! Threads run on as soon as the copy is made. Those that were blocked in a system call go back into it
//! ([`Prospect::GoesOn`]); stops for another reason than ours are answered on their usual way afterwards.

use std::time::Instant;

use crate::capture::fault::{Subject, copy, micros, wall_clock};
use crate::capture::{Phase, Prospect, freeze};
use crate::ipc::{Captured, FromTracer};
use crate::sys::deadline::Deadline;
use crate::sys::{Pid, StartTime, fail, tasks};

use super::handing::messages_after_the_first;
use super::{HOLD, Tracer, TracerError};

impl Tracer {
    /// Copies a process that is attached.
    pub(super) fn capture(&mut self, process: Pid) -> Result<(), TracerError> {
        let hold = Deadline::after(HOLD);
        let begun = Instant::now();
        let known = self.engine.threads_of(process);
        let mut frozen = freeze(process, Prospect::GoesOn, known, self.service.freeze_timeout.0);
        fail::point("tracer.capture.frozen");
        let frozen_in = micros(begun.elapsed());
        let leader = process.leader();
        frozen
            .threads
            .sort_by_key(|(thread, _)| (thread.tid() != leader, thread.tid()));
        let stopped = frozen.threads.iter().map(|(thread, _)| thread.tid());
        let Some(tid) = stopped.chain(frozen.left_out.iter().copied()).next() else {
            drop(hold);
            return self.say(FromTracer::Refused {
                process,
                reason: format!("process {process} ended before it could be captured"),
                permission: false,
                absent: true,
            });
        };
        let subject = Subject {
            tid,
            thread: None,
            process,
            start: self.engine.start_time(process).unwrap_or(StartTime(0)),
            signal: None,
            siginfo: None,
            handled: None,
            seen: begun,
            status: None,
        };
        let mut copied = copy(&subject, &mut frozen, &self.service.report);
        fail::point("tracer.capture.copied");
        let (threads, left_out) = (frozen.threads.len(), frozen.left_out.len());
        self.engine.release(frozen.threads);
        let pause = &mut copied.capture.facts.pause;
        pause.others_us = micros(begun.elapsed());
        let phase = Phase {
            name: "freeze".into(),
            us: frozen_in,
        };
        pause.phases.insert(0, phase);
        let pause_us = pause.others_us;
        drop(hold);
        self.incidents += 1;
        let captured = Captured {
            number: self.incidents,
            process,
            comm: tasks::name(leader).unwrap_or_default(),
            threads,
            left_out,
            pause_us,
            time_us: wall_clock(begun),
            more: messages_after_the_first(&copied),
        };
        self.hand_over(FromTracer::Captured(Box::new(captured)), self.incidents, copied)
    }
}
