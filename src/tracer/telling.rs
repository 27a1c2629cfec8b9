//! What the front is told of an incident, with the copy and the files that go with it.

use crate::capture::fault::{Copied, wall_clock};
use crate::config::Action;
use crate::ipc::{FromTracer, Incident, Verdict};
use crate::policy::Decision;
use crate::sys::deadline::Deadline;
use crate::sys::regs::GeneralRegisters;
use crate::sys::{Pid, fail};
use crate::trace::Fault;

use super::handing::messages_after_the_first;
use super::incident::Names;
use super::{HOLD, Tracer, TracerError};

impl Tracer {
    /// Numbers an incident and fills in what is known of the fault.
    pub(super) fn describe(&mut self, fault: &Fault, names: &Names) -> Incident {
        self.incidents += 1;
        Incident {
            number: self.incidents,
            process: fault.process,
            tid: fault.thread.tid(),
            thread_name: names.status.name.clone(),
            comm: names.process.clone(),
            signal: fault.signal,
            code: fault.siginfo.map(|info| info.code()),
            address: fault.siginfo.and_then(|info| info.address()),
            pc: None,
            module: None,
            offset: None,
            time_us: wall_clock(fault.seen),
            verdict: Verdict::default(),
            settled: true,
            copy: None,
            more: 0,
            counted: self.budget.take_counted(),
        }
    }

    /// Tells of an incident that is settled; of one that is not recorded, only that its process ends.
    pub(super) fn tell_settled(
        &mut self,
        incident: Option<Incident>,
        process: Pid,
        decision: Decision,
        copied: Copied,
    ) -> Result<(), TracerError> {
        match incident {
            Some(mut incident) => {
                incident.verdict = verdict(decision);
                self.tell_incident(incident, copied)
            }
            None if decision.taken == Action::Deliver => self.leave_unrecorded(process),
            None => Ok(()),
        }
    }

    /// Sends an incident with its copy.
    pub(super) fn tell_incident(
        &mut self,
        mut incident: Incident,
        mut copied: Copied,
    ) -> Result<(), TracerError> {
        if incident.verdict.taken != Action::Deliver {
            let _look = Deadline::after(HOLD);
            copied.capture.describe_siblings(incident.process);
        }
        let place = Place::of(&copied);
        incident.pc = place.pc;
        incident.module = place.module;
        incident.offset = place.offset;
        incident.copy = copied.whole.as_ref().map(|whole| whole.pid);
        incident.more = messages_after_the_first(&copied);
        let number = incident.number;
        self.hand_over(FromTracer::Incident(Box::new(incident)), number, copied)?;
        fail::point("tracer.fault.handed");
        Ok(())
    }

    /// Tells how an incident ended that was handed over before it was settled; with another copy, where the process was
    /// copied once more.
    pub(super) fn tell_end(
        &mut self,
        number: u64,
        verdict: Verdict,
        copied: Option<Copied>,
    ) -> Result<(), TracerError> {
        let message = FromTracer::Settled {
            number,
            verdict,
            copy: copied
                .as_ref()
                .and_then(|copied| Some(copied.whole.as_ref()?.pid)),
            more: copied.as_ref().map_or(0, messages_after_the_first),
        };
        match copied {
            Some(copied) => self.hand_over(message, number, copied),
            None => self.say(message),
        }
    }
}

/// A decision as it is told.
pub(super) fn verdict(decision: Decision) -> Verdict {
    let Decision {
        requested,
        taken,
        deliver_as: _,
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
pub(super) struct Place {
    pub(super) pc: Option<u64>,
    pub(super) module: Option<String>,
    pub(super) offset: Option<u64>,
}

impl Place {
    pub(super) fn of(copied: &Copied) -> Self {
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
