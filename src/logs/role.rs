//! The process that collects log lines: what is wanted in, lines out, and done.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use serde::{Deserialize, Serialize};

use crate::ipc::{Channel, ChannelError, role_log};
use crate::sys::{fail, process};

use super::{Collected, MAX_BYTES, Wanted};

/// CPU time, seconds: a journal of gigabytes is searched in one.
const CPU_SECONDS: u64 = 10;
/// The largest memory file of lines that is read: JSON escapes some bytes sixfold.
const MAX_SIZE: u64 = 8 * MAX_BYTES as u64;

/// From a front to a collector.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToCollector {
    /// Collect these. Beside it, where stderr is wanted: the descriptor.
    Wanted(Wanted),
}

/// From a collector to its front.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromCollector {
    /// Here they are: beside it a memory file for [`read`].
    Done,
    /// A line of the collector's log.
    Log(String),
}

/// Why a collector ends without lines.
#[derive(Debug, thiserror::Error)]
enum RoleError {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("failed to hand log lines over: {0}")]
    Io(#[from] io::Error),
}

/// Collects once, on descriptor 0.
pub fn main() -> ExitCode {
    match work() {
        Ok(()) | Err(RoleError::Channel(ChannelError::Closed)) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<(), RoleError> {
    process::become_a_role();
    // It reads what others wrote, and starts nothing.
    let _ = prctl::set_no_new_privs();
    let _ = setrlimit(Resource::RLIMIT_CPU, CPU_SECONDS, CPU_SECONDS);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let mut channel = Channel::new(std::io::stdin().as_fd().try_clone_to_owned()?);
    role_log::send_through(&channel, FromCollector::Log)?;
    let (ToCollector::Wanted(wanted), descriptors) = channel.receive()?;
    fail::point("collector.start");
    let lines = write(&wanted.collect(descriptors.first()))?;
    channel.send_waiting(&FromCollector::Done, vec![lines])?;
    Ok(())
}

fn write(collected: &Collected) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"sickbay-logs", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&serde_json::to_vec(collected)?)?;
    Ok(file.into())
}

/// Reads what a collector has handed over.
///
/// # Errors
///
/// What is wrong with the file.
pub fn read(lines: OwnedFd) -> io::Result<Collected> {
    let mut file = File::from(lines);
    io::Seek::rewind(&mut file)?;
    let mut bytes = Vec::new();
    file.take(MAX_SIZE).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}
