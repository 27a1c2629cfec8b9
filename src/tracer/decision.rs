//! A decision that needs a close look: the thread is copied first, and its copy diagnosed.

use crate::capture::Frozen;
use crate::capture::fault::{copy, copy_for_decision, micros};
use crate::capture::maps::Maps;
use crate::config::Action;
use crate::diagnose::{self, Diagnosis, NoModules};
use crate::isolate::rescue::Connection;
use crate::isolate::throw::Raised;
use crate::policy::{Danger, FaultFacts, Walk};
use crate::sys::memory::Memory;
use crate::sys::{SigNo, fail};
use crate::trace::Fault;

use super::dangers;
use super::examining::Examined;
use super::hold::Held;
use super::incident::{Names, facts};
use super::telling::Place;
use super::throwing::Attempt;
use super::{Tracer, TracerError, unwinding};

impl Tracer {
    /// Decides about a thread from a copy of it, and begins what is decided.
    pub(super) fn consider(&mut self, fault: Fault, names: Names, recorded: bool) -> Result<(), TracerError> {
        let mut copied = if recorded {
            copy(
                &self.subject(&fault),
                &mut Frozen::default(),
                &self.service.report,
            )
        } else {
            copy_for_decision(&self.subject(&fault), &self.service.report)
        };
        fail::point("tracer.fault.considered");
        let diagnosis = diagnose::diagnose(&copied.capture, &NoModules);
        let place = Place::of(&copied);
        let names_and_signal = facts(&fault, &names);
        let raised = names_and_signal.raised_by_itself;
        let mut examined = self.examiner.examine(&fault.thread, &copied, raised);
        let function = examined.function.take();
        let mut notes = std::mem::take(&mut examined.notes);
        let held_locks = dangers::locks(&copied.capture, fault.thread.tid());
        let (site, now) = (dangers::site(&copied.capture, &place), self.started.elapsed());
        let limits = &self.service.isolation;
        let past_limits = self
            .limits
            .dangers(fault.process, &names.thread, site, now, limits);
        let mut dangers: Vec<Danger> = diagnosis.iter().filter_map(dangers::corruption).collect();
        dangers.extend(dangers::shared_memory(fault.process, names.parent));
        dangers.append(&mut examined.dangers);
        if held_locks.is_empty() {
            notes.push("no lock was found that it holds".to_owned());
        }
        let lock = held_locks.first().map(|danger| danger.what.clone());
        let kept = held_locks.iter().find(|danger| dangers::stays_locked(danger));
        let kept = kept.map(|danger| danger.what.clone());
        dangers.extend(held_locks);
        dangers.extend(past_limits);
        let mut walk = Walk::begin(
            &FaultFacts {
                module: place.module.as_deref(),
                function: function.as_deref(),
                cause: diagnosis.as_ref().map(|found| found.cause.as_str()),
                dangers: &dangers,
                ..names_and_signal
            },
            &self.service,
        );
        for note in notes {
            walk.note(note);
        }
        let maps = Maps::of(&copied.capture);
        let incident = recorded.then(|| self.describe(&fault, &names));
        let process = fault.process;
        let mut held = Held::new(fault, walk, maps);
        let mut action = held.choose();
        loop {
            let prepared = match action {
                Action::Throw => {
                    let text = exception_text(held.signal(), diagnosis.as_ref(), &place, function.as_deref());
                    match self.raise(held, &copied, &text, lock.as_deref()) {
                        Attempt::Done(raising, raised) => {
                            held = raising;
                            held.explain(sentence(&raised, &examined, &text));
                            fail::point("tracer.throw.prepared");
                            Ok(())
                        }
                        Attempt::Refused(as_before, why) => {
                            held = as_before;
                            Err(why)
                        }
                        Attempt::Gone(decision) => {
                            self.engine.let_go_of(process, Vec::new());
                            return self.tell_settled(incident, process, decision, copied);
                        }
                    }
                }
                Action::Unwind => {
                    let tables = &mut self.examiner.tables;
                    unwinding::prepare(
                        held.thread(),
                        &copied,
                        &mut self.throwing,
                        tables,
                        kept.as_deref(),
                    )
                }
                Action::Rescue => match self.rescue(process, held.thread(), &copied) {
                    Ok(rescued) => {
                        held.explain(rescued.how);
                        fail::point("tracer.rescue.prepared");
                        // Before the thread goes on: its dispatcher finds the end when it looks next.
                        if let Some(note) = rescued.connection.map(end_of) {
                            held.note(note);
                        }
                        Ok(())
                    }
                    Err(why) => Err(why),
                },
                Action::Skip => match self.skip(held) {
                    Attempt::Done(skipping, how) => {
                        held = skipping;
                        held.explain(how);
                        Ok(())
                    }
                    Attempt::Refused(as_before, why) => {
                        held = as_before;
                        Err(why)
                    }
                    Attempt::Gone(decision) => {
                        self.engine.let_go_of(process, Vec::new());
                        return self.tell_settled(incident, process, decision, copied);
                    }
                },
                _ => break,
            };
            match prepared {
                Ok(()) if matches!(action, Action::Throw | Action::Rescue | Action::Skip) => {
                    self.limits.note_thrown(site, now, &self.service.isolation);
                }
                Ok(()) => {
                    fail::point("tracer.unwind.prepared");
                    self.limits.note_taken(held.process(), &names.thread, now);
                    self.note_lost(held.process());
                }
                Err(why) => {
                    action = held.pass(&format!("{action} is not possible: {why}"));
                    continue;
                }
            }
            copied.capture.facts.pause.faulting_us = micros(held.since_fault());
            let (fault, decision) = held.end();
            self.engine.redirect(fault);
            return self.tell_settled(incident, process, decision, copied);
        }
        if matches!(action, Action::Deliver | Action::Suppress) {
            let (fault, decision) = held.end();
            let again = self.conclude(fault, &decision, recorded)?;
            return self.tell_settled(incident, process, decision, again);
        }
        copied.capture.facts.pause.faulting_us = micros(held.since_fault());
        let sites = self.sites.find(&Memory::open(held.tid()), held.maps());
        let verdict = held.verdict();
        self.hold(
            held,
            &names.thread,
            sites,
            incident.as_ref().map(|incident| incident.number),
        );
        let Some(mut incident) = incident else {
            return Ok(());
        };
        incident.verdict = verdict;
        incident.settled = false;
        self.tell_incident(incident, copied)
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
