//! The command line: one file per verb; parses, calls, prints. No logic of its own.
//!
//! [`exit`] lists the exit codes; `run` ends with the program's own status instead, or with 128 and the number of the
//! signal that ended it.

pub mod attach;
pub mod capture;
pub mod check;
pub mod completions;
pub mod config;
pub mod daemon;
pub mod debug;
pub mod delete;
pub mod doctor;
pub mod enroll;
pub mod exit;
pub mod export;
mod find;
pub mod hold;
pub mod list;
pub mod logs;
pub mod man;
pub mod metrics;
mod narrow;
pub mod output;
mod pager;
pub mod release;
pub mod reload;
pub mod run;
pub mod settle;
pub mod show;
pub mod socket;
pub mod state_dir;
pub mod stats;
pub mod status;
mod table;
pub mod threads;
pub mod vacuum;
mod watch;

#[cfg(test)]
mod testing;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use env_logger::Target;

use crate::report::escape::escaped;
use crate::supervisor::console;
use crate::{ipc, recorder, supervisor, tracer};

use state_dir::StateDir;

/// Keeps a service alive when one of its threads faults, and explains the crash
#[derive(Debug, Parser)]
#[command(name = "sickbay", version, max_term_width = 100)]
struct Sickbay {
    /// Where reports are kept; the same behind the verb
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Run),
    Attach(attach::Attach),
    Capture(capture::Capture),
    Daemon(daemon::Daemon),
    Enroll(enroll::Enroll),
    Status(status::Status),
    Threads(threads::Threads),
    Settle(settle::Settle),
    Metrics(metrics::Metrics),
    Release(release::Release),
    Hold(hold::Hold),
    Reload(reload::Reload),
    List(list::List),
    Show(show::Show),
    Logs(logs::Logs),
    Export(export::Export),
    Debug(debug::Debug),
    Stats(stats::Stats),
    Delete(delete::Delete),
    Vacuum(vacuum::Vacuum),
    Check(check::Check),
    Config(config::Config),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
}

/// The definition of the command line.
fn command() -> clap::Command {
    Sickbay::command()
}

/// Entry point of the program. The roles that it starts of itself are told by their first word.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // The roles are started through /proc/self/exe, and would be called "exe" in ps(1).
    let _ = nix::sys::prctl::set_name(c"sickbay");
    match arguments.get(1).and_then(|word| word.to_str()) {
        Some("tracer") => tracer::main(),
        Some("recorder") => recorder::main(),
        Some("collector") => crate::logs::role::main(),
        Some("launch") => {
            start_log("warn", Target::Stderr);
            supervisor::launcher(arguments.into_iter().skip(2).collect())
        }
        _ => parse(arguments).unwrap_or_else(|error| error.exit()).run(),
    }
}

/// The verb, with what was said before it.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Verb, clap::Error> {
    let Sickbay { state_dir, mut verb } = Sickbay::try_parse_from(arguments)?;
    if let Some(state_dir) = state_dir {
        let of_verb = verb.state_dir().ok_or_else(|| {
            let text = "this verb reads and writes no reports; leave --state-dir out";
            command().error(ErrorKind::ArgumentConflict, text)
        })?;
        of_verb.state_dir.get_or_insert(state_dir);
    }
    Ok(verb)
}

impl Verb {
    /// The option of a verb that touches reports.
    fn state_dir(&mut self) -> Option<&mut StateDir> {
        Some(match self {
            Self::Run(verb) => &mut verb.options.service.state_dir,
            Self::Attach(verb) => &mut verb.options.service.state_dir,
            Self::Capture(verb) => &mut verb.options.state_dir,
            Self::Daemon(verb) => &mut verb.state_dir,
            Self::List(verb) => &mut verb.state_dir,
            Self::Show(verb) => &mut verb.state_dir,
            Self::Logs(verb) => &mut verb.state_dir,
            Self::Export(verb) => &mut verb.state_dir,
            Self::Debug(verb) => &mut verb.state_dir,
            Self::Stats(verb) => &mut verb.state_dir,
            Self::Delete(verb) => &mut verb.state_dir,
            Self::Vacuum(verb) => &mut verb.state_dir,
            Self::Doctor(verb) => &mut verb.state_dir,
            _ => return None,
        })
    }

