//! A decision that needs a close look: the thread is copied first, and its copy diagnosed.

use crate::capture::fault::micros;
use crate::capture::maps::Maps;
use crate::capture::{Capture, Frozen};
use crate::config::Action;
use crate::diagnose::{self, Cause, Diagnosis, NoModules};
use crate::policy::{Danger, FaultFacts, MAX_TAKEN, Walk};
use crate::sys::memory::Memory;
use crate::sys::{SigNo, fail};
use crate::trace::Fault;

use super::hold::Held;
use super::incident::{Names, facts};
use super::telling::Place;
use super::{Tracer, TracerError};

impl Tracer {
    /// Decides about a thread from a copy of it, and begins what is decided.
    pub(super) fn consider(&mut self, fault: Fault, names: Names, recorded: bool) -> Result<(), TracerError> {
        let mut copied = self.copy(&fault, &Frozen::default());
        fail::point("tracer.fault.considered");
        let diagnosis = diagnose::diagnose(&copied.capture, &NoModules);
        let place = Place::of(&copied);
        let names_and_signal = facts(&fault, &names);
        let raised = names_and_signal.raised_by_itself;
        let examined = self.examiner.examine(&fault.thread, &copied, raised);
        let mut dangers: Vec<Danger> = diagnosis.iter().filter_map(corruption).collect();
        dangers.extend(examined.dangers);
        if !self.taken.allow(fault.process, self.started.elapsed()) {
            dangers.push(Danger {
                what: format!("the process has lost {MAX_TAKEN} threads within ten minutes"),
                allows: &[Action::Throw],
            });
        }
        let mut walk = Walk::begin(
            &FaultFacts {
                module: place.module.as_deref(),
                function: examined.function.as_deref(),
                cause: diagnosis.as_ref().map(|found| found.cause.as_str()),
                dangers: &dangers,
                ..names_and_signal
            },
            &self.service,
        );
        for note in examined.notes {
            walk.note(note);
        }
        let maps = maps_of(&copied.capture);
        let incident = recorded.then(|| self.describe(&fault, &names));
        let mut held = Held::new(fault, walk, maps);
        let mut action = held.choose();
        while action == Action::Throw {
            let text = exception_text(held.signal(), diagnosis.as_ref(), &place);
            let thrown = self.throwing.prepare(
                held.thread(),
                &copied.capture,
                &copied.files,
                held.maps(),
                &text,
                &mut self.examiner.tables,
            );
            match thrown {
                Ok(()) => break,
                Err(why) => action = held.pass(&format!("throw is not possible: {why}")),
            }
        }
        if action == Action::Throw {
            fail::point("tracer.throw.prepared");
            copied.capture.facts.pause.faulting_us = micros(held.since_fault());
            let (fault, decision) = held.end();
            let process = fault.process;
            self.engine.redirect(fault);
            return self.tell_settled(incident, process, decision, copied);
        }
        if matches!(action, Action::Deliver | Action::Suppress) {
            let (fault, decision) = held.end();
            let process = fault.process;
            let again = self.conclude(fault, &decision, recorded)?;
            return self.tell_settled(incident, process, decision, again);
        }
        copied.capture.facts.pause.faulting_us = micros(held.since_fault());
        let sites = self.sites.find(&Memory::open(held.tid()), held.maps());
        let verdict = held.verdict();
        self.hold(held, sites, incident.as_ref().map(|incident| incident.number));
        let Some(mut incident) = incident else {
            return Ok(());
        };
        incident.verdict = verdict;
        incident.settled = false;
        self.tell_incident(incident, copied)
    }
}

/// What the program's handler reads: "SIGSEGV: null pointer dereference at 0x8 in server+0x1234".
fn exception_text(signal: SigNo, diagnosis: Option<&Diagnosis>, place: &Place) -> String {
    let mut text = signal.to_string();
    if let Some(found) = diagnosis {
        text.push_str(&format!(": {}", found.cause));
        if let Some(address) = found.address {
            text.push_str(&format!(" at {address:#x}"));
        }
    }
    if let (Some(module), Some(offset)) = (&place.module, place.offset) {
        let name = module.rsplit('/').next().unwrap_or_default();
        text.push_str(&format!(" in {name}+{offset:#x}"));
    }
    text
}

/// The memory map in a copy.
fn maps_of(capture: &Capture) -> Maps {
    Maps::parse(
        capture
            .facts
            .process
            .maps
            .map(|maps| capture.get(maps))
            .unwrap_or_default(),
    )
}

/// A cause that tells of memory that is no longer what it should be: nothing that runs on it can be trusted.
fn corruption(diagnosis: &Diagnosis) -> Option<Danger> {
    let corrupt = matches!(
        diagnosis.cause,
        Cause::HeapCorruption
            | Cause::StackSmashing
            | Cause::JumpToUnmapped
            | Cause::ExecuteNonExecutable
            | Cause::NonCanonical
    );
    corrupt.then(|| Danger {
        what: format!("memory is likely corrupt ({})", diagnosis.cause.as_str()),
        allows: &[],
    })
}
