//! The two stages of an incident on its way to a report: before its recorder runs, and while it runs.

use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::capture::Missing;
use crate::config::Action;
use crate::ipc::{COPY_FILES, Verdict};
use crate::recorder::{self, CoreJob, Counted, Job, Outcome};
use crate::report::Report;
use crate::report::model::Kind;
use crate::store::{Part, PendingReport, Store, StoreError};
use crate::supervisor::collector::Logs;
use crate::supervisor::recorder::{Finished, Order, Recorder};
use crate::supervisor::small;
use crate::supervisor::watch::Settlement;
use crate::sys::fail;

use super::finishing::Finishing;

/// How long one recorder may take.
const RECORDER_TIME: Duration = Duration::from_secs(60);

/// An incident whose recorder has not been started.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) service: String,
    /// Its number among the incidents of the service's tracer, while more of it may come.
    pub(super) number: Option<u64>,
    /// For how long a dump of the same fault does for others.
    pub(super) dump_interval: Duration,
    pub(super) headline: String,
    pub(super) pending: PendingReport,
    pub(super) small: Report,
    pub(super) job: Job,
    pub(super) capture: OwnedFd,
    pub(super) modules: Vec<OwnedFd>,
    pub(super) logs: Logs,
    /// The files of a copied process, where its core is to be written.
    pub(super) copy: Vec<OwnedFd>,
    pub(super) expected: usize,
    /// What was decided and may still change, where the thread is held.
    pub(super) unsettled: Option<Verdict>,
}

/// An incident whose recorder runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) incident: Incident,
    order: Order,
    parts: Vec<Part>,
    pub(super) recorder: Recorder,
    pub(super) deadline: Instant,
}

/// An incident, and its small record.
#[derive(Debug)]
pub(super) struct Incident {
    pub(super) service: String,
    dump_interval: Duration,
    headline: String,
    pending: PendingReport,
    small: Report,
}

/// A record that is in the store.
#[derive(Debug)]
pub(crate) struct Concluded {
    /// What the operator is told.
    pub(crate) line: String,
    /// The small record, with what the recorder found out.
    pub(crate) brief: Box<Report>,
    /// Its directory.
    pub(crate) path: PathBuf,
    /// Whether it is more than the small record.
    pub(crate) whole: bool,
}

impl Waiting {
    /// Takes what was done in the end.
    pub(super) fn settle(&mut self, settlement: Settlement, core: CoreJob) {
        let Settlement {
            verdict,
            copied,
            more,
            descriptors,
            ..
        } = settlement;
        if self.unsettled.take().is_none() {
            // It was settled, and somebody has decided anew.
            return self.decided(verdict);
        }
        self.expected = (self.expected + more).saturating_sub(1);
        self.decided(verdict);
        let mut descriptors = descriptors.into_iter();
        if let Some(capture) = descriptors.next() {
            self.capture = capture;
            self.take_copy(copied, &mut descriptors, core);
            self.modules = descriptors.collect();
        }
    }

    /// Takes the files of a copied process, of which the core will be written when the report is in place.
    pub(super) fn take_copy(
        &mut self,
        copied: bool,
        descriptors: &mut impl Iterator<Item = OwnedFd>,
        core: CoreJob,
    ) {
        if !copied {
            return;
        }
        self.copy = descriptors.by_ref().take(COPY_FILES).collect();
        if self.copy.len() == COPY_FILES {
            self.job
                .formats
                .retain(|format| *format != recorder::Format::Core);
            self.job.core = Some(core);
        } else {
            self.copy.clear();
        }
    }

    /// Its tracer is gone. A thread that was held has taken its signal.
    pub(super) fn leave(&mut self) {
        self.number = None;
        self.expected = 0;
        if let Some(mut verdict) = self.unsettled.take() {
            verdict.reason.push_str(&format!(
                "; but its tracer died before {} was carried out, so the signal is delivered",
                verdict.taken
            ));
            verdict.taken = Action::Deliver;
            self.decided(verdict);
        }
    }

