//! A recorder process, seen from the front.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::ipc::{Channel, ChannelError, Received};
use crate::recorder::{FromRecorder, Job, Outcome, ToRecorder};

use crate::store::Part;

use super::console;
use super::program::OURSELVES;

/// Lines of its log that one look takes; a recorder writes hardly any.
const MAX_LINES: usize = 100;
/// Module descriptors in one message.
const DESCRIPTORS: usize = 200;

/// A running recorder.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) channel: Channel,
    child: Child,
    counted: bool,
}

/// What became of a recorder.
#[derive(Debug)]
pub(super) enum Finished {
    /// It did its work.
    Done(Box<Outcome>),
    /// It did not, for this reason.
    Failed(String),
}

/// Why there is no recorder.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("failed to start a recorder: {0}")]
    Spawn(#[from] io::Error),
    #[error("failed to talk to a recorder: {0}")]
    Channel(#[from] ChannelError),
}

impl Recorder {
    /// Starts a recorder and gives it its job. `copy` are the files of a copied process, for a job with a core.
    pub(super) fn start(
        job: Job,
        capture: OwnedFd,
        logs: Option<OwnedFd>,
        outputs: &[Part],
        copy: Vec<OwnedFd>,
        modules: Vec<OwnedFd>,
    ) -> Result<Self, StartError> {
        let (mut channel, theirs) = Channel::pair()?;
        let child = Command::new(OURSELVES)
            .arg0("sickbay")
            .arg("recorder")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let order = ToRecorder::Job {
            job: Box::new(job),
            logs: logs.is_some(),
            modules: modules.len(),
        };
        let mut descriptors = vec![capture];
        descriptors.extend(logs);
        for output in outputs {
            descriptors.push(output.as_fd().try_clone_to_owned()?);
        }
        descriptors.extend(copy);
        channel.send(&order, descriptors)?;
        let mut modules = modules.into_iter();
        loop {
            let part: Vec<OwnedFd> = modules.by_ref().take(DESCRIPTORS).collect();
            if part.is_empty() {
                return Ok(Self {
                    channel,
                    child,
                    counted: false,
                });
            }
            channel.send(&ToRecorder::Modules, part)?;
        }
    }

    /// What became of its job, once that is known; of a job with a core this comes twice. `count` counts the incident by
    /// its fingerprint, once.
    pub(super) fn finished(
        &mut self,
        overdue: bool,
        count: impl Fn(&str) -> Result<u64, String>,
    ) -> Option<Finished> {
        let mut lines = 0;
        let finished = loop {
            break match self.channel.flush().and_then(|()| self.channel.try_receive()) {
                Ok(Received::Message(FromRecorder::Log(line), _)) if lines < MAX_LINES => {
                    console::say(&line);
                    lines += 1;
                    continue;
                }
                Ok(Received::Message(FromRecorder::Log(_), _)) => {
                    Finished::Failed("the recorder says too much".into())
                }
                Ok(Received::Message(FromRecorder::Count(fingerprint), _)) if !self.counted => {
                    self.counted = true;
                    match self
                        .channel
                        .send(&ToRecorder::Occurrences(count(&fingerprint)), Vec::new())
                    {
                        Ok(()) => continue,
                        Err(error) => Finished::Failed(error.to_string()),
                    }
                }
                Ok(Received::Message(FromRecorder::Count(_), _)) => {
                    Finished::Failed("the recorder asks too much".into())
                }
                Ok(Received::Message(FromRecorder::Done(outcome), _)) => Finished::Done(outcome),
                Ok(Received::Nothing) if overdue => Finished::Failed("the recorder took too long".into()),
                Ok(Received::Nothing) => return None,
                Err(ChannelError::Closed) => Finished::Failed("the recorder died".into()),
                Err(error) => Finished::Failed(error.to_string()),
            };
        };
        Some(finished)
    }
}

impl Drop for Recorder {
    /// It ends by itself, or must not go on; either way it is reaped here.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
