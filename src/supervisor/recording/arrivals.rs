//! What a front is told, as an incident that waits for its recorder: from the message of a tracer to the small record, which
//! is on disk before anything else is tried.

use std::os::fd::OwnedFd;
use std::time::Instant;

use crate::capture::{Capture, Kind, Missing};
use crate::config::{Format, Service};
use crate::diagnose::Ended;
use crate::ipc::{Captured, Incident, ProcessEnd, Verdict, seal_capture};
use crate::recorder::{self, CoreJob, Job};
use crate::report::Report;
use crate::report::words::{count, duration};
use crate::service::Identity;
use crate::store::{Id, PendingReport};
use crate::supervisor::collector::Logs;
use crate::supervisor::watch::{Settlement, Watch};
use crate::supervisor::{oom, seccomp, small};
use crate::sys::signal::code_name;
use crate::sys::wait::ExitStatus;
use crate::sys::{Pid, SigNo, fail};

use super::Recording;
use super::stage::{Waiting, action, conclude_small, outcome_of};

/// Incidents of one service that wait for a recorder, or for their last descriptors. Past it the small record has
/// to do, so that one service that crashes in a row keeps no other from its reports.
const MAX_WAITING: usize = 32;
/// Incidents of all services that wait.
const MAX_WAITING_IN_ALL: usize = 256;

/// What is known of an incident before a recorder has seen it.
struct News {
    process: Pid,
    number: Option<u64>,
    headline: String,
    /// What else there is to say where no report can.
    facts: String,
    time_us: i64,
    expected: usize,
    /// What was decided and may still change.
    unsettled: Option<Verdict>,
    /// Whether the files of a copied process come with it.
    copied: bool,
}

impl Recording {
    /// Takes a fault. Returns what went wrong, as a line for the operator.
    pub(crate) fn incident(
        &mut self,
        watch: &Watch,
        incident: Incident,
        descriptors: Vec<OwnedFd>,
    ) -> Option<String> {
        let service = watch.service();
        let news = News {
            process: incident.process,
            number: Some(incident.number),
            headline: format!(
                "{} ({}): thread {} ({}) took {}",
                incident.comm, incident.process, incident.thread_name, incident.tid, incident.signal
            ),
            facts: facts(&incident),
            time_us: incident.time_us,
            expected: incident.more + usize::from(!incident.settled),
            unsettled: (!incident.settled).then(|| incident.verdict.clone()),
            copied: incident.copy.is_some(),
        };
        let id = match id(service, &news) {
            Ok(id) => id,
            Err(line) => return Some(line),
        };
        let report = small::of_incident(id.as_str(), &service.name, &incident);
        let mut job = job(service, &id);
        job.action = Some(action(incident.verdict));
        self.take(watch, news, &id, report, job, descriptors)
    }

    /// Takes a copy of a live process.
    pub(crate) fn captured(
        &mut self,
        watch: &Watch,
        captured: Captured,
        descriptors: Vec<OwnedFd>,
    ) -> Option<String> {
        let left_out = match captured.left_out {
            0 => String::new(),
            left_out => format!(", {left_out} did not stop"),
        };
        let service = watch.service();
        let news = News {
            process: captured.process,
            number: Some(captured.number),
            headline: format!(
                "{} ({}): {} captured in {}{left_out}",
                captured.comm,
                captured.process,
                count(captured.threads, "thread"),
                duration(captured.pause_us)
            ),
            facts: String::new(),
            time_us: captured.time_us,
            expected: captured.more,
            unsettled: None,
            copied: false,
        };
        let id = match id(service, &news) {
            Ok(id) => id,
            Err(line) => return Some(line),
        };
        let report = small::of_capture(id.as_str(), &service.name, &captured);
        let job = job(service, &id);
        self.take(watch, news, &id, report, job, descriptors)
    }

