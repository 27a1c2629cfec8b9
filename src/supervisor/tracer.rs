//! The tracer process, seen from the front.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::config::{Ladder, Service};
use crate::ipc::{Channel, ChannelError, ToTracer};
use crate::sys::{Pid, Tid};

use super::program::OURSELVES;

/// A running tracer.
#[derive(Debug)]
pub(super) struct Tracer {
    pub(super) pid: Pid,
    pub(super) channel: Channel,
}

/// Why there is no tracer.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process could not be made.
    #[error("failed to start a tracer: {0}")]
    Spawn(#[from] io::Error),
    /// A message does not reach it, although it lives.
    #[error("failed to talk to a tracer: {0}")]
    Channel(#[from] ChannelError),
    /// The last one has died, or was let go.
    #[error("no tracer is at work; try again once another has taken the service up")]
    Absent,
}

impl Tracer {
    /// Starts a tracer for a service.
    pub(super) fn start(service: &Service) -> Result<Self, StartError> {
        let (channel, theirs) = Channel::pair()?;
        let child = Command::new(OURSELVES)
            .arg0("sickbay")
            .arg("tracer")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut tracer = Self {
            pid: Pid(child.id() as i32),
            channel,
        };
        tracer.configure(service)?;
        Ok(tracer)
    }

    /// Asks it to take up a process.
    pub(super) fn seize(&mut self, process: Pid) -> Result<(), ChannelError> {
        self.tell(&ToTracer::Seize(process))
    }

    /// Asks it to copy a process that it has taken up.
    pub(super) fn capture(&mut self, process: Pid) -> Result<(), ChannelError> {
        self.tell(&ToTracer::Capture(process))
    }

    /// Asks it how things are.
    pub(super) fn ask(&mut self) -> Result<(), ChannelError> {
        self.tell(&ToTracer::Tell)
    }

    /// Asks it which threads were taken out of the service's work.
    pub(super) fn ask_isolated(&mut self) -> Result<(), ChannelError> {
        self.tell(&ToTracer::TellIsolated)
    }

    /// Asks it to do something with a thread that it holds.
    pub(super) fn settle(&mut self, tid: Tid, actions: Ladder, asker: String) -> Result<(), ChannelError> {
        self.tell(&ToTracer::Settle { tid, actions, asker })
    }

    /// Gives it the service anew, with another configuration.
    pub(super) fn configure(&mut self, service: &Service) -> Result<(), ChannelError> {
        self.tell(&ToTracer::Begin(Box::new(service.clone())))
    }

    /// Asks it to tell which signals that process takes.
    pub(super) fn follow(&mut self, process: Pid) -> Result<(), ChannelError> {
        self.tell(&ToTracer::Follow(process))
    }

    /// Tells it that this process stops, or goes on. It is no matter if it does not hear.
    pub(super) fn stopping(&mut self, stopping: bool) {
        let message = if stopping {
            ToTracer::Stopping
        } else {
            ToTracer::GoingOn
        };
        let _ = self.tell(&message);
    }

    /// Asks it to let go of everything.
    pub(super) fn let_go(&mut self) -> Result<(), ChannelError> {
        self.tell(&ToTracer::LetGo)
    }

    /// One that is gone needs not know: its end is heard on the channel, and the next one is told all of it anew.
    fn tell(&mut self, message: &ToTracer) -> Result<(), ChannelError> {
        match self.channel.send(message, Vec::new()) {
            Err(ChannelError::Closed) => Ok(()),
            told => told,
        }
    }
}
