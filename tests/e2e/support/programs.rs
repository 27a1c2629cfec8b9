//! Where the programs are, and what this machine allows.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The id of the user without privileges ("nobody").
const NOBODY: &str = "65534";

/// The path of a program built by `make programs`.
///
/// `SICKBAY_TEST_PROGRAMS` names another directory than `target/programs`.
#[track_caller]
pub(crate) fn fixture(name: &str) -> PathBuf {
    let program = programs().join(name);
    assert!(
        program.exists(),
        "{} is missing: run `make programs`",
        program.display()
    );
    program
}

fn programs() -> PathBuf {
    std::env::var_os("SICKBAY_TEST_PROGRAMS")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/programs"))
}

/// Whether `make programs` could build a program here.
pub(crate) fn is_built(name: &str) -> bool {
    programs().join(name).exists()
}

/// The path of an installed program, or none.
pub(crate) fn found_in_path(name: &str) -> Option<PathBuf> {
    let directories = std::env::var_os("PATH")?;
    std::env::split_paths(&directories)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// True if the tests run as root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Says why a test does not run here.
pub(crate) fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// A command that runs `program` without any privilege; needs root and `setpriv(1)`.
pub(crate) fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid",
        NOBODY,
        "--regid",
        NOBODY,
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ]);
    command.arg("--").arg(program);
    command
}
