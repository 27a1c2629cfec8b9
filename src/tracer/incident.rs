//! The path of one fault: decide, freeze, copy, act, hand over.
//!
//! The decision says who has to be stopped: a signal that will be delivered ends the process, so every thread may be
//! frozen and copied; everything else concerns its thread alone. Where no rule asks more than the signal and the names,
//! the decision comes first. Where somebody asks for an action on the thread, or why it faulted, the thread is copied
//! first, and the decision is made from the copy ([`super::decision`]).
//!
//! The pause ends with the action. What follows (sealing the copy, telling the front) keeps no thread waiting.

use std::time::Instant;

use crate::capture::fault::{Copied, Handled, Subject, copy, micros};
use crate::capture::{Frozen, Phase, Prospect, freeze};
use crate::config::Action;
use crate::policy::{self, Decision, FaultFacts, Origin};
use crate::sys::deadline::Deadline;
use crate::sys::status::Status;
use crate::sys::{StartTime, fail, tasks};
use crate::trace::Fault;

use super::{HOLD, Tracer, TracerError};

impl Tracer {
    /// Takes a fault along its path.
    pub(super) fn incident(&mut self, fault: Fault) -> Result<(), TracerError> {
        let hold = Deadline::after(HOLD);
        fail::point("tracer.fault.stopped");
        let names = Names::of(&fault, fault.status.clone());
        let recorded = self.is_noteworthy(&fault) && self.admit()?;
        if self.service.looks_closely() {
            return self.consider(fault, names, recorded);
        }
        let decision = policy::decide(&facts(&fault, &names), &self.service);
        let incident = recorded.then(|| self.describe(&fault, &names));
        let process = fault.process;
        let copied = self.conclude(fault, &decision, recorded)?;
        drop(hold);
        self.tell_settled(incident, process, decision, copied)
    }

    /// Copies and acts: the last that the thread has to wait for.
    pub(super) fn conclude(
        &mut self,
        fault: Fault,
        decision: &Decision,
        recorded: bool,
    ) -> Result<Copied, TracerError> {
        let (process, signal, siginfo, seen) = (fault.process, fault.signal, fault.siginfo, fault.seen);
        let ends = self.ends_process(&fault, decision);
        let mut frozen = if recorded && ends {
            self.freeze(&fault)
        } else {
            Frozen::default()
        };
        fail::point("tracer.fault.frozen");
        let frozen_in = seen.elapsed();
        let mut copied = if recorded {
            self.copy(&fault, &mut frozen)
        } else {
            Copied::default()
        };
        fail::point("tracer.fault.captured");
        let others = frozen.threads.len();
        let fault = if recorded && ends {
            let began = Instant::now();
            copied.complete();
            copied.capture.facts.pause.phases.push(Phase {
                name: "withheld".to_owned(),
                us: micros(began.elapsed()),
            });
            self.copy_process(fault, &mut copied)
        } else {
            Some(fault)
        };
        match fault {
            Some(fault) => self.act(fault, frozen, decision),
            None => self.engine.let_go_of(process, frozen.threads),
        }
        if ends {
            self.forget_lost(process);
        }
        let pause = &mut copied.capture.facts.pause;
        pause.faulting_us = micros(seen.elapsed());
        pause.others_us = if others == 0 { 0 } else { pause.faulting_us };
        pause.phases.insert(
            0,
            Phase {
                name: "freeze".into(),
                us: micros(frozen_in),
            },
        );
        if let Some((sender, _)) = siginfo.and_then(|info| info.sender())
            && self.following.takes(process, signal)
        {
            self.took(signal, sender)?;
        }
        Ok(copied)
    }

    /// Whether the fault is worth a report.
    fn is_noteworthy(&self, fault: &Fault) -> bool {
        let sender = fault
            .siginfo
            .and_then(|info| info.sender())
            .map(|(sender, _)| sender);
        let origin = Origin {
            signal: fault.signal,
            code: fault.siginfo.map_or(0, |info| info.code()),
            from_service: sender
                .is_some_and(|sender| sender != fault.process && self.engine.is_of_service(sender)),
            first_process: self.asked_for.contains(&fault.process),
        };
        policy::is_noteworthy(&origin)
    }

    fn freeze(&self, fault: &Fault) -> Frozen {
        let known = self.engine.threads_of(fault.process);
        freeze(
            fault.process,
            Prospect::Dies(fault.thread.tid()),
            known,
            self.service.freeze_timeout.0,
        )
    }

    fn ends_process(&self, fault: &Fault, decision: &Decision) -> bool {
        decision.taken == Action::Deliver
            && decision
                .deliver_as
                .is_none_or(|signal| self.engine.would_end(fault, signal))
    }

    fn copy(&self, fault: &Fault, frozen: &mut Frozen) -> Copied {
        copy(&self.subject(fault), frozen, &self.service.report)
    }

    /// What a fault is copied as.
    pub(super) fn subject<'a>(&self, fault: &'a Fault) -> Subject<'a> {
        let handled = fault.handled.as_ref().map(|handled| Handled {
            tid: handled.tid,
            signal: handled.signal,
            siginfo: &handled.siginfo,
            registers: &handled.registers,
            seen: handled.seen,
        });
        Subject {
            tid: fault.thread.tid(),
            thread: Some(&fault.thread),
            process: fault.process,
            start: self.engine.start_time(fault.process).unwrap_or(StartTime(0)),
            signal: Some(fault.signal),
            siginfo: fault.siginfo,
            handled,
            seen: fault.seen,
            status: Some(&fault.status),
        }
    }

    fn act(&mut self, mut fault: Fault, frozen: Frozen, decision: &Decision) {
        if let Some(signal) = decision.deliver_as.filter(|_| decision.taken == Action::Deliver) {
            let ends = self.engine.would_end(&fault, signal);
            fault.replace_signal(signal);
            if !ends {
                return self.engine.pass(fault);
            }
        }
        match decision.taken {
            Action::Suppress => self.engine.suppress(fault),
            _ => self.engine.deliver(fault, frozen.threads),
        }
        if self.engine.has_departing() {
            self.audit.step = self.audit.step.min(1);
            self.schedule();
        }
    }
}

/// What thread and process are called, and what else /proc says of the thread.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) status: Status,
    pub(super) process: String,
}

impl Names {
    pub(super) fn of(fault: &Fault, status: Status) -> Self {
        let leader = fault.process.leader();
        let of_leader = (fault.thread.tid() != leader)
            .then(|| tasks::name(leader))
            .flatten();
        Self {
            process: of_leader.unwrap_or_else(|| status.name.clone()),
            status,
        }
    }
}

/// What the signal and the names tell.
pub(super) fn facts<'a>(fault: &Fault, names: &'a Names) -> FaultFacts<'a> {
    FaultFacts {
        signal: fault.signal,
        code: fault.siginfo.map_or(0, |info| info.code()),
        thread_name: &names.status.name,
        main_thread: fault.thread.tid() == fault.process.leader(),
        single_threaded: names.status.threads == 1,
        raised_by_itself: raised_by_itself(fault),
        module: None,
        function: None,
        cause: None,
        dangers: &[],
    }
}

/// Whether the process sent the signal to itself. In a pid namespace the sender's id is the namespace's own, which
/// is not compared: a signal is then taken to come from outside.
fn raised_by_itself(fault: &Fault) -> bool {
    fault
        .siginfo
        .and_then(|info| info.sender())
        .is_some_and(|(sender, _)| sender == fault.process)
}