    /// Takes the end of an incident that was told before it was settled.
    pub(crate) fn settled(&mut self, service: &Service, settlement: Settlement) {
        let number = Some(settlement.number);
        let of_number = |waiting: &&mut Waiting| waiting.number == number && waiting.service == service.name;
        if let Some(waiting) = self.waiting.iter_mut().find(of_number) {
            waiting.settle(settlement, core_job(service));
        }
    }

    /// Takes the end of a process that no fault announced.
    pub(crate) fn ended(
        &mut self,
        watch: &Watch,
        end: ProcessEnd,
        descriptors: Vec<OwnedFd>,
    ) -> Option<String> {
        let service = watch.service();
        let (what, status, signal, core_dumped) = match end.status {
            ExitStatus::Exited(status) => (format!("exited with status {status}"), Some(status), None, false),
            ExitStatus::Killed { signal, core } => {
                (format!("was killed by {signal}"), None, Some(signal), core)
            }
        };
        let news = News {
            process: end.process,
            number: None,
            headline: format!("{} ({}) {what}", end.comm, end.process),
            facts: String::new(),
            time_us: end.time_us,
            expected: 0,
            unsettled: None,
            copied: false,
        };
        let id = match id(service, &news) {
            Ok(id) => id,
            Err(line) => return Some(line),
        };
        let report = small::of_end(id.as_str(), &service.name, &end);
        let mut job = job(service, &id);
        // Nothing of its memory is left.
        job.formats.retain(|format| {
            use recorder::Format::{Html, Json, Text};
            matches!(format, Json | Text | Html)
        });
        let killed = signal == Some(SigNo::KILL);
        let out_of_memory = killed
            .then(|| oom::evidence(end.process))
            .flatten()
            .or(end.out_of_memory);
        let refused = match signal {
            Some(SigNo::SYS) => seccomp::refused_call(end.process),
            _ => None,
        };
        if signal == Some(SigNo::SYS) && refused.is_none() {
            job.missing.push(Missing {
                step: "system call".to_owned(),
                reason: "the kernel's log cannot be read, or tells nothing of it".to_owned(),
            });
        }
        job.ended = Some(Ended {
            status,
            signal,
            core_dumped,
            out_of_memory,
            refused,
        });
        self.take(watch, news, &id, report, job, descriptors)
    }

    /// Takes more descriptors of an incident's modules.
    pub(crate) fn modules(&mut self, service: &Service, number: u64, descriptors: Vec<OwnedFd>) {
        if let Some(waiting) = self
            .waiting
            .iter_mut()
            .find(|waiting| waiting.number == Some(number) && waiting.service == service.name)
        {
            waiting.modules.extend(descriptors);
            waiting.expected = waiting.expected.saturating_sub(1);
        }
    }

    /// The service's tracer is gone: what it has not sent will not come.
    pub(crate) fn tracer_gone(&mut self, service: &Service) {
        let of_service = |waiting: &&mut Waiting| waiting.service == service.name;
        for waiting in self.waiting.iter_mut().filter(of_service) {
            waiting.leave();
        }
    }

    fn has_room_for(&self, service: &Service) -> bool {
        let of_service = self
            .waiting
            .iter()
            .filter(|waiting| waiting.service == service.name);
        of_service.count() < MAX_WAITING && self.waiting.len() < MAX_WAITING_IN_ALL
    }

