//! The path of one fault: decide, freeze, copy, act, hand over.
//!
//! The decision comes first because it says who has to be stopped: a signal that will be delivered ends the
//! process, so every thread may be frozen and copied; one that is suppressed concerns its thread alone. The
//! pause ends with the action. What follows (sealing the copy, telling the front) keeps no thread waiting.

use crate::capture::fault::{Copied, Handled, Subject, copy, micros, wall_clock};
use crate::capture::{Frozen, Phase, Prospect, freeze};
use crate::config::Action;
use crate::ipc::{FromTracer, Incident, Verdict};
use crate::policy::{self, Decision, FaultFacts, Origin};
use crate::sys::deadline::Deadline;
use crate::sys::regs::GeneralRegisters;
use crate::sys::{StartTime, fail};
use crate::trace::{Fault, status::Status};

use super::handing::messages_after_the_first;
use super::{HOLD, Tracer, TracerError};

impl Tracer {
    /// Takes a fault along its path.
    pub(super) fn incident(&mut self, fault: Fault) -> Result<(), TracerError> {
        let hold = Deadline::after(HOLD);
        fail::point("tracer.fault.stopped");
        let names = Names::read(&fault);
        let decision = policy::decide(&facts(&fault, &names), &self.service);
        let recorded = self.is_noteworthy(&fault) && self.admit()?;
        let frozen = self.freeze(&fault, decision.taken);
        fail::point("tracer.fault.frozen");
        let frozen_in = fault.seen.elapsed();
        let mut copied = if recorded {
            self.copy(&fault, &frozen)
        } else {
            Copied::default()
        };
        fail::point("tracer.fault.captured");
        let (tid, process, signal, siginfo, seen) = (
            fault.thread.tid(),
            fault.process,
            fault.signal,
            fault.siginfo,
            fault.seen,
        );
        let others = frozen.threads.len();
        self.act(fault, frozen, decision.taken);
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
        drop(hold);
        if let Some((sender, _)) = siginfo.and_then(|info| info.sender())
            && self.following.takes(process, signal)
        {
            self.took(signal, sender)?;
        }
        if !recorded {
            return match decision.taken {
                Action::Deliver => self.leave_unrecorded(process),
                _ => Ok(()),
            };
        }
        if decision.taken != Action::Deliver {
            copied.capture.describe_siblings(process);
        }
        self.incidents += 1;
        let place = Place::of(&copied);
        let incident = Incident {
            number: self.incidents,
            process,
            tid,
            thread_name: names.thread,
            comm: names.process,
            signal,
            code: siginfo.map(|info| info.code()),
            address: siginfo.and_then(|info| info.address()),
            pc: place.pc,
            module: place.module,
            offset: place.offset,
            time_us: wall_clock(seen),
            verdict: verdict(decision),
            more: messages_after_the_first(&copied),
            counted: self.budget.take_counted(),
        };
        self.hand_over(FromTracer::Incident(Box::new(incident)), self.incidents, copied)?;
        fail::point("tracer.fault.handed");
        Ok(())
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

    fn freeze(&self, fault: &Fault, action: Action) -> Frozen {
        if action != Action::Deliver {
            return Frozen::default();
        }
        let known = self.engine.threads_of(fault.process);
        freeze(
            fault.process,
            Prospect::Dies(fault.thread.tid()),
            known,
            self.service.freeze_timeout.0,
        )
    }

    fn copy(&self, fault: &Fault, frozen: &Frozen) -> Copied {
        let handled = fault.handled.as_ref().map(|handled| Handled {
            tid: handled.tid,
            signal: handled.signal,
            siginfo: &handled.siginfo,
            registers: &handled.registers,
            seen: handled.seen,
        });
        let subject = Subject {
            tid: fault.thread.tid(),
            thread: Some(&fault.thread),
            process: fault.process,
            start: self.engine.start_time(fault.process).unwrap_or(StartTime(0)),
            signal: Some(fault.signal),
            siginfo: fault.siginfo,
            handled,
            seen: fault.seen,
        };
        copy(&subject, frozen, &self.service.report)
    }

    fn act(&mut self, fault: Fault, frozen: Frozen, action: Action) {
        match action {
            Action::Suppress => self.engine.suppress(fault),
            _ => self.engine.deliver(fault, frozen.threads),
        }
        if self.engine.has_departing() {
            self.audit.step = self.audit.step.min(1);
            self.schedule();
        }
    }
}

/// What thread and process are called.
struct Names {
    thread: String,
    process: String,
    threads: usize,
}

impl Names {
    fn read(fault: &Fault) -> Self {
        let thread = Status::read(fault.thread.tid()).unwrap_or_default();
        let process = Status::read(fault.process.leader()).map(|status| status.name);
        Self {
            process: process.unwrap_or_else(|_| thread.name.clone()),
            thread: thread.name,
            threads: thread.threads,
        }
    }
}

fn facts<'a>(fault: &Fault, names: &'a Names) -> FaultFacts<'a> {
    FaultFacts {
        signal: fault.signal,
        code: fault.siginfo.map_or(0, |info| info.code()),
        thread_name: &names.thread,
        main_thread: fault.thread.tid() == fault.process.leader(),
        single_threaded: names.threads == 1,
        raised_by_itself: raised_by_itself(fault),
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

fn verdict(decision: Decision) -> Verdict {
    let Decision {
        requested,
        taken,
        reason,
        evidence,
        rule,
    } = decision;
    Verdict {
        requested,
        taken,
        reason,
        evidence,
        rule,
    }
}

/// Where the faulting thread was.
#[derive(Default)]
struct Place {
    pc: Option<u64>,
    module: Option<String>,
    offset: Option<u64>,
}

impl Place {
    fn of(copied: &Copied) -> Self {
        let capture = &copied.capture;
        let registers = capture
            .facts
            .threads
            .first()
            .and_then(|thread| capture.registers(thread));
        let Some(pc) = registers
            .and_then(Result::ok)
            .map(|registers: GeneralRegisters| registers.pc())
        else {
            return Self::default();
        };
        let module = capture
            .facts
            .modules
            .iter()
            .find(|module| (module.low..module.high).contains(&pc));
        Self {
            pc: Some(pc),
            module: module.map(|module| module.path.clone()),
            offset: module.map(|module| pc - module.low + module.offset),
        }
    }
}
