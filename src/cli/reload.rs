//! `sickbay reload`: asked of the daemon.

use std::process::ExitCode;

use super::socket::Socket;
use crate::supervisor::control::Request;

/// Make the daemon read its configuration again; one with errors changes nothing
#[derive(Debug, clap::Args)]
pub struct Reload {
    #[command(flatten)]
    socket: Socket,
}

impl Reload {
    /// Returns once it is done.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        self.socket.ask(&Request::Reload)?;
        Ok(ExitCode::SUCCESS)
    }
}
