//! A process that collects log lines, seen from the front.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::stat::{SFlag, fstat};

use crate::config::Service;
use crate::ipc::{Channel, ChannelError, Received};
use crate::logs::role::{FromCollector, ToCollector};
use crate::logs::{OfProcess, Wanted};
use crate::service::Identity;
use crate::sys::Pid;

use super::console;
use super::program::OURSELVES;

/// How long a collector may take; the report goes without lines past it.
const PATIENCE: Duration = Duration::from_secs(3);

/// The log lines of one report, on their way.
#[derive(Debug)]
pub(super) enum Logs {
    /// Nothing is wanted.
    None,
    /// To be collected when a place is free.
    Wanted(Box<Wanted>),
    /// Being collected.
    Collecting(Collector),
    /// In that memory file.
    Collected(OwnedFd),
    /// Not to be had, for that reason.
    Failed(String),
}

/// A running collector.
#[derive(Debug)]
pub(super) struct Collector {
    channel: Channel,
    child: Child,
    deadline: Instant,
}

impl Logs {
    /// What a report about that process should have.
    pub(super) fn of(service: &Service, process: Pid, identity: &Identity, run: bool) -> Self {
        // Units of logins and of users' own managers hold many programs.
        let unit = identity
            .unit
            .clone()
            .filter(|unit| unit.ends_with(".service") && !unit.starts_with("user@"));
        let journal = service.logs.journal && unit.is_some();
        let wanted = Wanted {
            journal: journal.then(|| OfProcess {
                pid: process,
                since_us: crate::service::process::started_us(process),
                unit,
                invocation_id: identity.invocation_id.clone(),
            }),
            files: service.logs.files.clone(),
            stderr: run && stderr_is_a_file(),
        };
        if wanted.is_nothing() {
            Self::None
        } else {
            Self::Wanted(Box::new(wanted))
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        !matches!(self, Self::Wanted(_) | Self::Collecting(_))
    }

    pub(super) fn is_collecting(&self) -> bool {
        matches!(self, Self::Collecting(_))
    }

    /// Starts a collector, if one is wanted.
    pub(super) fn start(&mut self) {
        if let Self::Wanted(wanted) = self {
            *self = match Collector::start(wanted) {
                Ok(collector) => Self::Collecting(collector),
                Err(error) => Self::Failed(format!("failed to start a collector: {error}")),
            };
        }
    }

    /// Takes what the collector has, if it has it.
    pub(super) fn advance(&mut self) {
        if let Self::Collecting(collector) = self
            && let Some(done) = collector.finished()
        {
            *self = done;
        }
    }

    pub(super) fn source(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Collecting(collector) => Some(collector.channel.as_fd()),
            _ => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Collecting(collector) => Some(collector.deadline),
            _ => None,
        }
    }
}

impl Collector {
    fn start(wanted: &Wanted) -> Result<Self, ChannelError> {
        let (mut channel, theirs) = Channel::pair().map_err(ChannelError::Io)?;
        let child = Command::new(OURSELVES)
            .arg0("sickbay")
            .arg("collector")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(ChannelError::Io)?;
        let stderr = wanted
            .stderr
            .then(|| std::io::stderr().as_fd().try_clone_to_owned().ok())
            .flatten();
        channel.send(&ToCollector::Wanted(wanted.clone()), stderr.into_iter().collect())?;
        Ok(Self {
            channel,
            child,
            deadline: Instant::now() + PATIENCE,
        })
    }

    /// What became of it, once that is known. One that takes too long is ended.
    fn finished(&mut self) -> Option<Logs> {
        loop {
            match self.channel.try_receive() {
                Ok(Received::Message(FromCollector::Log(line), _)) => console::say(&line),
                Ok(Received::Message(FromCollector::Done, descriptors)) => {
                    let lines = descriptors.into_iter().next();
                    return Some(lines.map_or_else(|| Logs::Failed("they got lost".into()), Logs::Collected));
                }
                Ok(Received::Nothing) if Instant::now() >= self.deadline => {
                    return Some(Logs::Failed("they could not be read in time".into()));
                }
                Ok(Received::Nothing) => return None,
                Err(error) => return Some(Logs::Failed(format!("the collector: {error}"))),
            }
        }
    }
}

impl Drop for Collector {
    /// It ends by itself, or must not go on; either way it is reaped here.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether what the program has for stderr under `run`, which is ours, keeps what is written to it.
fn stderr_is_a_file() -> bool {
    let kind = fstat(std::io::stderr()).map(|stat| stat.st_mode & SFlag::S_IFMT.bits());
    kind == Ok(SFlag::S_IFREG.bits())
}
