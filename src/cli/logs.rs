//! `sickbay logs`: the log lines that a report holds.

use std::process::ExitCode;

use super::output::{Output, message};
use super::state_dir::StateDir;
use super::{exit, find};
use crate::report::escape::escaped;
use crate::report::model::LogLine;

/// Show the service's last log lines before an incident, all that its report holds
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// The report: its id, the beginning of it, `latest`, or -1 for the latest, -2 for the one before, ...
    #[arg(value_name = "ID", allow_negative_numbers = true, default_value = "latest")]
    id: String,
    /// Print an array of JSON objects
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) state_dir: StateDir,
}

impl Logs {
    /// Prints the lines on stdout; what is to be known about them on stderr.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Some((store, id)) = find::report(&self.id, self.state_dir)? else {
            return Ok(ExitCode::from(exit::NOT_FOUND));
        };
        let report = store.load(&id)?;
        let mut output = Output::stdout();
        if self.json {
            output.json(&report.logs)?;
        } else {
            output.text(&report.logs.iter().map(line).collect::<String>())?;
            match report.log_note {
                Some(note) => message(note),
                None if report.logs.is_empty() => message(format_args!("report {id} holds no log lines")),
                None => {}
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(line: &LogLine) -> String {
    let time = line
        .time
        .map(|time| format!("{} ", time.strftime("%Y-%m-%d %H:%M:%S%.3f")));
    let source = line.source.as_deref().map(|source| format!("{source}: "));
    let text = format!(
        "{}{}{}",
        time.unwrap_or_default(),
        source.unwrap_or_default(),
        line.text
    );
    format!("{}\n", escaped(&text))
}