    fn take(
        &mut self,
        watch: &Watch,
        news: News,
        id: &Id,
        mut small: Report,
        mut job: Job,
        descriptors: Vec<OwnedFd>,
    ) -> Option<String> {
        let News {
            process,
            number,
            headline,
            facts,
            time_us,
            expected,
            unsettled,
            copied,
        } = news;
        let service = watch.service();
        let identity = watch.identity(process);
        let logs = Logs::of(service, process, &identity, self.runs_program);
        let Identity {
            unit,
            invocation_id,
            cgroup,
        } = identity;
        small.service.unit.clone_from(&unit);
        small.service.invocation_id.clone_from(&invocation_id);
        small.service.cgroup.clone_from(&cgroup);
        job.service = recorder::Service {
            name: Some(service.name.clone()),
            unit,
            invocation_id,
            cgroup,
        };
        let pending = match self.begin(id, &small) {
            Ok(pending) => pending,
            Err(reason) => return Some(format!("{headline}{facts}; no report: {reason}")),
        };
        fail::point("front.incident.small");
        let mut descriptors = descriptors.into_iter();
        let capture = if !self.has_room_for(service) {
            Err("too many incidents came at once".to_owned())
        } else if number.is_some() {
            let capture = descriptors.next();
            capture.ok_or_else(|| "too many files are open in this process".to_owned())
        } else {
            descriptors
                .next()
                .map_or_else(|| empty_capture(process, time_us), Ok)
        };
        let capture = match capture {
            Ok(capture) => capture,
            Err(reason) => {
                let small = conclude_small(&headline, pending, Vec::new(), small, &reason);
                self.concluded.push(small);
                return None;
            }
        };
        let mut waiting = Waiting {
            service: service.name.clone(),
            number,
            dump_interval: service.report.dump_interval.0,
            headline,
            pending,
            small,
            job,
            capture,
            modules: Vec::new(),
            copy: Vec::new(),
            logs,
            expected,
            unsettled,
        };
        waiting.take_copy(copied, &mut descriptors, core_job(service));
        waiting.modules = descriptors.collect();
        self.waiting.push_back(waiting);
        self.collect();
        None
    }

    /// Writes the small record. On a full disk older reports go for it, as far as the limits want room.
    fn begin(&mut self, id: &Id, small: &Report) -> Result<PendingReport, String> {
        let store = self.store.as_ref().map_err(ToString::to_string)?;
        let create = || store.begin(id)?.create_small(small);
        let created = match create() {
            Err(error) if error.is_full() => {
                let now = Instant::now();
                self.retained.hurry(now);
                self.retained.hold(store, now);
                create()
            }
            created => created,
        };
        created.map_err(|error| error.to_string())
    }
}

fn id(service: &Service, news: &News) -> Result<Id, String> {
    let time = jiff::Timestamp::from_microsecond(news.time_us).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Id::new(time, &service.name, news.process).map_err(|error| {
        let News { headline, facts, .. } = news;
        format!("{headline}{facts}; no report: cannot draw a random id: {error}")
    })
}

/// What the tracer's message says of a fault, beyond its headline.
fn facts(incident: &Incident) -> String {
    let code = incident.code.and_then(|code| code_name(incident.signal, code));
    let place = incident.module.as_ref().zip(incident.offset);
    [
        code.map(|name| format!(" ({name})")),
        incident
            .address
            .map(|address| format!(" at address {address:#x}")),
        incident.pc.map(|pc| format!(", pc {pc:#x}")),
        place.map(|(module, offset)| format!(" in {module}+{offset:#x}")),
        incident
            .settled
            .then(|| outcome_of(incident.verdict.taken.name())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The core that a service wants of its processes.
fn core_job(service: &Service) -> CoreJob {
    CoreJob {
        extent: service.report.core,
        limit: service.report.core_limit,
    }
}

fn job(service: &Service, id: &Id) -> Job {
    let on_request = [
        (Format::Text, recorder::Format::Text),
        (Format::Html, recorder::Format::Html),
        (Format::Core, recorder::Format::Core),
        (Format::Minidump, recorder::Format::Minidump),
    ];
    let asked_for = on_request
        .into_iter()
        .filter(|(format, _)| service.report.formats.contains(format));
    Job {
        id: id.to_string(),
        formats: [recorder::Format::Json, recorder::Format::Memory]
            .into_iter()
            .chain(asked_for.map(|(_, format)| format))
            .collect(),
        ..Job::default()
    }
}

/// A capture of a process that nobody could look at.
fn empty_capture(process: Pid, time_us: i64) -> Result<OwnedFd, String> {
    let mut capture = Capture::default();
    capture.facts.kind = Kind::Exit;
    capture.facts.time_us = time_us;
    capture.facts.process.pid = process.0;
    capture.miss("process", "it was gone before anything of it could be read");
    seal_capture(&capture).map_err(|error| error.to_string())
}
