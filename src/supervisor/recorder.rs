//! A recorder process, seen from the front.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use crate::ipc::{Channel, ChannelError, Received};
use crate::recorder::{Counted, FromRecorder, Job, Outcome, ToRecorder};

use crate::store::Part;
use crate::sys::SigNo;

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
    /// What is known of the fault, once it has asked.
    counted: Option<Counted>,
    asked: bool,
}

/// What a recorder is started with; another can be started with the same.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) job: Job,
    pub(super) capture: OwnedFd,
    pub(super) logs: Option<OwnedFd>,
    /// The files of a copied process, for a job with a core.
    pub(super) copy: Vec<OwnedFd>,
    pub(super) modules: Vec<OwnedFd>,
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
    /// Starts a recorder and gives it its job.
    pub(super) fn start(order: &Order, outputs: &[Part]) -> Result<Self, StartError> {
        let (mut channel, theirs) = Channel::pair()?;
        let child = Command::new(OURSELVES)
            .arg0("sickbay")
            .arg("recorder")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let message = ToRecorder::Job {
            job: Box::new(order.job.clone()),
            logs: order.logs.is_some(),
            modules: order.modules.len(),
        };
        let mut descriptors = vec![order.capture.try_clone()?];
        for descriptor in order.logs.iter().chain(&order.copy) {
            descriptors.push(descriptor.try_clone()?);
        }
        let before_copy = 1 + usize::from(order.logs.is_some());
        for (place, output) in outputs.iter().enumerate() {
            descriptors.insert(before_copy + place, output.as_fd().try_clone_to_owned()?);
        }
        tell(&mut channel, &message, descriptors)?;
        for part in order.modules.chunks(DESCRIPTORS) {
            let part: io::Result<Vec<OwnedFd>> = part.iter().map(OwnedFd::try_clone).collect();
            tell(&mut channel, &ToRecorder::Modules, part?)?;
        }
        Ok(Self {
            channel,
            child,
            counted: None,
            asked: false,
        })
    }

    /// What became of its job, once that is known; of a job with a core this comes twice. `count` counts the incident by
    /// its fingerprint, once.
    pub(super) fn finished(
        &mut self,
        overdue: bool,
        count: impl Fn(&str) -> Result<Counted, String>,
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
                Ok(Received::Message(FromRecorder::Count(fingerprint), _)) if !self.asked => {
                    self.asked = true;
                    let count = count(&fingerprint);
                    self.counted = count.as_ref().ok().cloned();
                    let answer = ToRecorder::Counted(count);
                    match tell(&mut self.channel, &answer, Vec::new()) {
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
                Err(ChannelError::Closed) => Finished::Failed(self.end()),
                Err(error) => Finished::Failed(error.to_string()),
            };
        };
        Some(finished)
    }

    /// What is known of the fault, if it was asked about.
    pub(super) fn counted(&self) -> Option<Counted> {
        self.counted.clone()
    }

    /// How it ended.
    fn end(&mut self) -> String {
        // It may stay for whatever reason after it has closed the channel.
        let _ = self.child.kill();
        let signal = self.child.wait().ok().and_then(|status| status.signal());
        match signal {
            Some(signal) => format!("the recorder died of {}", SigNo(signal)),
            None => "the recorder ended without an outcome".to_owned(),
        }
    }
}

/// Sends a message. A recorder that is gone is no failure: its end is heard where its outcome is awaited, and another may
/// take its place.
fn tell(channel: &mut Channel, message: &ToRecorder, descriptors: Vec<OwnedFd>) -> Result<(), ChannelError> {
    match channel.send(message, descriptors) {
        Err(ChannelError::Closed) => Ok(()),
        sent => sent,
    }
}

impl Drop for Recorder {
    /// It ends by itself, or must not go on; either way it is reaped here.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorder_that_is_gone_is_told_all_the_same() {
        let (mut channel, theirs) = Channel::pair().unwrap();
        drop(theirs);
        for _ in 0..2 {
            assert!(
                tell(
                    &mut channel,
                    &ToRecorder::Counted(Ok(Counted::default())),
                    Vec::new()
                )
                .is_ok()
            );
        }
        assert!(matches!(
            channel.try_receive::<FromRecorder>(),
            Err(ChannelError::Closed)
        ));
    }
}
