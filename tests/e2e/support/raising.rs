//! A program that answers requests on stdin, one line each, and whose faults are to become errors of its own language.

use std::ffi::OsStr;

use super::deadline::await_that;
use super::process::{Ended, Running};
use super::sickbay::Sickbay;

/// How many failures are awaited at once.
const FEW: usize = 5;

/// The program under supervision.
pub(crate) struct Raising {
    pub(crate) sickbay: Sickbay,
    pub(crate) supervisor: Running,
}

impl Raising {
    /// Starts a program with these arguments, and waits until it says that it is ready.
    pub(crate) fn start(sickbay: Sickbay, program: impl AsRef<OsStr>, arguments: &[&str]) -> Self {
        let sickbay = sickbay.configured(
            "[[service]]\nname = \"api\"\non_fault = \"throw\"\n[service.isolation]\nthrows_per_second = 100000\n\
             [service.report]\nmax_per_minute = 10\n",
        );
        let mut supervisor = sickbay.start(program, arguments);
        supervisor.stdout_line("ready ");
        Self { sickbay, supervisor }
    }

    /// Sends requests, then asks for the state, which is awaited to say `part`; the line without its beginning.
    #[track_caller]
    pub(crate) fn state_after(&mut self, requests: &str, part: &str) -> String {
        self.supervisor.write(&format!("{requests}state\n"));
        await_that(part, || {
            let said = self.supervisor.stdout_so_far();
            let mut states = said.lines().filter_map(|line| line.strip_prefix("state: "));
            states.find(|state| state.contains(part)).map(str::to_owned)
        })
    }

    /// Sends a request that fails so many times, after `before` that have; the state then. Each few are awaited.
    #[track_caller]
    pub(crate) fn state_after_failures(&mut self, request: &str, before: usize, times: usize) -> String {
        let (mut failed, end) = (before, before + times);
        loop {
            let few = (end - failed).min(FEW);
            failed += few;
            let requests = format!("{request}\n").repeat(few);
            let state = self.state_after(&requests, &format!("{failed} failed"));
            if failed == end {
                return state;
            }
        }
    }

    /// The number in front of that word of a state.
    #[track_caller]
    pub(crate) fn number(state: &str, word: &str) -> usize {
        let before = state
            .split(word)
            .next()
            .filter(|before| before.len() < state.len());
        let number = before.and_then(|before| before.split_whitespace().last()?.parse().ok());
        number.unwrap_or_else(|| panic!("no number of {word} in {state}"))
    }

    /// The program dies of its fault, and the report says why nothing else was done.
    #[track_caller]
    pub(crate) fn dies_with(mut self, reason: &str) {
        assert_eq!(self.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
        let report = self.sickbay.awaited_report();
        assert_eq!(report.text("action.taken"), "deliver", "{report:?}");
        let said = report.text("action.reason");
        assert!(said.contains(reason), "{said}");
    }
}
