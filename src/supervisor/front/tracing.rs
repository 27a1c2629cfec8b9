//! What the tracer says, and what follows from its death.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::capture::fault::wall_clock;
use crate::ipc::{ChannelError, FromTracer, ProcessEnd, Received};
use crate::supervisor::program::Program;
use crate::supervisor::tracer::{StartError, Tracer};
use crate::sys::wait::{self, ExitStatus};
use crate::sys::{Pid, SigNo, fail};

use super::error::{FrontError, system};
use super::job::send;
use super::{Front, Outcome};

/// So many tracers may die within [`RESTART_WINDOW`] before the front gives up on supervising.
pub(super) const MAX_RESTARTS: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_secs(60);

impl Front {
    pub(super) fn hear_tracer(&mut self) -> Result<(), FrontError> {
        loop {
            let Some(tracer) = &mut self.tracer else {
                return Ok(());
            };
            let received = tracer
                .channel
                .flush()
                .and_then(|()| tracer.channel.try_receive::<FromTracer>());
            match received {
                Ok(Received::Message(message, descriptors)) => self.message(message, descriptors)?,
                Ok(Received::Nothing) => return Ok(()),
                Err(ChannelError::Closed) => return self.tracer_died(),
                Err(error) => {
                    self.complain(&format!("{error}"));
                    return Ok(());
                }
            }
        }
    }

    fn message(&mut self, message: FromTracer, descriptors: Vec<OwnedFd>) -> Result<(), FrontError> {
        match message {
            FromTracer::Attached {
                process,
                processes,
                threads,
            } => self.attached(process, processes, threads),
            FromTracer::Refused {
                process,
                reason,
                permission,
                absent,
            } => self.refused(FrontError::Refused {
                process,
                reason,
                permission,
                absent,
            }),
            FromTracer::Incident(incident) => {
                fail::point("front.incident.received");
                let line = self.recording.incident(*incident, descriptors);
                line.iter().for_each(|line| self.complain(line));
                Ok(())
            }
            FromTracer::Modules { number } => {
                self.recording.modules(number, descriptors);
                Ok(())
            }
            FromTracer::Ended(end) => {
                let line = self.recording.ended(*end, descriptors);
                line.iter().for_each(|line| self.complain(line));
                Ok(())
            }
            FromTracer::Warning(text) => {
                self.say(&text);
                Ok(())
            }
        }
    }

    fn attached(&mut self, process: Pid, processes: usize, threads: usize) -> Result<(), FrontError> {
        for root in self.roots.iter_mut().filter(|root| root.pid == process) {
            root.attached = true;
        }
        match &mut self.program {
            Some(program) if program.is_waiting() => program.open_gate().map_err(system("start the program")),
            None if self.roots.iter().all(|root| root.attached) => {
                self.say(&format!("attached: {processes} processes, {threads} threads"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A process that cannot be taken up ends the watch, unless it was watched before: it may have changed its
    /// user meanwhile.
    fn refused(&mut self, refusal: FrontError) -> Result<(), FrontError> {
        let FrontError::Refused { process, absent, .. } = &refusal else {
            return Err(refusal);
        };
        let Some(place) = self.roots.iter().position(|root| root.pid == *process) else {
            return Ok(());
        };
        if !self.roots[place].attached {
            return Err(refusal);
        }
        if !*absent {
            self.complain(&format!("{refusal}; it runs on unsupervised"));
        }
        if self.program.is_none() {
            self.roots.remove(place);
            if self.roots.is_empty() {
                self.let_go(Outcome::Gone);
            }
        }
        Ok(())
    }

    fn tracer_died(&mut self) -> Result<(), FrontError> {
        let Some(tracer) = self.tracer.take() else {
            return Ok(());
        };
        self.buried.push(tracer.pid);
        self.recording.tracer_gone();
        if self.outcome.is_some() {
            self.last_words = None;
            self.record_unseen_end();
            return Ok(());
        }
        let now = Instant::now();
        self.deaths.push_back(now);
        self.deaths
            .retain(|death| now.duration_since(*death) < RESTART_WINDOW);
        if self.deaths.len() > MAX_RESTARTS {
            self.complain(&FrontError::TracersDie.to_string());
            if self.program.as_ref().is_none_or(Program::is_waiting) {
                return Err(FrontError::TracersDie);
            }
            return Ok(());
        }
        self.complain("the tracer died; the service runs on, and another tracer takes it up again");
        let mut tracer = Tracer::start(&self.service)?;
        for root in &self.roots {
            tracer.seize(root.pid).map_err(StartError::from)?;
        }
        self.tracer = Some(tracer);
        Ok(())
    }

    /// A program that died by a signal while no tracer could tell of it leaves a record all the same.
    fn record_unseen_end(&mut self) {
        let (Some(program), Some(status @ ExitStatus::Killed { .. })) = (&self.program, self.program_end)
        else {
            return;
        };
        if self.deaths.is_empty() || self.recording.has_told_of(program.pid) {
            return;
        }
        let end = ProcessEnd {
            process: program.pid,
            comm: self.service.name.clone(),
            time_us: wall_clock(Instant::now()),
            status,
        };
        let line = self.recording.ended(end, Vec::new());
        line.iter().for_each(|line| self.complain(line));
    }

    /// Ends a tracer that does not end by itself; its death releases what it held.
    pub(super) fn end_tracer(&mut self) {
        if let Some(tracer) = self.tracer.take() {
            send(tracer.pid, SigNo::KILL);
            self.buried.push(tracer.pid);
        }
        self.last_words = None;
    }

    /// Reaps dead tracers.
    pub(super) fn bury(&mut self) {
        self.buried.retain(|pid| wait::child_change(*pid).is_none());
    }
}
