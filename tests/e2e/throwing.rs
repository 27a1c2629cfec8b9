//! A fault becomes a C++ exception of the thread that faulted: its handler catches it, and destructors run on the way.
#![cfg(target_arch = "x86_64")]

use crate::support::{Ended, Running, Sickbay, await_that, fixture, is_built, skip};

struct Subject {
    sickbay: Sickbay,
    supervisor: Running,
}

impl Subject {
    fn start(sickbay: Sickbay) -> Self {
        Self::with_rate(sickbay, 1000)
    }

    /// So many faults a second at one place become exceptions.
    fn with_rate(sickbay: Sickbay, throws_per_second: u32) -> Self {
        Self::configured(
            sickbay,
            &format!("on_fault = \"throw\"\n[service.isolation]\nthrows_per_second = {throws_per_second}\n"),
        )
    }

    fn configured(sickbay: Sickbay, keys: &str) -> Self {
        Self::of("thrower", sickbay, keys)
    }

    fn of(program: &str, sickbay: Sickbay, keys: &str) -> Self {
        let sickbay = sickbay.configured(&format!("[[service]]\nname = \"api\"\n{keys}"));
        let mut supervisor = sickbay.start(fixture(program), &[] as &[&str]);
        supervisor.stdout_line("ready ");
        Self { sickbay, supervisor }
    }

    #[track_caller]
    fn awaits_learnt(&mut self) {
        let line = self
            .supervisor
            .stderr_line("sickbay: looked ahead at files of process ");
        let (_, files) = line.split_once(": ").unwrap();
        assert!(
            files.parse::<usize>().unwrap() > 2,
            "the program and its libraries: {line}"
        );
    }

    /// What the program says of itself once that many requests have failed.
    #[track_caller]
    fn state_after(&mut self, requests: &str, failed: usize) -> String {
        self.supervisor.write(&format!("{requests}state\n"));
        let wanted = format!("{failed} failed");
        await_that(&wanted, || {
            let said = self.supervisor.stdout_so_far();
            let line = said
                .lines()
                .find(|line| line.starts_with("state: ") && line.ends_with(&wanted));
            line.map(str::to_owned)
        })
    }

