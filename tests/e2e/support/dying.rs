//! A program that dies, plain and supervised, and what the report must say about it.

use std::process::Command;

use super::process::{Ended, run};
use super::programs::fixture;
use super::report::Report;
use super::sickbay::Sickbay;

/// What is expected of one way to die; unset expectations are not checked.
#[derive(Default)]
pub(crate) struct Dying {
    program: String,
    arguments: Vec<String>,
    signal: i32,
    kind: Option<&'static str>,
    code_name: Option<&'static str>,
    address: Option<u64>,
    causes: Vec<&'static str>,
    access: Option<&'static str>,
    thread_name: Option<&'static str>,
    message: Option<&'static str>,
    pc_in_program: bool,
}

/// A fixture and its arguments, which end by a signal.
pub(crate) fn dying(program: &str, arguments: &[&str]) -> Dying {
    Dying {
        program: program.to_owned(),
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        ..Dying::default()
    }
}

impl Dying {
    /// The signal, by number, that ends the program.
    pub(crate) fn by(mut self, signal: i32) -> Self {
        self.signal = signal;
        self
    }

    /// The expected `kind`; "fault" if not set.
    pub(crate) fn kind(mut self, kind: &'static str) -> Self {
        self.kind = Some(kind);
        self
    }

    /// The expected `signal.code_name`.
    pub(crate) fn code(mut self, name: &'static str) -> Self {
        self.code_name = Some(name);
        self
    }

    /// The expected `signal.address`.
    pub(crate) fn address(mut self, address: u64) -> Self {
        self.address = Some(address);
        self
    }

    /// The accepted texts of `fault.cause`.
    pub(crate) fn cause(mut self, causes: &[&'static str]) -> Self {
        self.causes = causes.to_vec();
        self
    }

    /// The expected `fault.access`.
    pub(crate) fn access(mut self, access: &'static str) -> Self {
        self.access = Some(access);
        self
    }

    /// The expected `fault.thread_name`.
    pub(crate) fn thread(mut self, name: &'static str) -> Self {
        self.thread_name = Some(name);
        self
    }

    /// What `fault.abort_message` must contain.
    pub(crate) fn message(mut self, text: &'static str) -> Self {
        self.message = Some(text);
        self
    }

    /// `fault.pc` must lie in a module of the program itself.
    pub(crate) fn in_program(mut self) -> Self {
        self.pc_in_program = true;
        self
    }

    /// Runs it both ways and holds everything that was expected; returns the only report.
    #[track_caller]
    pub(crate) fn check(self) -> Report {
        let plain = run(Command::new(fixture(&self.program)).args(&self.arguments));
        assert_eq!(
            plain.ended,
            Ended::Killed(self.signal, false),
            "unsupervised: {plain:#?}"
        );

        let sickbay = Sickbay::new();
        let supervised = sickbay.run(fixture(&self.program), &self.arguments);
        assert_eq!(supervised.code(), 128 + self.signal, "{supervised:#?}");
        assert_eq!(
            without_numbers(&supervised.stdout),
            without_numbers(&plain.stdout)
        );
        assert_eq!(
            without_numbers(&supervised.program_stderr()),
            without_numbers(&plain.stderr)
        );

        let report = sickbay.only_report();
        let path = report.directory().to_str().unwrap();
        let naming_it = supervised
            .messages()
            .iter()
            .filter(|line| line.contains(path))
            .count();
        assert_eq!(naming_it, 1, "one line names {path}: {:?}", supervised.messages());
        self.hold(&report);
        report
    }

    #[track_caller]
    fn hold(&self, report: &Report) {
        assert_eq!(report.text("kind"), self.kind.unwrap_or("fault"), "{report:?}");
        assert_eq!(
            report.number("signal.number"),
            i64::from(self.signal),
            "{report:?}"
        );
        if let Some(code_name) = self.code_name {
            assert_eq!(report.text("signal.code_name"), code_name, "{report:?}");
        }
        if let Some(address) = self.address {
            assert_eq!(report.address("signal.address"), address, "{report:?}");
        }
        if !self.causes.is_empty() {
            let cause = report.text("fault.cause");
            assert!(
                self.causes.contains(&cause),
                "cause {cause:?} is not one of {:?}: {report:?}",
                self.causes
            );
        }
        if let Some(access) = self.access {
            assert_eq!(report.text("fault.access"), access, "{report:?}");
        }
        if let Some(thread_name) = self.thread_name {
            assert_eq!(report.text("fault.thread_name"), thread_name, "{report:?}");
        }
        if let Some(message) = self.message {
            assert!(report.text("fault.abort_message").contains(message), "{report:?}");
        }
        if self.pc_in_program {
            let module = report.module_at(report.address("fault.pc"));
            assert!(
                module.is_some_and(|path| path.ends_with(&self.program)),
                "pc in {module:?}: {report:?}"
            );
        }
        if self.kind.is_none() {
            assert_eq!(report.text("action.taken"), "deliver", "{report:?}");
        }
    }
}

/// Process ids and addresses differ from run to run.
fn without_numbers(text: &str) -> String {
    text.split(|character: char| character.is_ascii_hexdigit())
        .collect()
}
