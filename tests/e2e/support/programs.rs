//! Where the programs are, and what this machine allows.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::run;

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

/// Versions of Python that may be installed; the first is the system's own.
const PYTHONS: [&str; 5] = [
    "/usr/bin/python3",
    "python3",
    "python3.11",
    "python3.12",
    "python3.13",
];

/// The interpreters of Python for which this holds, an expression of theirs that may use `sys`; each once, behind
/// whatever starts it.
pub(crate) fn pythons(condition: &str) -> Vec<String> {
    let script = format!("import sys; ({condition}) and print(sys.executable)");
    let mut found: Vec<String> = PYTHONS
        .into_iter()
        .filter_map(found_in_path)
        .map(|python| {
            run(Command::new(python).args(["-c", &script]))
                .stdout
                .trim()
                .to_owned()
        })
        .filter(|path| !path.is_empty())
        .filter_map(|path| Some(std::fs::canonicalize(path).ok()?.display().to_string()))
        .collect();
    found.sort();
    found.dedup();
    found
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
