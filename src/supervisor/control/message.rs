//! Requests and answers: one JSON value on each line. `PROTOCOL.md` explains them.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{Action, Ladder};
use crate::ipc::{IsolatedThread, NotSettled};
use crate::sys::{Pid, Tid};

/// What a client asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How things are, of all services or of one.
    Status {
        /// The service.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
    },
    /// The numbers for monitoring.
    Metrics,
    /// Let go of a service until it is to be held again.
    Release {
        /// The service.
        service: String,
    },
    /// Take a service up again.
    Hold {
        /// The service.
        service: String,
    },
    /// Trace the process that asks, which belongs to that service.
    Enroll {
        /// The service.
        service: String,
    },
    /// Read the configuration again.
    Reload,
    /// A report of each process of a service, which runs on.
    Capture {
        /// The service.
        service: String,
    },
    /// The threads of a service that were taken out of its work after a fault. One of the two names it; whoever watches
    /// one service in the foreground needs neither.
    Isolated {
        /// The service.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// A process of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<Pid>,
    },
    /// Decide about a thread that is held or parked.
    Settle {
        /// The thread.
        tid: Tid,
        /// What to do with it: the first of these that can be done.
        actions: Ladder,
    },
}

/// What it hears.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// How things are.
    Status(Status),
    /// The numbers, in Prometheus' text format.
    Metrics(String),
    /// It is done.
    Done,
    /// The directories of the reports.
    Captured(Vec<PathBuf>),
    /// The threads that were taken out of their service's work.
    Isolated(Vec<IsolatedThread>),
    /// What was done with the thread.
    Settled(Action),
    /// It is not done.
    Failed(Failure),
}

/// Why something is not done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// For programs.
    pub reason: Reason,
    /// For people, with the next step.
    pub message: String,
}

impl Request {
    /// Whether anybody may ask it, of a socket that is open to all.
    pub(super) fn is_enrolment(&self) -> bool {
        matches!(self, Self::Enroll { .. })
    }
}

impl Failure {
    /// The answer to whoever is neither root nor the user of the process that was asked.
    pub(super) fn not_yours() -> Self {
        Self {
            reason: Reason::NotPermitted,
            message:
                "only root and the user that supervises the process may ask, outside of containers; try \
                again with sudo"
                    .to_owned(),
        }
    }

    /// The answer to all but enrolment, where everybody may connect.
    pub(super) fn not_here() -> Self {
        Self {
            reason: Reason::NotPermitted,
            message: "this socket is for enrolment alone; ask control.sock".to_owned(),
        }
    }
}

impl From<NotSettled> for Failure {
    fn from(NotSettled { absent, reason }: NotSettled) -> Self {
        Self {
            reason: if absent { Reason::NotFound } else { Reason::Failed },
            message: reason,
        }
    }
}

/// Why something is not done, for programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is no request.
    Malformed,
    /// There is no such service or thread, or the service has no process.
    NotFound,
    /// The client may only read.
    NotPermitted,
    /// The configuration cannot be used.
    BadConfiguration,
    /// Something else went wrong.
    Failed,
}

/// How things are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its process.
    pub pid: Pid,
    /// When it started.
    pub since: Timestamp,
    /// The services, in the order of the configuration.
    pub services: Vec<ServiceStatus>,
}

/// How one service is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// What it is found by, for example `unit api.service`.
    pub target: String,
    /// What is done with it.
    pub state: State,
    /// Why nothing is held, where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Its processes that were found; their children are held as well.
    pub pids: Vec<Pid>,
    /// Processes that are held.
    pub processes: usize,
    /// Threads that are held.
    pub threads: usize,
    /// Threads that were taken from these processes after a fault; with any, the service is not whole.
    #[serde(default)]
    pub lost: usize,
    /// Stops that were answered since its tracer started.
    pub stops: u64,
    /// Stops per second, of late.
    pub stops_per_second: u64,
    /// Reports since the daemon started.
    pub reports: u64,
}

/// What is done with a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its processes are held.
    Held,
    /// It has no process now.
    Absent,
    /// It was let go on request.
    Released,
    /// Its tracers died again and again; it is tried again later.
    GivenUp,
}
