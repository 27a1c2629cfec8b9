//! From an incident to a report in the store.
//!
//! The small record is on disk before anything else is tried, so whatever becomes of a recorder, or of us, the
//! incident is known. Recorders run beside each other up to a limit; each has a time limit. One that dies or is
//! ended leaves the small record, which then says so. [`stage`] holds what is particular to one incident.

mod stage;

use std::collections::{HashSet, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};

use crate::capture::{Capture, Kind};
use crate::config::{Format, Service};
use crate::diagnose::Ended;
use crate::ipc::{Incident, ProcessEnd, seal_capture};
use crate::recorder::{self, Job};
use crate::report::Report;
use crate::store::{Id, Store};
use crate::sys::wait::ExitStatus;
use crate::sys::{Pid, SigNo, fail};

use super::oom;
use super::recorder::Finished;
use super::small;
use stage::{Running, Waiting, conclude_small};

/// Recorders that run at once.
const MAX_RECORDERS: usize = 4;
/// Incidents that wait for a recorder, or for their last descriptors. Past it the small record has to do.
const MAX_WAITING: usize = 32;
/// The most processes whose records are remembered.
const MAX_TOLD: usize = 4096;

/// Incidents on their way into the store.
#[derive(Debug)]
pub(super) struct Recording {
    store: Store,
    service: Service,
    waiting: VecDeque<Waiting>,
    running: Vec<Running>,
    told: HashSet<Pid>,
}

/// What is known of an incident before a recorder has seen it.
struct News {
    process: Pid,
    number: Option<u64>,
    headline: String,
    time_us: i64,
    expected: usize,
}

impl Recording {
    pub(super) fn new(store: Store, service: Service) -> Self {
        Self {
            store,
            service,
            waiting: VecDeque::new(),
            running: Vec::new(),
            told: HashSet::new(),
        }
    }

    /// Takes a fault. Returns what went wrong, as a line for the operator.
    pub(super) fn incident(&mut self, incident: Incident, descriptors: Vec<OwnedFd>) -> Option<String> {
        let news = News {
            process: incident.process,
            number: Some(incident.number),
            headline: format!(
                "{} ({}): thread {} ({}) took {}",
                incident.comm, incident.process, incident.thread_name, incident.tid, incident.signal
            ),
            time_us: incident.time_us,
            expected: incident.more,
        };
        let id = match self.id(&news) {
            Ok(id) => id,
            Err(line) => return Some(line),
        };
        let report = small::of_incident(id.as_str(), &self.service.name, &incident);
        let mut job = self.job(&id);
        let verdict = incident.verdict;
        job.action = Some(recorder::Action {
            requested: verdict
                .requested
                .iter()
                .map(|action| action.name().to_owned())
                .collect(),
            taken: verdict.taken.name().to_owned(),
            reason: verdict.reason,
            evidence: verdict.evidence,
            rule: verdict.rule,
        });
        self.take(news, &id, report, job, descriptors)
    }

