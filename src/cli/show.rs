//! `sickbay show`: one report, for people or as JSON.

use std::process::ExitCode;

use clap::Args;

use super::output::Output;
use super::state_dir::StateDir;
use super::{exit, find};
use crate::report::text;

/// Show one report.
#[derive(Debug, Args)]
pub struct Show {
    /// The report: its id, the beginning of it, `latest`, or -1 for the latest, -2 for the one before, ...
    #[arg(value_name = "ID", allow_negative_numbers = true, default_value = "latest")]
    pub id: String,
    /// Print report.json
    #[arg(long)]
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
        } else {
            output.text(&text::render(&store.load(&id)?))?;
        }
        Ok(exit::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{Shelf, parse};

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
