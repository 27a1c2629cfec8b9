//! The supervisor under test, with a state directory of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::deadline::await_that;
use super::process::{Outcome, Running, run, spawn};
use super::report::Report;

/// The program, and a temporary state directory that goes with it.
pub(crate) struct Sickbay {
    directory: TempDir,
    options: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Sickbay {
    /// The supervisor, with an empty state directory.
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("sickbay-e2e-")
            .tempdir()
            .expect("a temporary directory");
        Self {
            directory,
            options: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// The path of the program: the one cargo built, or what `SICKBAY_TEST_PROGRAM` names, such as an installed one.
    pub(crate) fn program() -> &'static Path {
        static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
        PROGRAM.get_or_init(|| {
            let named = std::env::var_os("SICKBAY_TEST_PROGRAM").map(PathBuf::from);
            named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_sickbay")))
        })
    }

    /// Adds an option to every `run`, `attach` and `capture`.
    pub(crate) fn option(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.options
            .extend([name.to_owned(), value.as_ref().display().to_string()]);
        self
    }

    /// Writes a configuration and passes it to every `run`, `attach` and `capture`, as the service `api`.
    pub(crate) fn configured(self, text: &str) -> Self {
        let file = self.scratch().join("sickbay.toml");
        std::fs::write(&file, text).expect("write a configuration");
        self.option("--config", file).option("--name", "api")
    }

    /// Sets a variable in the environment of every command.
    #[cfg(feature = "fail-points")]
    pub(crate) fn variable(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.environment
            .push((name.to_owned(), value.as_ref().display().to_string()));
        self
    }

    /// A directory for files of the test, beside the state directory.
    pub(crate) fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// The state directory; it does not exist before the supervisor makes it.
    pub(crate) fn state(&self) -> PathBuf {
        self.scratch().join("state")
    }

    /// `sickbay VERB --state-dir STATE`, to be completed by the caller.
    pub(crate) fn verb(&self, verb: &str) -> Command {
        let mut command = Command::new(Self::program());
        command.arg(verb).arg("--state-dir").arg(self.state());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `sickbay run ... -- PROGRAM ARGUMENTS`.
    pub(crate) fn run_command<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: &[A],
    ) -> Command {
        let mut command = self.verb("run");
        command.args(&self.options).arg("--").arg(program).args(arguments);
        command
    }

    /// Runs a program under supervision to its end, with nothing on stdin.
    #[track_caller]
    pub(crate) fn run<A: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, arguments: &[A]) -> Outcome {
        run(&mut self.run_command(program, arguments))
    }

    /// Starts a program under supervision.
    #[track_caller]
    pub(crate) fn start<A: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, arguments: &[A]) -> Running {
        spawn(&mut self.run_command(program, arguments))
    }

    /// `sickbay attach ... --pid PID`.
    pub(crate) fn attach_command(&self, pid: i32) -> Command {
        let mut command = self.verb("attach");
        command.args(&self.options).arg("--pid").arg(pid.to_string());
        command
    }

    /// Attaches to a process and waits until every thread is held; returns the supervisor and what it announced.
    #[track_caller]
    pub(crate) fn attach(&self, pid: i32) -> (Running, String) {
        let mut supervisor = spawn(&mut self.attach_command(pid));
        let announced = supervisor.stderr_line("sickbay: attached: ");
        (supervisor, announced)
    }

    /// Captures a process, and returns the report and the command's outcome.
    #[track_caller]
    pub(crate) fn capture(&self, pid: i32) -> (Report, Outcome) {
        let mut command = self.verb("capture");
        let outcome = run(command.args(&self.options).arg("--pid").arg(pid.to_string()));
        let path = PathBuf::from(outcome.stdout.trim_end());
        let report = Report::read(path).unwrap_or_else(|| panic!("no report: {outcome:#?}"));
        (report, outcome)
    }

    /// Every complete report in the state directory, oldest first.
    pub(crate) fn reports(&self) -> Vec<Report> {
        let Ok(entries) = std::fs::read_dir(self.state().join("reports")) else {
            return Vec::new();
        };
        let mut directories: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        directories.sort();
        let mut reports: Vec<Report> = directories.into_iter().filter_map(Report::read).collect();
        // Ids tell seconds; the time tells more.
        let time = |report: &Report| report.model()["time"].as_str().unwrap_or_default().to_owned();
        reports.sort_by_key(time);
        reports
    }

    /// The only report; fails if there is another number of them.
    #[track_caller]
    pub(crate) fn only_report(&self) -> Report {
        let mut reports = self.reports();
        assert_eq!(reports.len(), 1, "number of reports; there are {reports:#?}");
        reports.remove(0)
    }

    /// Waits for the first report, and returns it.
    #[track_caller]
    pub(crate) fn awaited_report(&self) -> Report {
        await_that("a report", || self.reports().into_iter().next())
    }

    /// Runs a reading verb with `--json` and parses what it prints.
    #[track_caller]
    pub(crate) fn json(&self, verb: &str, arguments: &[&str]) -> Value {
        let outcome = run(self.verb(verb).arg("--json").args(arguments));
        assert_eq!(outcome.code(), 0, "{outcome:#?}");
        serde_json::from_str(&outcome.stdout)
            .unwrap_or_else(|error| panic!("{verb} --json: {error}: {outcome:#?}"))
    }
}
