//! `sickbay show`: one report, for people or as JSON.

use std::process::ExitCode;

use clap::Args;
use wildmatch::WildMatch;

use super::output::{Output, message};
use super::state_dir::StateDir;
use super::{exit, find};
use crate::report::Report;
use crate::report::model::Thread;
use crate::report::text::View;
use crate::sys::Tid;

/// Threads that are named where the one that was asked for does not exist.
const MAX_NAMES: usize = 16;

/// Show one report.
#[derive(Debug, Args)]
pub struct Show {
    /// The report: its id, the beginning of it, `latest`, or -1 for the latest, -2 for the one before, ...
    #[arg(value_name = "ID", allow_negative_numbers = true, default_value = "latest")]
    pub id: String,
    /// Only these threads, each in full: a thread id, or a name in which * stands for any text
    #[arg(long, value_name = "NAME")]
    pub thread: Option<String>,
    /// Every thread by itself, and all lists to their end
    #[arg(long)]
    pub all: bool,
    /// The registers of every thread that is shown
    #[arg(long)]
    pub registers: bool,
    /// The whole memory map
    #[arg(long)]
    pub maps: bool,
    /// Print report.json
    #[arg(long, conflicts_with_all = ["thread", "all", "registers", "maps"])]
    pub json: bool,
    /// Where to look.
    #[command(flatten)]
    pub state_dir: StateDir,
}

impl Show {
    /// Prints the report on stdout.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        self.run_to(&mut Output::stdout()).map(ExitCode::from)
    }

    /// The text is rendered from the model each time: it needs no `report.txt`, and is as good as this version can.
    fn run_to(self, output: &mut Output<'_>) -> anyhow::Result<u8> {
        let Some((store, id)) = find::report(&self.id, self.state_dir)? else {
            return Ok(exit::NOT_FOUND);
        };
        if self.json {
            output.json(&store.load_json(&id)?)?;
            return Ok(exit::SUCCESS);
        }
        let report = store.load(&id)?;
        let threads = self.thread.as_ref().map(|name| threads_of(&report, name));
        if let (Some(name), Some(&[])) = (&self.thread, threads.as_deref()) {
            message(format_args!(
                "no thread '{name}' in report {id}; {}",
                names(&report)
            ));
            return Ok(exit::NOT_FOUND);
        }
        let view = View {
            all: self.all,
            registers: self.registers,
            maps: self.maps,
            threads,
            colour: output.colour(),
        };
        output.document(&view.render(&report))?;
        Ok(exit::SUCCESS)
    }
}

/// The threads of that id, or of that name.
fn threads_of(report: &Report, wish: &str) -> Vec<Tid> {
    let pattern = WildMatch::new(wish);
    let is_wished = |thread: &&Thread| {
        wish.parse() == Ok(thread.tid.0) || thread.name.as_ref().is_some_and(|name| pattern.matches(name))
    };
    report
        .threads
        .iter()
        .filter(is_wished)
        .map(|thread| thread.tid)
        .collect()
}

/// What threads there are, in short.
fn names(report: &Report) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in report.threads.iter().filter_map(|thread| thread.name.as_deref()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let more = match names.len().saturating_sub(MAX_NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.truncate(MAX_NAMES);
    match names.as_slice() {
        [] => "it has no threads".to_owned(),
        names => format!("its threads are {}{more}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{Shelf, parse};
    use crate::report::sample;

    fn shown(shelf: &Shelf, args: &[&str]) -> (u8, String) {
        let show: Show = parse(shelf, args);
        let mut written = Vec::new();
        let code = show.run_to(&mut Output::to(&mut written)).unwrap();
        (code, String::from_utf8(written).unwrap())
    }

    #[test]
    fn a_report_is_shown_from_its_model() {
        let shelf = Shelf::new();
        let (old, new) = (shelf.put("api", 0), shelf.put("web", 1));
        for (args, id) in [
            (&["-1"][..], &new),
            (&["-2"], &old),
            (&["latest"], &new),
            (&[], &new),
            (&[old.as_str()], &old),
        ] {
            let (code, text) = shown(&shelf, args);
            assert_eq!(code, exit::SUCCESS);
            assert!(text.contains(id.as_str()), "{args:?}: {text}");
        }
        let (_, json) = shown(&shelf, &["-1", "--json"]);
        let report: crate::report::Report = serde_json::from_str(&json).unwrap();
        assert_eq!(report.id, new.as_str());
    }

    #[test]
    fn threads_are_chosen_by_name_or_id() {
        let shelf = Shelf::new();
        shelf.put_report("api", 0, sample::null_write());
        let chosen = |name: &str| {
            let (code, text) = shown(&shelf, &["latest", "--thread", name]);
            (code, text.matches("\nThread ").count())
        };
        assert_eq!(chosen("reaper"), (exit::SUCCESS, 1));
        assert_eq!(chosen("worker-*"), (exit::SUCCESS, 200));
        assert_eq!(chosen("4828"), (exit::SUCCESS, 1));
        assert_eq!(chosen("nobody"), (exit::NOT_FOUND, 0));
        assert_eq!(names(&sample::captured()), "its threads are api, gc");
        let (_, text) = shown(&shelf, &["latest", "--maps"]);
        assert_eq!(text.matches("/usr/bin/api-server\n").count(), 2, "{text}");
    }

    #[test]
    fn json_keeps_what_this_version_does_not_know() {
        let shelf = Shelf::new();
        let id = shelf.put("api", 0);
        let path = shelf.store().path_of(&id).join("report.json");
        let json = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, json.replacen('{', "{\"weather\": \"rain\",", 1)).unwrap();
        assert!(
            shown(&shelf, &["latest", "--json"])
                .1
                .contains("\"weather\": \"rain\"")
        );
    }

    #[test]
    fn what_does_not_exist_has_its_own_code() {
        let empty = Shelf::new();
        assert_eq!(shown(&empty, &["latest"]), (exit::NOT_FOUND, String::new()));
        empty.put("api", 0);
        assert_eq!(shown(&empty, &["-2"]), (exit::NOT_FOUND, String::new()));
    }

    #[test]
    fn a_damaged_report_is_a_failure_that_says_why() {
        let shelf = Shelf::new();
        let id = shelf.put("api", 0);
        std::fs::write(shelf.store().path_of(&id).join("report.json"), "{").unwrap();
        let show: Show = parse(&shelf, &["latest"]);
        let error = show.run_to(&mut Output::to(Vec::new())).unwrap_err().to_string();
        assert!(error.contains("report.json: EOF while parsing"), "{error}");
    }
}
