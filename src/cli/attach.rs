//! `sickbay attach`: supervision of what already runs, until it ends or somebody asks to let go.

use std::process::ExitCode;

use crate::supervisor::Front;
use crate::sys::Pid;

use super::watch::WatchOptions;

/// Supervise a running process in the foreground; SIGINT or SIGTERM lets it go
#[derive(Debug, clap::Args)]
pub struct Attach {
    #[command(flatten)]
    options: WatchOptions,
    /// The process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
}

impl Attach {
    /// Watches the process until it ends, or SIGINT or SIGTERM asks to let go.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let comm = std::fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        Front::attach(self.options.front(comm.trim_end())?, &[Pid(self.pid)])?;
        Ok(ExitCode::SUCCESS)
    }
}
