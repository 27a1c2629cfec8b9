//! `sickbay hold`: asked of the daemon.

use std::process::ExitCode;

use super::socket::Socket;
use crate::supervisor::control::Request;

/// Take up a service that was released
#[derive(Debug, clap::Args)]
pub struct Hold {
    /// The service, as it is configured
    service: String,
    #[command(flatten)]
    socket: Socket,
}

impl Hold {
    /// Returns once it is done.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let service = self.service;
        self.socket.ask(&Request::Hold { service })?;
        Ok(ExitCode::SUCCESS)
    }
}
