//! The command line: one file per verb; parses, calls, prints. No logic of its own.

use std::process::ExitCode;

pub mod delete;
pub mod exit;
pub mod list;
pub mod output;
pub mod show;
pub mod state_dir;
mod table;

#[cfg(test)]
mod testing;

/// Entry point of the program.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
