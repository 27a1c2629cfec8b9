//! The record that is written before anything can fail: what the tracer's message alone says.

use jiff::Timestamp;

use crate::ipc::{Captured, Incident, ProcessEnd, Verdict};
use crate::report::model::{Action, Exit, Fault, Kind, Process, Report, Service, Signal};
use crate::sys::signal::code_name;
use crate::sys::wait::ExitStatus;

/// Said of a record that nobody has completed yet.
const UNFINISHED: &str = "the recorder has not finished";

/// The record of a fault.
pub(super) fn of_incident(id: &str, service: &str, incident: &Incident) -> Report {
    let process = Process {
        comm: Some(incident.comm.clone()),
        ..Process::new(incident.process)
    };
    let mut report = Report::new(id, time(incident.time_us), process);
    report.service = named(service);
    report.signal = Signal {
        number: Some(incident.signal),
        name: Some(incident.signal.to_string()),
        code: incident.code,
        code_name: incident
            .code
            .and_then(|code| code_name(incident.signal, code))
            .map(str::to_owned),
        address: incident.address.map(Into::into),
        ..Signal::default()
    };
    report.fault = Fault {
        tid: Some(incident.tid),
        thread_name: Some(incident.thread_name.clone()),
        pc: incident.pc.map(Into::into),
        ..Fault::default()
    };
    report.action = action(&incident.verdict);
    report.missing("report", UNFINISHED);
    report
}

/// What was done, for a record.
pub(super) fn action(verdict: &Verdict) -> Action {
    let requested: Vec<&str> = verdict.requested.iter().map(|action| action.name()).collect();
    Action {
        requested: Some(requested.join(", ")),
        taken: Some(verdict.taken.name().to_owned()),
        reason: Some(verdict.reason.clone()),
        evidence: verdict.evidence.clone(),
        rule: verdict.rule.clone(),
    }
}

/// The record of a live process.
pub(super) fn of_capture(id: &str, service: &str, captured: &Captured) -> Report {
    let process = Process {
        comm: Some(captured.comm.clone()),
        ..Process::new(captured.process)
    };
    let mut report = Report::new(id, time(captured.time_us), process);
    report.kind = Kind::Capture;
    report.service = named(service);
    report.missing("report", UNFINISHED);
    report
}

/// The record of a process that ended without a fault that was seen.
pub(super) fn of_end(id: &str, service: &str, end: &ProcessEnd) -> Report {
    let process = Process {
        comm: Some(end.comm.clone()),
        ..Process::new(end.process)
    };
    let mut report = Report::new(id, time(end.time_us), process);
    report.kind = Kind::Exit;
    report.service = named(service);
    match end.status {
        ExitStatus::Exited(status) => {
            report.exit = Exit {
                status: Some(status),
                ..Exit::default()
            }
        }
        ExitStatus::Killed { signal, core } => {
            report.exit = Exit {
                signal: Some(signal),
                core_dumped: Some(core),
                ..Exit::default()
            };
            report.signal = Signal {
                number: Some(signal),
                name: Some(signal.to_string()),
                ..Signal::default()
            };
        }
    }
    report.missing("report", UNFINISHED);
    report
}

fn named(service: &str) -> Service {
    Service {
        name: Some(service.to_owned()),
        ..Service::default()
    }
}

fn time(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::UNIX_EPOCH)
}
