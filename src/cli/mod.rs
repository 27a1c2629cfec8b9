//! The command line: one file per verb; parses, calls, prints. No logic of its own.

pub mod check;
pub mod config;
pub mod doctor;

use std::process::ExitCode;

/// Entry point of the program.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
