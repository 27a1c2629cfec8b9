//! `--socket`, for every verb that talks to a daemon, and the talk itself.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::exit;
use crate::supervisor::control::{
    Answer, Client, ClientError, Failure, Reason, Request, default_path, enrolment_path,
};
use crate::sys::status::Status;
use crate::sys::{Pid, Tid};

/// What our processes are called.
const OURSELVES: &str = "sickbay";

/// Where the daemon listens.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Socket {
    /// The daemon's control socket [default: below $RUNTIME_DIRECTORY, else /run/sickbay/control.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Socket {
    /// The path that was named, or the default; none where this user and environment have none.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let is_root = nix::unistd::geteuid().is_root();
        self.socket
            .clone()
            .or_else(|| default_path(is_root, |name| std::env::var_os(name)))
    }

    /// Asks the daemon at its socket for enrolment, which is open to all.
    pub(super) fn enroll(&self, request: &Request, time: Duration) -> anyhow::Result<Answer> {
        let path = self
            .path()
            .context("no place for a control socket; name it with --socket")?;
        Ok(Client::connect(&enrolment_path(&path))?.ask_within(request, time)?)
    }

    /// Whoever supervises that thread: `run`, `attach` or the daemon; or the daemon whose socket was named.
    pub(super) fn of_thread(&self, tid: Tid) -> Result<Client, ClientError> {
        if let Some(path) = &self.socket {
            return Client::connect(path);
        }
        let status = Status::read(tid).map_err(|_| not_found(format!("there is no thread {tid}")))?;
        let tracer = Tid(status.tracer);
        let Some(traces) = Status::read(tracer).ok().filter(|_| tracer.0 != 0) else {
            return Err(not_found(format!(
                "thread {tid} is not supervised; 'sickbay attach --pid {}' supervises its process",
                status.tgid
            )));
        };
        let supervisor = Pid(traces.parent);
        let error = match Client::connect_to_watch(supervisor) {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        if traces.name != OURSELVES {
            let name = traces.name;
            return Err(not_found(format!(
                "thread {tid} is traced by {name} (pid {tracer}), not by Sickbay"
            )));
        }
        match self.path().map(|path| Client::connect(&path)) {
            Some(Ok(daemon)) if daemon.is_with(supervisor) => Ok(daemon),
            // Another's, which may be the daemon.
            Some(Err(refused @ ClientError::NotPermitted(_))) if !is_ours(supervisor) => Err(refused),
            _ => Err(error),
        }
    }

    /// Asks the daemon.
    pub(super) fn ask(&self, request: &Request) -> anyhow::Result<Answer> {
        let path = self
            .path()
            .context("no place for a control socket; name it with --socket")?;
        Ok(Client::connect(&path)?.ask(request)?)
    }
}

fn is_ours(process: Pid) -> bool {
    let owner = std::fs::metadata(format!("/proc/{process}"));
    owner.is_ok_and(|owner| owner.uid() == nix::unistd::geteuid().as_raw())
}

fn not_found(message: String) -> ClientError {
    ClientError::Failed(Failure {
        reason: Reason::NotFound,
        message,
    })
}

/// The exit status for what a daemon, or the lack of one, answered.
pub(super) fn status_of(error: &ClientError) -> u8 {
    match error {
        ClientError::NoDaemon(_) => exit::NO_DAEMON,
        ClientError::NotPermitted(_) => exit::NOT_PERMITTED,
        ClientError::Failed(failure) => match failure.reason {
            Reason::NotFound => exit::NOT_FOUND,
            Reason::NotPermitted => exit::NOT_PERMITTED,
            Reason::BadConfiguration => exit::BAD_CONFIG,
            Reason::Malformed | Reason::Failed => exit::FAILURE,
        },
        ClientError::NoFront { .. } | ClientError::Busy(_) | ClientError::Io { .. } => exit::FAILURE,
    }
}
