//! `sickbay completions`: what a shell needs to complete our command lines.

use std::io::Write;
use std::process::ExitCode;

use clap_complete::Shell;

/// Print the completions for a shell
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script for that shell.
    ///
    /// # Errors
    ///
    /// Whatever writing to `out` meets.
    pub fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let mut command = super::command();
        // The generator takes a failed write for impossible.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "sickbay", &mut script);
        out.write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
