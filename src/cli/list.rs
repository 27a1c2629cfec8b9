//! `sickbay list`: what reports there are, newest first.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::exit;
use super::narrow::Narrow;
use super::output::{Output, message};
use super::state_dir::StateDir;
use super::table::Table;
use crate::report::Summary;
use crate::report::model::Kind;
use crate::report::words::count;
use crate::store::{Entry, Filter, Store};

/// List reports, newest first.
#[derive(Debug, Args)]
pub struct List {
    /// At most that many
    #[arg(short = 'n', value_name = "N")]
    pub number: Option<usize>,
    /// Which reports.
    #[command(flatten)]
    pub narrow: Narrow,
    /// Print an array of JSON objects with the names of report.json
    #[arg(long)]
    pub json: bool,
    /// Where to look.
    #[command(flatten)]
    pub state_dir: StateDir,
}

impl List {
    /// Prints the list on stdout.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        self.run_to(&mut Output::stdout()).map(ExitCode::from)
    }

    fn run_to(self, output: &mut Output<'_>) -> anyhow::Result<u8> {
        let state_dir = self.state_dir.resolve_reading()?;
        let store = Store::open_existing(&state_dir)?;
        let filter = self.narrow.filter();
        let entries: Vec<Entry> = match &store {
            Some(store) => store
                .list_wanted(&filter)?
                .take(self.number.unwrap_or(usize::MAX))
                .collect(),
            None => Vec::new(),
        };
        if self.json {
            output.json(&entries.iter().map(as_json).collect::<Vec<_>>())?;
        } else if entries.is_empty() {
            let such = if filter == Filter::default() { "" } else { "such " };
            let withheld = store.as_ref().map_or(Ok(0), Store::withheld)?;
            message(format_args!(
                "no {such}reports in {}{}",
                state_dir.display(),
                not_yours(withheld)
            ));
        } else {
            let table = table(&entries).render(output.colour());
            output.text(&table)?;
        }
        Ok(exit::SUCCESS)
    }
}

/// What is added where there are reports, and whoever asks may read none of them.
fn not_yours(withheld: usize) -> String {
    if withheld == 0 {
        return String::new();
    }
    format!(
        " that you may read, and {} that you may not; be root, or a member of the group sickbay",
        count(withheld, "report")
    )
}

fn as_json(entry: &Entry) -> serde_json::Value {
    match entry {
        Entry::Report { summary, .. } => json!(summary),
        Entry::Damaged { name, reason } => json!({ "id": name, "damaged": reason }),
    }
}

fn table(entries: &[Entry]) -> Table {
    let mut table = Table::new([
        "ID",
        "TIME (UTC)",
        "SERVICE",
        "PID",
        "SIGNAL",
        "THREAD",
        "CAUSE",
        "TIMES",
        "ACTION",
    ]);
    for entry in entries {
        match entry {
            Entry::Report { id, summary } => table.row(cells(id.as_str(), summary)),
            Entry::Damaged { name, reason } => table.note(name, &format!("damaged: {reason}")),
        }
    }
    table
}

fn cells(id: &str, summary: &Summary) -> [String; 9] {
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    [
        id.to_owned(),
        summary.time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        shown(&summary.service.name),
        summary.process.pid.to_string(),
        signal(summary),
        shown(
            &summary
                .fault
                .thread_name
                .clone()
                .or(summary.fault.tid.map(|tid| tid.to_string())),
        ),
        shown(&summary.fault.cause),
        shown(&summary.occurrences.map(|count| count.to_string())),
        action(summary),
    ]
}

/// What was done; where there was nothing to do, what the report is.
fn action(summary: &Summary) -> String {
    let kind = match summary.kind {
        Kind::Exit => "(ended)",
        Kind::Capture => "(capture)",
        Kind::Fault | Kind::Unknown => "-",
    };
    summary.action.taken.clone().unwrap_or_else(|| kind.to_owned())
}

/// The signal's name; for a process that ended by itself, its status.
fn signal(summary: &Summary) -> String {
    let signal = summary
        .signal
        .name
        .clone()
        .or_else(|| Some(summary.signal.number?.to_string()));
    let status = || Some(format!("status {}", summary.exit.status?));
    signal.or_else(status).unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{Shelf, parse};
    use crate::report::sample;
    use crate::store::Id;

    fn listed(shelf: &Shelf, args: &[&str]) -> String {
        let list: List = parse(shelf, args);
        let mut written = Vec::new();
        assert_eq!(list.run_to(&mut Output::to(&mut written)).unwrap(), exit::SUCCESS);
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn every_kind_of_entry_has_its_line() {
        let shelf = Shelf::new();
        for (second, mut report) in sample::all().into_iter().enumerate() {
            report.fault.thread_name = report.fault.thread_name.map(|name| format!("{name}\x1b[2J\n"));
            shelf.put_report("api", second as i64, report);
        }
        std::fs::write(shelf.store().path().join("notes\x1b[2J"), "").unwrap();
        insta::assert_snapshot!(listed(&shelf, &[]));
    }

    #[test]
    fn json_is_an_array_of_reports_in_brief() {
        let shelf = Shelf::new();
        assert_eq!(listed(&shelf, &["--json"]), "[]\n");
        let id = shelf.put_report("api", 0, sample::null_write());
        std::fs::write(shelf.store().path().join("notes"), "").unwrap();
        let json: serde_json::Value = serde_json::from_str(&listed(&shelf, &["--json"])).unwrap();
        assert_eq!(json[0]["id"], id.as_str());
        assert_eq!(json[0]["fault"]["cause"], "null pointer dereference");
        assert_eq!(json[1]["id"], "notes");
        assert!(json[1]["damaged"].is_string());
    }

    #[test]
    fn number_service_and_time_narrow_it() {
        let shelf = Shelf::new();
        let (api, web, last) = (shelf.put("api", 0), shelf.put("web", 1), shelf.put("api", 2));
        let ids = |args: &[&str]| -> Vec<String> {
            let text = listed(&shelf, args);
            text.lines()
                .skip(1)
                .map(|line| line.split(' ').next().unwrap().to_owned())
                .collect()
        };
        assert_eq!(ids(&[]), [last.to_string(), web.to_string(), api.to_string()]);
        assert_eq!(ids(&["-n", "1"]), [last.to_string()]);
        assert_eq!(ids(&["--service", "api"]), [last.to_string(), api.to_string()]);
        assert_eq!(ids(&["-n", "1", "--service", "web"]), [web.to_string()]);
        assert!(listed(&shelf, &["--service", "none"]).is_empty());
        let second = |id: &Id| id.time().to_string();
        assert_eq!(ids(&["--since", &second(&last)]), [last.to_string()]);
        assert_eq!(ids(&["--until", &second(&api)]), [api.to_string()]);
        assert!(listed(&shelf, &["--signal", "SIGBUS"]).is_empty());
        std::fs::write(shelf.store().path().join("notes"), "").unwrap();
        assert_eq!(ids(&["--service", "web"]), [web.to_string()]);
    }
}
