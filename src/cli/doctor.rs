//! `sickbay doctor`: can processes be supervised here, and if not, what to do about it.
//!
//! [`facts`] collects and judges nothing, [`checks`] judges and reads nothing; this file prints. It does not try
//! ptrace out: whether a request succeeds against one process says little about another, and the rules that
//! decide (capabilities, Yama, seccomp, who traces whom) are each looked at on their own.

mod checks;
mod facts;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub use checks::{Check, Verdict};

/// Check permissions and kernel features, and who traces whom
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// The state directory to look at
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Prints every check with its verdict and, where there is one, the fix. `default_state_dir` is used without
    /// `--state-dir`. The status is 1 if a check fails.
    ///
    /// # Errors
    ///
    /// Whatever writing to `out` meets; what cannot be found out is a check's verdict instead.
    pub fn run(self, default_state_dir: &Path, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let state_dir = self.state_dir.as_deref().unwrap_or(default_state_dir);
        let checks = checks::judge(&facts::Facts::collect(Path::new("/proc"), state_dir));
        if self.json {
            serde_json::to_writer_pretty(&mut *out, &checks).map_err(std::io::Error::from)?;
            writeln!(out)?;
        } else {
            for check in &checks {
                writeln!(out, "{check}")?;
            }
        }
        let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
        Ok(if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}
