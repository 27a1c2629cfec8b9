//! `sickbay metrics`: the daemon's numbers, for monitoring.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::output::Output;
use super::socket::Socket;
use crate::supervisor::control::{Answer, Request};

/// Print the daemon's numbers in Prometheus' text format
///
/// The control socket answers 'GET /metrics' over HTTP as well.
#[derive(Debug, clap::Args)]
pub struct Metrics {
    /// Write them to that file, at once or not at all: for the textfile collector of node_exporter
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
    #[command(flatten)]
    socket: Socket,
}

impl Metrics {
    /// Asks the daemon, and prints or writes its answer.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let text = match self.socket.ask(&Request::Metrics)? {
            Answer::Metrics(text) => text,
            other => bail!("the daemon answered something else: {other:?}"),
        };
        match self.textfile {
            Some(file) => {
                replace(&file, &text).with_context(|| format!("cannot write {}", file.display()))?
            }
            None => Output::stdout().text(&text)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Puts the text in place of the file, whole. The collector reads names that end in `.prom` alone.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".new");
    let mut written = File::create(&temporary)?;
    written.write_all(text.as_bytes())?;
    fs::rename(&temporary, file)
}
