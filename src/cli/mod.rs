//! The command line: one file per verb; parses, calls, prints. No logic of its own.

use std::process::ExitCode;

/// Entry point of the program.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