    fn run(self) -> ExitCode {
        // What fronts have to say must not hold up what they do.
        match self {
            Self::Run(_) | Self::Attach(_) | Self::Capture(_) => {
                start_log("warn", Target::Pipe(Box::new(console::Log::with_name())))
            }
            Self::Daemon(_) => start_log("info", Target::Pipe(Box::new(console::Log::of_service()))),
            _ => start_log("warn", Target::Stderr),
        }
        let root = Path::new("/");
        let outcome = match self {
            Self::Run(verb) => verb.run(),
            Self::Attach(verb) => verb.run(),
            Self::Capture(verb) => verb.run(),
            Self::Daemon(verb) => verb.run(),
            Self::Enroll(verb) => verb.run(),
            Self::Status(verb) => verb.run(),
            Self::Threads(verb) => verb.run(),
            Self::Settle(verb) => verb.run(),
            Self::Metrics(verb) => verb.run(),
            Self::Release(verb) => verb.run(),
            Self::Hold(verb) => verb.run(),
            Self::Reload(verb) => verb.run(),
            Self::List(verb) => verb.run(),
            Self::Show(verb) => verb.run(),
            Self::Logs(verb) => verb.run(),
            Self::Export(verb) => verb.run(),
            Self::Debug(verb) => verb.run(),
            Self::Stats(verb) => verb.run(),
            Self::Delete(verb) => verb.run(),
            Self::Vacuum(verb) => verb.run(),
            Self::Check(verb) => verb.run(root, &mut io::stdout()),
            Self::Config(verb) => verb.run(root, &mut io::stdout()),
            Self::Doctor(verb) => verb.run(&mut io::stdout()),
            Self::Completions(verb) => verb.run(&mut io::stdout()),
            Self::Man(verb) => verb.run(&mut io::stdout()),
        };
        console::finish();
        outcome.unwrap_or_else(|error| status_of(&error))
    }
}

/// Says what went wrong, and picks the status for it.
fn status_of(error: &anyhow::Error) -> ExitCode {
    if error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    {
        // Whoever read our output has seen enough.
        return ExitCode::SUCCESS;
    }
    output::message(format_args!("{}", told(error)));
    ExitCode::from(watch::status_of(error).unwrap_or(exit::FAILURE))
}

/// The error and its causes, each said once: many repeat what caused them.
fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if told.is_empty() {
            told = text;
        } else if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        let io = cause.downcast_ref::<io::Error>();
        if io.and_then(io::Error::raw_os_error) == Some(libc::EMFILE) {
            told.push_str("; raise the limit of open files (ulimit -n)");
        }
    }
    told
}

/// What is worth that level goes to stderr, with the name that tells it from the lines of the program that is run.
fn start_log(level: &str, target: Target) {
    let mut log = ipc::role_log::builder(level);
    if matches!(target, Target::Stderr) {
        log.format(|line, record| writeln!(line, "sickbay: {}", escaped(&record.args().to_string())));
    }
    log.target(target).init();
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to start it: {source}; look there")]
    struct Repeats {
        source: io::Error,
    }

    #[test]
    fn the_state_directory_is_named_before_or_behind_the_verb() {
        let named = |line: &str| {
            let arguments = line.split(' ').map(OsString::from);
            let mut verb = parse(arguments)?;
            Ok::<_, clap::Error>(verb.state_dir().and_then(|option| option.state_dir.clone()))
        };
        for line in [
            "sickbay --state-dir /x list",
            "sickbay list --state-dir /x",
            "sickbay --state-dir /y show latest --state-dir /x",
            "sickbay --state-dir=/x run -- true --state-dir /y",
        ] {
            assert_eq!(named(line).unwrap(), Some("/x".into()), "{line}");
        }
        assert!(named("sickbay --state-dir /x status").is_err());
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = |errno| Repeats {
            source: io::Error::from_raw_os_error(errno),
        };
        let repeated = Err::<(), _>(error(libc::EISDIR)).context("outside").unwrap_err();
        assert_eq!(
            told(&repeated),
            "outside: failed to start it: Is a directory (os error 21); look there"
        );
        assert!(
            told(&error(libc::EMFILE).into())
                .ends_with("look there; raise the limit of open files (ulimit -n)")
        );
    }
}
