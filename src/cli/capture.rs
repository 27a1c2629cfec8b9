//! `sickbay capture`: a report of a live process: what is it doing?

use std::process::ExitCode;

use anyhow::bail;

use super::exit;
use super::output::Output;
use super::watch::ServiceOptions;
use crate::supervisor::{Front, console};
use crate::sys::Pid;

/// Write a report of a running process, which goes on
///
/// All its threads are stopped for a few milliseconds and copied; no system call of theirs returns early for it. The
/// report's directory is printed on stdout.
#[derive(Debug, clap::Args)]
pub struct Capture {
    #[command(flatten)]
    options: ServiceOptions,
    /// The process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
}

impl Capture {
    /// Captures the process and prints where the report is.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let comm = std::fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        let options = self.options.front(comm.trim_end())?;
        let Some(captured) = Front::capture(options, Pid(self.pid))? else {
            bail!("no report of {} was written", self.pid);
        };
        console::finish();
        Output::stdout().text(&format!("{}\n", captured.path.display()))?;
        Ok(ExitCode::from(if captured.whole {
            exit::SUCCESS
        } else {
            exit::PARTIAL
        }))
    }
}