    #[track_caller]
    fn dies_with(mut self, reason: &str) {
        assert_eq!(self.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
        let reports = self.sickbay.reports();
        let report = reports.last().unwrap();
        assert_eq!(report.text("action.taken"), "deliver", "{report:?}");
        let said = report.text("action.reason");
        assert!(said.contains(reason), "{said}");
    }
}

/// What the first fault needs of the files is looked at before it, and whoever dies over that leaves the service alone.
#[test]
fn files_are_looked_at_before_the_first_fault() {
    let debug = Sickbay::new().variable("SICKBAY_LOG", "debug");
    let mut subject = Subject::start(debug);
    subject.awaits_learnt();
    subject.state_after("fault\n", 1);

    let mark = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    std::fs::remove_file(&mark).unwrap();
    let killed = Sickbay::new()
        .variable("SICKBAY_LOG", "debug")
        .variable("SICKBAY_FAIL", "tracer.learn.listed")
        .variable("SICKBAY_FAIL_MARK", &mark);
    let mut subject = Subject::start(killed);
    await_that("a tracer that dies", || mark.exists().then_some(()));
    subject.awaits_learnt();
    subject.state_after("fault\n", 1);
}

/// A child in vfork(2) runs on the memory of its parent: no exception is thrown there.
#[test]
fn nothing_is_thrown_in_memory_of_another_process() {
    let mut subject = Subject::start(Sickbay::new());
    let state = subject.state_after("vfork\n", 0);
    assert_eq!(state, "state: free, 1 destructors, 0 failed");
    assert!(subject.supervisor.stdout_so_far().contains("child died of 11"));
    let report = subject.sickbay.awaited_report();
    assert_eq!(report.text("action.taken"), "deliver");
    let reason = report.text("action.reason");
    assert!(reason.contains("shares its memory with its parent"), "{reason}");
}

#[test]
fn the_handler_catches_the_fault_and_destructors_run() {
    let mut subject = Subject::start(Sickbay::new());
    let state = subject.state_after("good\nfault\n", 1);
    assert_eq!(state, "state: free, 2 destructors, 1 failed");
    let said = subject.supervisor.stdout_line("failed: ");
    assert!(
        said.starts_with("SIGSEGV: null pointer dereference at 0x0 in parse_header"),
        "{said}"
    );
    let report = subject.sickbay.awaited_report();
    assert_eq!(report.text("action.taken"), "throw", "{report:?}");

    let many = "fault\n".repeat(20);
    let state = subject.state_after(&format!("{many}good\n"), 21);
    assert_eq!(state, "state: free, 23 destructors, 21 failed");
}

#[test]
fn a_fault_in_the_c_library_is_thrown_from_its_caller() {
    let mut subject = Subject::start(Sickbay::new());
    assert_eq!(
        subject.state_after("string\n", 1),
        "state: free, 1 destructors, 1 failed"
    );
}

/// The x87 unit has room for eight numbers, and string functions count up.
#[test]
fn what_the_faulting_function_had_in_other_registers_is_given_up() {
    let mut subject = Subject::start(Sickbay::new());
    let state = subject.state_after(&"odd\n".repeat(10), 10);
    assert_eq!(state, "state: free, 10 destructors, 10 failed");
    subject.supervisor.write("sum\n");
    assert_eq!(subject.supervisor.stdout_line("sum: "), "2, rounding 0x4000");
}

#[test]
fn libcxx_throws_and_does_not_unwind() {
    const PROGRAM: &str = "thrower_libcxx";
    if !is_built(PROGRAM) {
        return skip("clang or libc++ is not installed");
    }
    let mut subject = Subject::of(PROGRAM, Sickbay::new(), "on_fault = \"throw\"\n");
    let state = subject.state_after("good\nfault\nstring\n", 2);
    assert_eq!(state, "state: free, 3 destructors, 2 failed");
    let said = subject.supervisor.stdout_line("failed: ");
    assert!(
        said.starts_with("SIGSEGV: null pointer dereference at 0x0 in parse_header"),
        "{said}"
    );
    subject.supervisor.write("noexcept\n");
    subject.dies_with("throw is not possible: frame ");
    let mut subject = Subject::of(PROGRAM, Sickbay::new(), "on_fault = \"unwind\"\n");
    subject.supervisor.write("good\nfault\n");
    subject.dies_with("unwind is not possible: libc++ may have an unwinder of its own");
}

/// With one, the process died in the middle; with the other the thread ended without its destructors.
#[test]
fn beside_a_second_unwinder_nothing_is_unwound() {
    for library in ["libunwind.so.1", "libunwind.so.8"] {
        let path = format!("/usr/lib/x86_64-linux-gnu/{library}");
        if !std::path::Path::new(&path).exists() {
            skip(&format!("{library} is not installed"));
            continue;
        }
        let config = "[[service]]\nname = \"api\"\non_fault = \"unwind\"\n";
        let sickbay = Sickbay::new().configured(config);
        let preload = format!("LD_PRELOAD={path}");
        let program = fixture("thrower");
        let mut supervisor = sickbay.start("env", &[preload.as_ref(), program.as_os_str()]);
        supervisor.stdout_line("ready ");
        supervisor.write("fault\n");
        let subject = Subject { sickbay, supervisor };
        subject.dies_with("unwind is not possible: a second unwinder, libunwind, is loaded");
    }
}

#[test]
fn what_cannot_be_thrown_takes_its_signal_and_never_terminates() {
    let mut subject = Subject::start(Sickbay::new());
    subject.supervisor.write("noexcept\n");
    subject.dies_with("throw is not possible: frame 1 expects no exception");
    let mut subject = Subject::start(Sickbay::new());
    subject.supervisor.write("inlined\n");
    subject.dies_with("throw is not possible: frame 0 has destructors or handlers that would not run");
}

#[test]
fn a_place_that_faults_too_often_takes_its_signal() {
    let mut subject = Subject::with_rate(Sickbay::new(), 2);
    // So many would take a minute.
    subject.supervisor.write(&"fault\n".repeat(120));
    subject.dies_with("it faults more often than 2 times a second at the same place");
}

/// The thread ends, and what it held is free: its destructors have run.
#[test]
fn a_thread_is_unwound_and_ends() {
    let mut subject = Subject::configured(Sickbay::new(), "on_fault = \"unwind\"\n");
    subject.supervisor.write("good\nfault\n");
    assert_eq!(
        subject.supervisor.stdout_line("joined, "),
        "state: free, 2 destructors, 0 failed"
    );
    assert_eq!(subject.supervisor.ended(), Ended::Exited(0));
    let report = subject.sickbay.only_report();
    assert_eq!(report.text("action.taken"), "unwind", "{report:?}");
}

/// Whoever cannot be unwound takes its signal, and the process never ends in std::terminate.
#[test]
fn what_stops_unwinding_is_told_before() {
    for (request, why) in [
        ("noexcept", "frame 1 expects no exception"),
        ("anything", "frame 1 catches everything"),
        (
            "inlined",
            "frame 0 has destructors or handlers that would not run",
        ),
    ] {
        let mut subject = Subject::configured(Sickbay::new(), "on_fault = [\"unwind\"]\n");
        subject.supervisor.write(&format!("{request}\n"));
        assert_eq!(
            subject.supervisor.ended(),
            Ended::Exited(128 + libc::SIGSEGV),
            "{request}"
        );
        let report = subject.sickbay.only_report();
        assert_eq!(report.text("action.taken"), "deliver", "{request}: {report:?}");
        let reason = report.text("action.reason");
        assert!(
            reason.contains(&format!("unwind is not possible: {why}")),
            "{reason}"
        );
    }
}

#[test]
fn a_program_without_exceptions_is_told_so() {
    let sickbay = Sickbay::new().option("--action", "throw");
    assert_eq!(sickbay.run(fixture("die"), &["null-write"]).code(), 139);
    let reason = sickbay.only_report();
    let reason = reason.text("action.reason").to_owned();
    assert!(reason.contains("no frame belongs to a language"), "{reason}");
}

#[cfg(feature = "fail-points")]
#[test]
fn a_tracer_that_dies_before_the_thread_goes_on_leaves_the_signal() {
    for action in ["throw", "unwind"] {
        let sickbay = Sickbay::new();
        let mark = sickbay.scratch().join("mark");
        let sickbay = sickbay
            .variable("SICKBAY_FAIL", format!("tracer.{action}.prepared"))
            .variable("SICKBAY_FAIL_MARK", &mark);
        let mut subject = Subject::configured(sickbay, &format!("on_fault = \"{action}\"\n"));
        subject.supervisor.write("fault\n");
        assert_eq!(
            subject.supervisor.ended(),
            Ended::Exited(128 + libc::SIGSEGV),
            "{action}"
        );
        assert!(mark.exists(), "{action}");
    }
}
