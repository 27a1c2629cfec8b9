//! `sickbay enroll`: a program of a service, traced from its first instruction.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use super::socket::Socket;
use crate::supervisor;
use crate::supervisor::control::Request;

/// Have the daemon trace this process, then become the program
///
/// For a unit's ExecStart=: the daemon finds the unit's processes by itself, but some milliseconds after they begin. If
/// it cannot be reached or refuses, one warning says so, and the program starts all the same.
#[derive(Debug, clap::Args)]
pub struct Enroll {
    /// The service, which this process belongs to
    #[arg(long, value_name = "SERVICE")]
    service: String,
    #[command(flatten)]
    socket: Socket,
    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    command: Vec<OsString>,
}

/// How long the daemon may take, a little more than it gives itself.
const PATIENCE: Duration = Duration::from_secs(4);

impl Enroll {
    /// Becomes the program; returns only where that fails.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let service = self.service;
        let enrolled = self.socket.enroll(&Request::Enroll { service }, PATIENCE);
        if let Err(error) = enrolled {
            log::warn!("not traced from its first instruction: {error:#}");
        }
        let Some((program, arguments)) = self.command.split_first() else {
            return Ok(ExitCode::from(super::exit::USAGE));
        };
        Ok(supervisor::become_as_called(program, arguments))
    }
}
