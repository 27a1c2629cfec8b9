//! `sickbay release`: asked of the daemon.

use std::process::ExitCode;

use super::socket::Socket;
use crate::supervisor::control::Request;

/// Let go of a service, so that a debugger can attach; 'hold' takes it up again
#[derive(Debug, clap::Args)]
pub struct Release {
    /// The service, as it is configured
    service: String,
    #[command(flatten)]
    socket: Socket,
}

impl Release {
    /// Returns once it is done.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let service = self.service;
        self.socket.ask(&Request::Release { service })?;
        Ok(ExitCode::SUCCESS)
    }
}
