//! `sickbay vacuum`: reports that are past the limits of `[store]`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::output::{Output, message};
use super::state_dir::StateDir;
use super::table::Table;
use super::{exit, watch};
use crate::config::{Size, Span};
use crate::report::words::{bytes, count};
use crate::store::{Leaving, Store};

/// Delete the reports that are past the limits of the configuration
///
/// Under every limit but age the latest report of each service stays. The daemon, and every other verb that writes
/// reports, does the same after each of them.
#[derive(Debug, Args)]
pub struct Vacuum {
    /// Only print which reports would be deleted
    #[arg(long)]
    dry_run: bool,
    /// At most so much disk for all reports, instead of what is configured
    #[arg(long, value_name = "SIZE")]
    max_size: Option<Size>,
    /// Only reports that are no older, instead of what is configured
    #[arg(long, value_name = "TIME")]
    max_age: Option<Span>,
    /// Print an array of JSON objects: id, bytes, reason
    #[arg(long)]
    json: bool,
    /// Read this configuration file instead of the machine's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) state_dir: StateDir,
}

impl Vacuum {
    /// Deletes, and prints what is gone.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        self.run_to(&mut Output::stdout()).map(ExitCode::from)
    }

    fn run_to(self, output: &mut Output<'_>) -> anyhow::Result<u8> {
        let configured = watch::load(self.config.as_deref())?.store;
        let mut limits = configured.retention;
        limits.max_size = self.max_size.unwrap_or(limits.max_size);
        limits.max_age = self.max_age.unwrap_or(limits.max_age);
        let state_dir = self.state_dir.state_dir.or(configured.state_dir);
        let state_dir = StateDir { state_dir }.resolve_reading()?;
        let now = Timestamp::now();
        let leaving = match Store::open_existing(&state_dir)? {
            Some(store) if self.dry_run => store.overdue(&limits, now)?,
            Some(store) => store.vacuum(&limits, now)?,
            None => Vec::new(),
        };
        if self.json {
            output.json(&leaving)?;
            return Ok(exit::SUCCESS);
        }
        if !leaving.is_empty() {
            let table = table(&leaving).render(output.colour());
            output.text(&table)?;
        }
        let gone = if self.dry_run {
            "would be deleted"
        } else {
            "deleted"
        };
        let room = bytes(leaving.iter().map(|leaving| leaving.bytes).sum());
        message(format_args!("{} {gone}, {room}", count(leaving.len(), "report")));
        Ok(exit::SUCCESS)
    }
}

fn table(leaving: &[Leaving]) -> Table {
    let mut table = Table::new(["ID", "SIZE", "PAST"]);
    for Leaving {
        id,
        bytes: size,
        reason,
    } in leaving
    {
        table.row([id.to_string(), bytes(*size), reason.to_string()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{Shelf, parse};

    fn vacuumed(shelf: &Shelf, config: &str, args: &[&str]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        let args = [args, &["--config", file.path().to_str().unwrap()]].concat();
        let vacuum: Vacuum = parse(shelf, &args);
        let mut written = Vec::new();
        let status = vacuum.run_to(&mut Output::to(&mut written)).unwrap();
        assert_eq!(status, exit::SUCCESS);
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn a_dry_run_shows_what_a_wet_one_deletes() {
        let shelf = Shelf::new();
        let ids: Vec<_> = (0..4).map(|second| shelf.put("api", second)).collect();
        let web = shelf.put("web", 0);
        let config = "[store]\nmax_age = \"0s\"\nservice_max_reports = 2\n";
        let dry = vacuumed(&shelf, config, &["--dry-run"]);
        for id in &ids[..2] {
            let line = dry.lines().find(|line| line.starts_with(id.as_str())).unwrap();
            assert!(line.ends_with("service_max_reports"), "{dry}");
        }
        assert_eq!(dry.lines().count(), 3, "{dry}");
        assert_eq!(shelf.store().ids().unwrap().len(), 5);
        assert_eq!(vacuumed(&shelf, config, &[]), dry);
        let left = shelf.store().ids().unwrap();
        assert_eq!(left, [ids[3].clone(), ids[2].clone(), web]);
        assert_eq!(vacuumed(&shelf, config, &["--json"]), "[]\n");
    }

    #[test]
    fn options_come_before_the_configuration() {
        let shelf = Shelf::new();
        let id = shelf.put("api", 0);
        let config = "[store]\nmax_age = \"36500d\"\n";
        let json = vacuumed(&shelf, config, &["--json", "--max-age", "1us"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json[0]["id"], id.as_str());
        assert_eq!(json[0]["reason"], "max_age");
        assert!(json[0]["bytes"].as_u64() > Some(0));
    }
}