    fn decided(&mut self, verdict: Verdict) {
        self.small.action = small::action(&verdict);
        self.job.action = Some(action(verdict));
    }

    /// Starts the recorder. Without one the small record has to do.
    pub(super) fn start(self) -> Result<Running, Box<Concluded>> {
        let Self {
            service,
            dump_interval,
            headline,
            pending,
            small,
            mut job,
            capture,
            modules,
            logs,
            copy,
            ..
        } = self;
        let logs = match logs {
            Logs::Collected(lines) => Some(lines),
            Logs::Failed(reason) => {
                job.log_note = Some(format!("no log lines: {reason}"));
                None
            }
            Logs::None | Logs::Wanted(_) | Logs::Collecting(_) => None,
        };
        let order = Order {
            job,
            capture,
            logs,
            copy,
            modules,
        };
        let incident = Incident {
            service,
            dump_interval,
            headline,
            pending,
            small,
        };
        Running::begin(incident, order)
    }
}

impl Running {
    /// Whether a core or a minidump is to be written.
    pub(super) fn wants_dump(&self) -> bool {
        let job = &self.order.job;
        job.core.is_some() || job.formats.iter().any(|format| format.is_dump())
    }

    fn begin(incident: Incident, order: Order) -> Result<Self, Box<Concluded>> {
        let formats = &order.job.formats;
        let names: Vec<&str> = formats.iter().map(|format| format.file_name()).collect();
        let parts = match incident.pending.open_parts(&names) {
            Ok(parts) => parts,
            Err(error) => return Err(Box::new(incident.conclude_small(Vec::new(), &error.to_string()))),
        };
        match Recorder::start(&order, &parts) {
            Ok(recorder) => {
                fail::point("front.incident.recorder");
                Ok(Self {
                    incident,
                    order,
                    parts,
                    recorder,
                    deadline: Instant::now() + RECORDER_TIME,
                })
            }
            Err(error) => Err(Box::new(incident.conclude_small(parts, &error.to_string()))),
        }
    }

    /// Starts another recorder in place of one that failed, which reads less of what that one may have failed over.
    pub(super) fn again(self, reason: &str) -> Result<Self, Box<Concluded>> {
        let Self {
            incident,
            mut order,
            parts,
            recorder,
            ..
        } = self;
        // Their names are wanted again.
        drop(parts);
        let job = &mut order.job;
        let less = job.reading.less().and_then(|less| Some((less, less.left_out()?)));
        let Some((less, left_out)) = less else {
            return Err(Box::new(incident.conclude_small(Vec::new(), reason)));
        };
        job.reading = less;
        job.counted = job.counted.take().or_else(|| recorder.counted());
        job.missing.push(Missing {
            step: left_out.to_owned(),
            reason: format!("{reason}; the next one left it alone"),
        });
        drop(recorder);
        Self::begin(incident, order)
    }

    /// Puts what the recorder has written in place of the small record. Where the core comes late, the recorder goes on.
    pub(super) fn conclude(self, finished: Finished) -> (Concluded, Option<Result<Finishing, String>>) {
        let Self {
            incident,
            order,
            parts,
            recorder,
            ..
        } = self;
        let outcome = match finished {
            Finished::Done(outcome) => outcome,
            Finished::Failed(reason) => return (incident.conclude_small(parts, &reason), None),
        };
        if let Some(reason) = &outcome.failure {
            return (incident.conclude_small(parts, reason), None);
        }
        let Incident {
            headline,
            mut pending,
            mut small,
            ..
        } = incident;
        if let Some(user) = outcome.readable_by {
            pending.admit(user);
        }
        let parts = complete(&outcome, parts);
        small.fault.cause = outcome.cause.map(|cause| cause.to_string());
        small.fault.detail.clone_from(&outcome.detail);
        small.fingerprint.clone_from(&outcome.fingerprint);
        small.occurrences = outcome.occurrences;
        let path = pending.path().to_owned();
        let (line, whole) = match pending.commit(parts) {
            Ok(()) => {
                fail::point("front.incident.committed");
                (line(&headline, &outcome, &small, &path), true)
            }
            Err(error) => (only_small(&headline, error, &path), false),
        };
        let late = outcome.core_follows && whole;
        let finishing = late.then(|| Finishing::start(pending, recorder, &order.job.formats));
        let concluded = Concluded {
            line,
            brief: Box::new(small),
            path,
            whole,
        };
        (concluded, finishing)
    }
}

