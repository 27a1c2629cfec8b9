//! What tests of verbs share: a state directory with reports, and the parser.

use clap::{Args, Command, FromArgMatches};
use tempfile::TempDir;

use crate::report::{Report, sample};
use crate::store::{Id, Store};
use crate::sys::Pid;

/// A state directory that lives as long as the test.
pub(super) struct Shelf(TempDir);

impl Shelf {
    pub(super) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(super) fn store(&self) -> Store {
        Store::open(self.0.path()).unwrap()
    }

    /// Adds a minimal report of that service, that many seconds after the first.
    pub(super) fn put(&self, service: &str, second: i64) -> Id {
        let mut report = sample::minimal();
        report.service.name = Some(service.to_owned());
        self.put_report(service, second, report)
    }

    pub(super) fn put_report(&self, service: &str, second: i64, mut report: Report) -> Id {
        report.time = jiff::Timestamp::from_second(1_795_413_372 + second).unwrap();
        let id = Id::from_parts(report.time, service, Pid(4711), 0x7f3a);
        report.id = id.to_string();
        self.store().begin(&id).unwrap().create_small(&report).unwrap();
        id
    }
}

/// The verb with these arguments, working on that state directory.
pub(super) fn parse<V: Args + FromArgMatches>(shelf: &Shelf, args: &[&str]) -> V {
    try_parse(shelf, args).unwrap()
}

pub(super) fn try_parse<V: Args + FromArgMatches>(shelf: &Shelf, args: &[&str]) -> Result<V, clap::Error> {
    let command = V::augment_args(Command::new("verb"));
    let path = shelf.0.path().to_str().unwrap();
    let arguments = [&["verb"], args, &["--state-dir", path]].concat();
    V::from_arg_matches(&command.try_get_matches_from(arguments)?)
}
