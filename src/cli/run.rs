//! `sickbay run`: a program under supervision, from its first instruction to its end.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::supervisor::{Front, Outcome};
use crate::sys::wait::ExitStatus;

use super::watch::WatchOptions;

/// Run a program under supervision and end with its status
#[derive(Debug, clap::Args)]
pub struct Run {
    #[command(flatten)]
    pub(super) options: WatchOptions,
    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    command: Vec<OsString>,
}

/// Added to a signal's number where the program was ended by one, as shells do.
const BY_SIGNAL: i32 = 128;

impl Run {
    /// Runs the program. The status is the program's.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let program = self.command.first().map(Path::new).and_then(Path::file_name);
        let name = program
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let outcome = Front::run(self.options.front(&name)?, &self.command)?;
        Ok(match outcome {
            Outcome::Program(ExitStatus::Exited(status)) => ExitCode::from(status as u8),
            Outcome::Program(ExitStatus::Killed { signal, .. }) => {
                ExitCode::from((BY_SIGNAL + signal.0) as u8)
            }
            Outcome::Gone | Outcome::Released => ExitCode::SUCCESS,
        })
    }
}
