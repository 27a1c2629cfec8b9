//! The recorder as a process: a job in, files written, an outcome back.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::ipc::{Channel, ChannelError, role_log};
use crate::logs;
use crate::sys::{fail, process};

use super::{CopyFiles, Counted, Format, Job, Outcome, Outputs};

/// From a front to a recorder.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToRecorder {
    /// The job. Beside it: the capture, the log lines, one empty file for each of the job's formats, and for a core of a
    /// copied process its `mem`, `smaps` and `pagemap`.
    Job {
        /// What to write.
        job: Box<Job>,
        /// Whether there are log lines.
        logs: bool,
        /// How many module descriptors follow.
        modules: usize,
    },
    /// Beside it: descriptors of modules.
    Modules,
    /// What is known of the fault that was asked about, or why nothing is.
    Counted(Result<Counted, String>),
    /// The report is in place: now the core. Beside it: one empty file for each format.
    Finish {
        /// The core, and what names it.
        formats: Vec<Format>,
    },
}

/// From a recorder to its front.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromRecorder {
    /// Count the fault with this fingerprint. Asked once at most.
    Count(String),
    /// The job is done, as far as it could be; of a job with a core this comes twice.
    Done(Box<Outcome>),
    /// A line of the recorder's log.
    Log(String),
}

/// Why a recorder ends without an outcome.
#[derive(Debug, thiserror::Error)]
enum RoleError {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("failed to set up a recorder: {0}")]
    Setup(#[from] std::io::Error),
    #[error("the job lacks the descriptors it names")]
    Descriptors,
    #[error("an internal error ended the recorder")]
    Panicked,
}

/// The stack of the thread that does the work, bytes: the libraries that read debug information go down as deep as that is
/// nested. Only what is used of it takes memory.
const STACK: usize = 256 << 20;

/// Does one job on descriptor 0.
pub fn main() -> ExitCode {
    let thread = std::thread::Builder::new()
        .name("recorder".into())
        .stack_size(STACK);
    let done = match thread.spawn(work) {
        Ok(thread) => thread.join().unwrap_or(Err(RoleError::Panicked)),
        // Without room for such a stack ours has to do.
        Err(_) => work(),
    };
    match done {
        Ok(()) | Err(RoleError::Channel(ChannelError::Closed)) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<(), RoleError> {
    process::become_a_role();
    let mut channel = Channel::new(std::io::stdin().as_fd().try_clone_to_owned()?);
    role_log::send_through(&channel, FromRecorder::Log)?;
    fail::point("recorder.start");
    let mut order = Order::receive(&mut channel)?;
    fail::point("recorder.read");
    order.job.missing.extend(super::confine(order.job.core.is_some()));
    // The copy of a process must not outlive whoever wants its core. This comes behind the change of user.
    process::die_with_parent();
    let mut count = |fingerprint: &str| ask_count(&mut channel, fingerprint);
    let (outcome, unfinished) = super::record(
        &order.job,
        order.capture,
        order.modules,
        &order.outputs,
        &mut count,
    );
    fail::point("recorder.written");
    channel.send_waiting(&FromRecorder::Done(Box::new(outcome.abridged())), Vec::new())?;
    let (Some(unfinished), Some(job), Some(copy)) = (unfinished, order.job.core, order.copy) else {
        return Ok(());
    };
    let outputs = receive_outputs(&mut channel)?;
    fail::point("recorder.core");
    let outcome = unfinished.finish(&job, &copy, &outputs);
    fail::point("recorder.core.written");
    channel.send_waiting(&FromRecorder::Done(Box::new(outcome.abridged())), Vec::new())?;
    Ok(())
}

/// Has the front count. Waits for it: its end ends the wait, and it ends a recorder that takes too long.
fn ask_count(channel: &mut Channel, fingerprint: &str) -> Result<Counted, String> {
    let question = FromRecorder::Count(fingerprint.to_owned());
    let answer = channel
        .send_waiting(&question, Vec::new())
        .and_then(|()| channel.receive());
    match answer {
        Ok((ToRecorder::Counted(answer), _)) => answer,
        Ok(_) => Err("the front did not answer".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The files for a core, and for the report that names it.
fn receive_outputs(channel: &mut Channel) -> Result<Outputs, RoleError> {
    match channel.receive()? {
        (ToRecorder::Finish { formats }, descriptors) => {
            outputs_of(&formats, &mut descriptors.into_iter().map(File::from))
        }
        _ => Err(RoleError::Descriptors),
    }
}

/// Takes the files of formats, in their order.
fn outputs_of(formats: &[Format], files: &mut impl Iterator<Item = File>) -> Result<Outputs, RoleError> {
    let mut by_format: Vec<(Format, File)> = formats.iter().copied().zip(files).collect();
    let mut output = |wanted| {
        let place = by_format.iter().position(|(format, _)| *format == wanted)?;
        Some(by_format.swap_remove(place).1)
    };
    Ok(Outputs {
        json: output(Format::Json).ok_or(RoleError::Descriptors)?,
        text: output(Format::Text),
        html: output(Format::Html),
        memory: output(Format::Memory),
        core: output(Format::Core),
        minidump: output(Format::Minidump),
    })
}

/// A job with everything that belongs to it.
struct Order {
    job: Job,
    capture: File,
    modules: Vec<File>,
    outputs: Outputs,
    copy: Option<CopyFiles>,
}

impl Order {
    fn receive(channel: &mut Channel) -> Result<Self, RoleError> {
        let (
            ToRecorder::Job {
                mut job,
                logs,
                modules: expected,
            },
            descriptors,
        ) = channel.receive()?
        else {
            return Err(RoleError::Descriptors);
        };
        let mut files = descriptors.into_iter().map(File::from);
        let capture = files.next().ok_or(RoleError::Descriptors)?;
        if logs {
            let lines = files.next().ok_or(RoleError::Descriptors)?;
            match logs::role::read(lines.into()) {
                Ok(lines) => job.logs = lines,
                Err(error) => job.log_note = Some(format!("no log lines: {error}")),
            }
        }
        let outputs = outputs_of(&job.formats, &mut files)?;
        let mut next = || files.next().ok_or(RoleError::Descriptors);
        let copy = if job.core.is_some() {
            Some(CopyFiles {
                memory: next()?,
                smaps: next()?,
                pagemap: next()?,
                lease: next()?,
            })
        } else {
            None
        };
        let mut modules: Vec<File> = Vec::new();
        while modules.len() < expected {
            let (_, descriptors): (ToRecorder, Vec<OwnedFd>) = channel.receive()?;
            if descriptors.is_empty() {
                return Err(RoleError::Descriptors);
            }
            modules.extend(descriptors.into_iter().map(File::from));
        }
        Ok(Self {
            job: *job,
            capture,
            modules,
            outputs,
            copy,
        })
    }
}