    /// Takes the end of a process that no fault announced.
    pub(super) fn ended(&mut self, end: ProcessEnd, descriptors: Vec<OwnedFd>) -> Option<String> {
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
            time_us: end.time_us,
            expected: 0,
        };
        let id = match self.id(&news) {
            Ok(id) => id,
            Err(line) => return Some(line),
        };
        let report = small::of_end(id.as_str(), &self.service.name, &end);
        let mut job = self.job(&id);
        // Nothing of its memory is left.
        job.formats.retain(|format| *format != recorder::Format::Memory);
        let killed = signal == Some(SigNo::KILL);
        let out_of_memory = killed.then(|| oom::evidence(end.process)).flatten();
        job.ended = Some(Ended {
            status,
            signal,
            core_dumped,
            out_of_memory,
        });
        self.take(news, &id, report, job, descriptors)
    }

    /// Takes more descriptors of an incident's modules.
    pub(super) fn modules(&mut self, number: u64, descriptors: Vec<OwnedFd>) {
        if let Some(waiting) = self
            .waiting
            .iter_mut()
            .find(|waiting| waiting.number == Some(number))
        {
            waiting.modules.extend(descriptors);
            waiting.expected = waiting.expected.saturating_sub(1);
        }
    }

    /// The tracer is gone: what it has not sent will not come.
    pub(super) fn tracer_gone(&mut self) {
        for waiting in &mut self.waiting {
            waiting.number = None;
            waiting.expected = 0;
        }
    }

    /// Starts recorders and takes what they have finished. Returns lines for the operator.
    pub(super) fn advance(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for place in (0..self.running.len()).rev() {
            if let Some(finished) = self.finished(place) {
                let running = self.running.swap_remove(place);
                lines.push(running.conclude(finished));
            }
        }
        while self.running.len() < MAX_RECORDERS {
            let Some(place) = self.waiting.iter().position(|waiting| waiting.expected == 0) else {
                break;
            };
            if let Some(waiting) = self.waiting.remove(place) {
                match waiting.start() {
                    Ok(running) => self.running.push(running),
                    Err(line) => lines.push(line),
                }
            }
        }
        lines
    }

    /// The sockets of running recorders.
    pub(super) fn sources(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.running
            .iter()
            .map(|running| PollFd::new(running.recorder.channel.as_fd(), PollFlags::POLLIN))
    }

    /// When the next recorder has had its time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.running.iter().map(|running| running.deadline).min()
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Whether there is a record about that process.
    pub(super) fn has_told_of(&self, process: Pid) -> bool {
        self.told.contains(&process)
    }

    /// Waits for no recorder any longer.
    pub(super) fn give_up(&mut self) {
        self.waiting.clear();
        for running in &mut self.running {
            running.deadline = Instant::now();
        }
    }

    fn id(&self, news: &News) -> Result<Id, String> {
        let time = jiff::Timestamp::from_microsecond(news.time_us).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Id::new(time, &self.service.name, news.process)
            .map_err(|error| format!("{}; no report: cannot draw a random id: {error}", news.headline))
    }

    fn job(&self, id: &Id) -> Job {
        let text = self
            .service
            .report
            .formats
            .contains(&Format::Text)
            .then_some(recorder::Format::Text);
        Job {
            id: id.to_string(),
            service: recorder::Service {
                name: Some(self.service.name.clone()),
                ..recorder::Service::default()
            },
            formats: [recorder::Format::Json, recorder::Format::Memory]
                .into_iter()
                .chain(text)
                .collect(),
            ..Job::default()
        }
    }

    fn take(
        &mut self,
        news: News,
        id: &Id,
        small: Report,
        job: Job,
        descriptors: Vec<OwnedFd>,
    ) -> Option<String> {
        let News {
            process,
            number,
            headline,
            time_us,
            expected,
        } = news;
        if self.told.len() < MAX_TOLD {
            self.told.insert(process);
        }
        let pending = match self.store.begin(id).and_then(|draft| draft.create_small(&small)) {
            Ok(pending) => pending,
            Err(error) => return Some(format!("{headline}; no report: {error}")),
        };
        fail::point("front.incident.small");
        if self.waiting.len() >= MAX_WAITING {
            return Some(conclude_small(
                &headline,
                pending,
                small,
                "too many incidents came at once",
            ));
        }
        if number.is_some() && descriptors.is_empty() {
            return Some(conclude_small(
                &headline,
                pending,
                small,
                "too many files are open in this process",
            ));
        }
        let mut descriptors = descriptors.into_iter();
        let capture = match descriptors
            .next()
            .map_or_else(|| empty_capture(process, time_us), Ok)
        {
            Ok(capture) => capture,
            Err(reason) => return Some(conclude_small(&headline, pending, small, &reason)),
        };
        let modules = descriptors.collect();
        self.waiting.push_back(Waiting {
            number,
            headline,
            pending,
            small,
            job,
            capture,
            modules,
            expected,
        });
        None
    }

    fn finished(&mut self, place: usize) -> Option<Finished> {
        let running = self.running.get_mut(place)?;
        let overdue = Instant::now() >= running.deadline;
        running.recorder.finished(overdue)
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
