//! A decision that needs a close look: the thread is copied first, and its copy diagnosed.

use crate::capture::Frozen;
use crate::capture::fault::{Copied, copy, copy_for_decision, micros};
use crate::config::Action;
use crate::diagnose::{self, Diagnosis, NoModules};
use crate::isolate::rescue::Connection;
use crate::isolate::throw::Raised;
use crate::policy::{Danger, FaultFacts, Site, Walk};
use crate::sys::memory::Memory;
use crate::sys::status::Status;
use crate::sys::{Pid, SigNo, fail};
use crate::trace::Fault;

use super::dangers;
use super::examining::Examined;
use super::hold::Held;
use super::incident::{Names, facts};
use super::source::Live;
use super::telling::Place;
use super::throwing::Attempt;
use super::{Tracer, TracerError, unwinding};

/// What was found out about a thread, of which a decision is made.
pub(super) struct Looked {
    pub(super) copied: Copied,
    /// The memory of its process as it was looked at.
    pub(super) live: Live,
    pub(super) examined: Examined,
    diagnosis: Option<Diagnosis>,
    place: Place,
    site: Site,
    dangers: Vec<Danger>,
    notes: Vec<String>,
    /// The locks that it holds, and one that stays locked when it ends.
    pub(super) locks: Vec<String>,
    pub(super) kept: Option<String>,
}

impl Looked {
    /// What the policy decides from.
    pub(super) fn facts<'a>(&'a self, fault: &Fault, names: &'a Names) -> FaultFacts<'a> {
        FaultFacts {
            module: self.place.module.as_deref(),
            function: self.examined.function.as_deref(),
            cause: self.diagnosis.as_ref().map(|found| found.cause.as_str()),
            dangers: &self.dangers,
            ..facts(fault, names)
        }
    }
}

impl Tracer {
    /// Copies a thread in front of its signal, and looks at it and what it is in the middle of; all of what a report needs
    /// if there is to be one.
    pub(super) fn look_at(&mut self, fault: &Fault, names: &Names, recorded: bool) -> Looked {
        let copied = if recorded {
            copy(&self.subject(fault), &mut Frozen::default(), &self.service.report)
        } else {
            copy_for_decision(&self.subject(fault), &self.service.report)
        };
        fail::point("tracer.fault.considered");
        let diagnosis = diagnose::diagnose(&copied.capture, &copied.maps, &NoModules);
        let place = Place::of(&copied);
        let raised = facts(fault, names).raised_by_itself;
        let live = Live::new(Memory::of(fault.thread.tid()));
        let mut examined = self.examiner.examine(&fault.thread, &copied, &live, raised);
        let mut notes = std::mem::take(&mut examined.notes);
        let held_locks = dangers::locks(&copied.capture, fault.thread.tid());
        let mut dangers: Vec<Danger> = diagnosis.iter().filter_map(dangers::corruption).collect();
        dangers.extend(dangers::shared_memory(fault.process, Pid(names.status.parent)));
        dangers.append(&mut examined.dangers);
        if held_locks.is_empty() {
            notes.push("no lock was found that it holds".to_owned());
        }
        let kept = held_locks.iter().find(|danger| dangers::stays_locked(danger));
        let kept = kept.map(|danger| danger.what.clone());
        let locks = held_locks.iter().map(|danger| danger.what.clone()).collect();
        dangers.extend(held_locks);
        Looked {
            site: dangers::site(&copied.capture, &place),
            copied,
            live,
            examined,
            diagnosis,
            place,
            dangers,
            notes,
            locks,
            kept,
        }
    }

    /// Decides about a thread from a copy of it, and begins what is decided.
    pub(super) fn consider(&mut self, fault: Fault, names: Names, recorded: bool) -> Result<(), TracerError> {
        let mut looked = self.look_at(&fault, &names, recorded);
        let (now, limits) = (self.started.elapsed(), &self.service.isolation);
        let past_limits = self
            .limits
            .dangers(fault.process, &names.status.name, looked.site, now, limits);
        looked.dangers.extend(past_limits);
        let mut walk = Walk::begin(&looked.facts(&fault, &names), &self.service);
        for note in std::mem::take(&mut looked.notes) {
            walk.note(note);
        }
        let maps = looked.copied.maps.clone();
        let incident = recorded.then(|| self.describe(&fault, &names));
        let process = fault.process;
        let mut held = Held::new(fault, walk, maps);
        held.describe(&names.status.name, looked.locks.clone());
        let mut action = held.choose();
        while matches!(
            action,
            Action::Throw | Action::Unwind | Action::Rescue | Action::Skip
        ) {
            match self.attempt(held, action, &names, &mut looked) {
                Attempt::Done(held, ()) => {
                    let mut copied = looked.copied;
                    copied.capture.facts.pause.faulting_us = micros(held.since_fault());
                    let (fault, decision) = held.end();
                    self.engine.redirect(fault);
                    return self.tell_settled(incident, process, decision, copied);
                }
                Attempt::Refused(as_before, why) => {
                    held = as_before;
                    action = held.pass(&format!("{action} is not possible: {why}"));
                }
                Attempt::Gone(decision) => {
                    self.engine.let_go_of(process, Vec::new());
                    return self.tell_settled(incident, process, decision, looked.copied);
                }
            }
        }
        let mut copied = looked.copied;
        if matches!(action, Action::Deliver | Action::Suppress) {
            let (fault, decision) = held.end();
            let again = self.conclude(fault, &decision, recorded)?;
            return self.tell_settled(incident, process, decision, again);
        }
        copied.capture.facts.pause.faulting_us = micros(held.since_fault());
        let sites = self.sites.find(&Memory::of(held.tid()), held.maps());
        let verdict = held.verdict();
        self.hold(held, sites, incident.as_ref().map(|incident| incident.number));
        let Some(mut incident) = incident else {
            return Ok(());
        };
        incident.verdict = verdict;
        incident.settled = false;
        self.tell_incident(incident, copied)
    }

