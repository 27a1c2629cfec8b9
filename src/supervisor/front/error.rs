//! Why a watch does not take place, or ends early.

use std::io;

use crate::service::Absent;
use crate::store::StoreError;
use crate::supervisor::tracer::StartError;
use crate::supervisor::watch::{MAX_RESTARTS, Refusal};
use crate::sys::status::Status;
use crate::sys::{Pid, Tid, tasks};

/// Why a watch did not take place.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// The process cannot be attached.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is nothing to attach to.
    #[error("cannot attach: {0}")]
    Absent(#[from] Absent),
    /// Reports cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no tracer.
    #[error(transparent)]
    Tracer(#[from] StartError),
    /// The tracer died again and again.
    #[error("gave up: {MAX_RESTARTS} tracers died within a minute; the service runs on unsupervised")]
    TracersDie,
    /// A system call failed.
    #[error("failed to {operation}: {source}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
}

pub(super) fn system(operation: &'static str) -> impl FnOnce(io::Error) -> FrontError {
    move |source| FrontError::System { operation, source }
}

/// Of a process that is only waited for.
pub(super) fn ended(process: Pid) -> Refusal {
    let parent = parent_of(process).map_or_else(String::new, |parent| format!(" {parent}"));
    Refusal {
        process,
        reason: format!("it has ended; only its parent{parent} has not taken notice yet"),
        permission: false,
        absent: true,
    }
}

/// Name and id, such as "nginx (pid 812)".
fn parent_of(process: Pid) -> Option<String> {
    let parent = Status::read(process.leader()).ok()?.parent;
    Some(format!("{} (pid {parent})", tasks::name(Tid(parent))?))
}

pub(super) fn no_pidfd(process: Pid, source: io::Error) -> FrontError {
    match source.raw_os_error() {
        Some(libc::ESRCH | libc::EINVAL) => FrontError::Refused(Refusal {
            process,
            reason: format!("no such process {process}; look it up with 'pgrep' or 'ps'"),
            permission: false,
            absent: true,
        }),
        _ => FrontError::System {
            operation: "open a descriptor of the process",
            source,
        },
    }
}