impl Incident {
    /// Counts the fault. Its dump is this report's to write, unless another of late does for it.
    pub(super) fn count(
        &self,
        store: &Store,
        fingerprint: &str,
        wants_dump: bool,
    ) -> Result<Counted, String> {
        let told = |error: StoreError| error.to_string();
        let occurrences = store.count(&self.service, fingerprint).map_err(told)?;
        let dump_of = || store.dump_of(&self.service, fingerprint, self.pending.id(), self.dump_interval);
        let dumped_by = wants_dump.then(dump_of).transpose();
        // One dump too many is better than none.
        let dumped_by = dumped_by.inspect_err(|error| log::warn!("{error}")).ok();
        Ok(Counted {
            occurrences,
            dumped_by: dumped_by.flatten().flatten().map(|id| id.to_string()),
        })
    }

    /// Leaves the small record as all there is, with the reason in it. `parts` of the full one are given up.
    fn conclude_small(self, parts: Vec<Part>, reason: &str) -> Concluded {
        conclude_small(&self.headline, self.pending, parts, self.small, reason)
    }
}

/// Of the files that were opened for a recorder, those that it has completed.
pub(super) fn complete(outcome: &Outcome, mut parts: Vec<Part>) -> Vec<Part> {
    parts.retain(|part| {
        let mut written = outcome.written.iter();
        written.any(|written| written.format.file_name() == part.name())
    });
    parts
}

/// Leaves the small record as all there is, with the reason in it. `parts` of the full one are given up.
pub(super) fn conclude_small(
    headline: &str,
    pending: PendingReport,
    parts: Vec<Part>,
    mut small: Report,
    reason: &str,
) -> Concluded {
    small.incomplete.clear();
    small.missing("report", reason);
    let path = pending.path().to_owned();
    let line = match pending.replace_small(&small, parts) {
        Ok(()) => only_small(headline, reason, &path),
        Err(error) => only_small(headline, format_args!("{reason} ({error})"), &path),
    };
    Concluded {
        line,
        brief: Box::new(small),
        path,
        whole: false,
    }
}

fn only_small(headline: &str, reason: impl Display, path: &Path) -> String {
    format!(
        "{headline}; only a small record, since {reason}: {}",
        path.display()
    )
}

/// What was done, for a recorder.
pub(super) fn action(verdict: Verdict) -> recorder::Action {
    recorder::Action {
        requested: verdict
            .requested
            .iter()
            .map(|action| action.name().to_owned())
            .collect(),
        taken: verdict.taken.name().to_owned(),
        reason: verdict.reason,
        evidence: verdict.evidence,
        rule: verdict.rule,
    }
}

fn line(headline: &str, outcome: &Outcome, small: &Report, path: &Path) -> String {
    // The sentence about an exit begins as the headline ends.
    let repeated = headline.rsplit_once(" was ").map_or("", |(_, what)| what);
    let detail = match outcome.detail.as_deref() {
        Some(detail) if repeated.is_empty() => format!(": {detail}"),
        Some(detail) => detail.strip_prefix(repeated).unwrap_or_default().to_owned(),
        None => String::new(),
    };
    if small.kind == Kind::Capture {
        // Its path is what the verb prints.
        return format!("{headline}{detail}");
    }
    let action = outcome_of(small.action.taken.as_deref().unwrap_or_default());
    format!("{headline}{detail}{action}; report {}", path.display())
}

/// What became of the signal, in a line for the operator; nothing without an action.
pub(super) fn outcome_of(action: &str) -> String {
    match action {
        "" => String::new(),
        "deliver" => "; delivered".to_owned(),
        "suppress" => "; suppressed".to_owned(),
        "throw" => "; turned into an error of the program".to_owned(),
        other => format!("; isolated by {other}"),
    }
}
