//! `sickbay delete`: reports that nobody needs any more.

use std::process::ExitCode;

use clap::Args;

use super::exit;
use super::output::message;
use super::state_dir::StateDir;
use crate::store::{FindError, Id, Store};

/// Delete reports.
#[derive(Debug, Args)]
pub struct Delete {
    /// The reports: ids, beginnings of them, `latest`, or -1 for the latest, -2 for the one before, ...
    #[arg(
        value_name = "ID",
        allow_negative_numbers = true,
        required_unless_present = "all"
    )]
    pub ids: Vec<String>,
    /// Delete every report
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// Where to look.
    #[command(flatten)]
    pub state_dir: StateDir,
}

/// How many of the reports were deleted, and what kept the others.
#[derive(Default)]
struct Tally {
    deleted: usize,
    not_found: usize,
    failed: usize,
}

impl Delete {
    /// Deletes, with a message for each report.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        self.delete().map(ExitCode::from)
    }

    fn delete(self) -> anyhow::Result<u8> {
        let state_dir = self.state_dir.resolve_reading()?;
        let mut tally = Tally::default();
        let Some(store) = Store::open_existing(&state_dir)? else {
            message(format_args!("no reports in {}", state_dir.display()));
            tally.not_found = self.ids.len();
            return Ok(tally.exit_code());
        };
        // Every name is looked up before anything goes: -2 means the same before and after -1 is deleted.
        let ids = if self.all {
            store.ids()?
        } else {
            tally.resolve(&store, &self.ids)?
        };
        for id in &ids {
            tally.delete(&store, id);
        }
        if self.all && ids.is_empty() {
            message(format_args!("no reports in {}", state_dir.display()));
        }
        Ok(tally.exit_code())
    }
}

impl Tally {
    fn resolve(&mut self, store: &Store, specs: &[String]) -> anyhow::Result<Vec<Id>> {
        let mut ids = Vec::new();
        for spec in specs {
            match store.find(spec) {
                Ok(id) if ids.contains(&id) => {}
                Ok(id) => ids.push(id),
                Err(FindError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    message(error);
                    self.not_found += 1;
                }
            }
        }
        Ok(ids)
    }

    fn delete(&mut self, store: &Store, id: &Id) {
        match store.delete(id) {
            Ok(()) => {
                message(format_args!("deleted {id}"));
                self.deleted += 1;
            }
            Err(error) if error.is_not_found() => {
                message(format_args!("{id} is gone already"));
                self.not_found += 1;
            }
            Err(error) => {
                message(error);
                self.failed += 1;
            }
        }
    }

    fn exit_code(&self) -> u8 {
        match (self.deleted, self.not_found, self.failed) {
            (_, 0, 0) => exit::SUCCESS,
            (0, _, 0) => exit::NOT_FOUND,
            (0, _, _) => exit::FAILURE,
            _ => exit::PARTIAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{Shelf, parse, try_parse};

    fn deleted(shelf: &Shelf, args: &[&str]) -> u8 {
        let delete: Delete = parse(shelf, args);
        delete.delete().unwrap()
    }

    #[test]
    fn positions_refer_to_what_was_there_before() {
        let shelf = Shelf::new();
        let ids: Vec<_> = (0..4).map(|second| shelf.put("api", second)).collect();
        assert_eq!(deleted(&shelf, &["-1", "-2", "latest"]), exit::SUCCESS);
        assert_eq!(shelf.store().ids().unwrap(), [ids[1].clone(), ids[0].clone()]);
    }

    #[test]
    fn the_code_tells_all_some_and_none() {
        let shelf = Shelf::new();
        let id = shelf.put("api", 0);
        assert_eq!(deleted(&shelf, &["2031"]), exit::NOT_FOUND);
        assert_eq!(deleted(&shelf, &["2031", id.as_str()]), exit::PARTIAL);
        assert_eq!(deleted(&shelf, &[id.as_str()]), exit::NOT_FOUND);
    }

    #[test]
    fn all_means_damaged_ones_too_and_nothing_else() {
        let shelf = Shelf::new();
        let id = shelf.put("api", 0);
        shelf.put("web", 1);
        std::fs::write(shelf.store().path_of(&id).join("report.json"), "{").unwrap();
        std::fs::write(shelf.store().path().join("notes"), "mine").unwrap();
        assert_eq!(deleted(&shelf, &["--all"]), exit::SUCCESS);
        assert_eq!(shelf.store().ids().unwrap(), []);
        assert!(shelf.store().path().join("notes").exists());
        assert_eq!(deleted(&shelf, &["--all"]), exit::SUCCESS);
    }

    #[test]
    fn something_must_be_named() {
        let shelf = Shelf::new();
        assert!(try_parse::<Delete>(&shelf, &[]).is_err());
        assert!(try_parse::<Delete>(&shelf, &["-1", "--all"]).is_err());
    }
}
