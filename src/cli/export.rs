//! `sickbay export`: one report in a format that other tools read.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::state_dir::StateDir;
use super::{exit, find, watch};
use crate::config::Format;
use crate::report::{escape, html, text};
use crate::store::{Id, Store, StoredCore};

/// Write one report in a format that other tools read.
#[derive(Debug, Args)]
pub struct Export {
    /// The report: its id, the beginning of it, `latest`, or -1 for the latest, -2 for the one before, ...
    #[arg(value_name = "ID", allow_negative_numbers = true, default_value = "latest")]
    id: String,
    /// json, text, html (one page for a browser), core (an ELF core file for gdb, lldb and their kin) or minidump (for
    /// lldb and crash services)
    #[arg(long, value_name = "FORMAT", value_parser = watch::format)]
    format: Format,
    /// The file to write; compressed if it is a core and ends in .zst [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    pub(super) state_dir: StateDir,
}

impl Export {
    /// Writes the report to the file, or to stdout.
    ///
    /// # Errors
    ///
    /// Whatever reading the report or writing the file meets; a report that holds no memory has no core.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Some((store, id)) = find::report(&self.id, self.state_dir)? else {
            return Ok(ExitCode::from(exit::NOT_FOUND));
        };
        let is_text = matches!(self.format, Format::Json | Format::Text | Format::Html);
        let Some(path) = self.output else {
            let stdout = io::stdout().lock();
            if stdout.is_terminal() && !is_text {
                bail!("a {} is nothing for a terminal; name a file with -o", self.format);
            }
            write(&store, &id, self.format, Path::new(""), stdout)?;
            return Ok(ExitCode::SUCCESS);
        };
        let file = create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        write(&store, &id, self.format, &path, &file)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is exported may hold secrets, so that a new file is for its owner alone.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

fn write(store: &Store, id: &Id, format: Format, path: &Path, mut out: impl Write) -> anyhow::Result<()> {
    match format {
        Format::Json => {
            let json = serde_json::to_string_pretty(&store.load_json(id)?)?;
            writeln!(out, "{}", escape::json_escaped(&json))?;
        }
        Format::Text => out.write_all(text::render(&store.load(id)?).as_bytes())?,
        Format::Core => {
            let core = StoredCore::open(store, id)?;
            if path.extension().is_some_and(|extension| extension == "zst") {
                core.copy_compressed(&mut out)?;
            } else {
                core.copy(&mut out)?;
            }
        }
        Format::Minidump => StoredCore::open_small(store, id)?.write_minidump(&store.load(id)?, &mut out)?,
        Format::Html => out.write_all(html::render(&store.load(id)?)?.as_bytes())?,
    }
    out.flush()?;
    Ok(())
}
