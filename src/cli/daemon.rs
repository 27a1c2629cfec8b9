//! `sickbay daemon`: supervision of everything that is configured, until SIGTERM.

use std::path::PathBuf;
use std::process::ExitCode;

use super::socket::Socket;
use super::state_dir::StateDir;
use crate::daemon::Settings;
use crate::store::Store;

/// Supervise every configured service; SIGHUP reads the configuration again, SIGTERM lets go
#[derive(Debug, clap::Args)]
pub struct Daemon {
    /// Read this configuration file instead of the machine's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) state_dir: StateDir,
    #[command(flatten)]
    socket: Socket,
}

impl Daemon {
    /// Runs until it is told to stop.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let settings = Settings::read(self.config)?;
        let configured = settings.config().store.state_dir.clone();
        let state_dir = self.state_dir.state_dir.or(configured);
        let store = Store::open(&StateDir { state_dir }.resolve()?)?;
        crate::daemon::Daemon::run(settings, store, self.socket.path().as_deref())?;
        Ok(ExitCode::SUCCESS)
    }
}