    /// Puts a thread where one of the actions wants it that need no probation, and counts that.
    pub(super) fn attempt(
        &mut self,
        held: Held,
        action: Action,
        names: &Names,
        looked: &mut Looked,
    ) -> Attempt<()> {
        let mut attempt = match action {
            Action::Throw => self.attempt_throw(held, &names.status, looked),
            Action::Unwind => self.attempt_unwind(held, &names.status, looked),
            Action::Rescue => self.attempt_rescue(held, &names.status, looked),
            Action::Skip => match self.skip(held) {
                Attempt::Done(mut held, how) => {
                    held.explain(how);
                    Attempt::Done(held, ())
                }
                Attempt::Refused(held, why) => Attempt::Refused(held, why),
                Attempt::Gone(decision) => Attempt::Gone(decision),
            },
            other => Attempt::Refused(held, format!("{other} needs a probation")),
        };
        if let Attempt::Done(held, ()) = &mut attempt {
            let now = self.started.elapsed();
            if action == Action::Unwind {
                let name = &names.status.name;
                self.limits.note_taken(held.process(), held.tid(), name, now);
                self.note_lost(held);
            } else {
                self.limits.note_thrown(looked.site, now, &self.service.isolation);
            }
        }
        attempt
    }

    fn attempt_throw(&mut self, held: Held, status: &Status, looked: &Looked) -> Attempt<()> {
        let Looked {
            examined,
            diagnosis,
            place,
            ..
        } = looked;
        let function = examined.function.as_deref();
        let text = exception_text(held.signal(), diagnosis.as_ref(), place, function);
        match self.raise(held, status, looked, &text) {
            Attempt::Done(mut held, raised) => {
                held.explain(sentence(&raised, examined, &text));
                fail::point("tracer.throw.prepared");
                Attempt::Done(held, ())
            }
            Attempt::Refused(held, why) => Attempt::Refused(held, why),
            Attempt::Gone(decision) => Attempt::Gone(decision),
        }
    }

    fn attempt_unwind(&mut self, held: Held, status: &Status, looked: &Looked) -> Attempt<()> {
        match unwinding::prepare(held.thread(), status, looked, &mut self.throwing) {
            Ok(()) => {
                fail::point("tracer.unwind.prepared");
                Attempt::Done(held, ())
            }
            Err(why) => Attempt::Refused(held, why),
        }
    }

    fn attempt_rescue(&mut self, mut held: Held, status: &Status, looked: &Looked) -> Attempt<()> {
        match self.rescue(held.process(), held.thread(), status, looked) {
            Ok(rescued) => {
                held.explain(rescued.how);
                fail::point("tracer.rescue.prepared");
                // Before the thread goes on: its dispatcher finds the end when it looks next.
                if let Some(note) = rescued.connection.map(end_of) {
                    held.note(note);
                }
                Attempt::Done(held, ())
            }
            Err(why) => Attempt::Refused(held, why),
        }
    }
}

/// What was raised where, and what the program's handler reads.
fn sentence(raised: &Raised, examined: &Examined, text: &str) -> String {
    let Raised { what, from, to } = raised;
    let caught = to.map_or_else(String::new, |to| {
        format!(", which {} catches", examined.frame(to))
    });
    format!("{} gets {what}{caught}: \"{text}\"", examined.frame(*from))
}

/// Ends a connection that nobody serves any more; what came of it, as a sentence.
fn end_of(connection: Result<Connection, String>) -> String {
    let ended = connection.and_then(|connection| connection.shut_down().map_err(|error| error.to_string()));
    match ended {
        Ok(()) => "the connection that it was serving was shut down".to_owned(),
        Err(why) => format!("the connection that it was serving was not shut down: {why}"),
    }
}

/// What the program's handler reads: "SIGSEGV: null pointer dereference at 0x8 in parse_header", or "in server+0x1234".
fn exception_text(
    signal: SigNo,
    diagnosis: Option<&Diagnosis>,
    place: &Place,
    function: Option<&str>,
) -> String {
    let mut text = signal.to_string();
    if let Some(found) = diagnosis {
        text.push_str(&format!(": {}", found.cause));
        if let Some(address) = found.address {
            text.push_str(&format!(" at {address:#x}"));
        }
    }
    if let Some(function) = function {
        text.push_str(&format!(" in {function}"));
    } else if let (Some(module), Some(offset)) = (&place.module, place.offset) {
        let name = module.rsplit('/').next().unwrap_or_default();
        text.push_str(&format!(" in {name}+{offset:#x}"));
    }
    text
}
