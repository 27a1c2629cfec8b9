//! A fault becomes a Rust panic of the thread that faulted: `catch_unwind` gets it, and `Drop` runs on the way.
#![cfg(target_arch = "x86_64")]

use crate::support::{Raising, Sickbay, fixture};

fn start() -> Raising {
    Raising::start(Sickbay::new(), fixture("panicker"), &[])
}

#[test]
fn catch_unwind_gets_the_fault_and_destructors_run() {
    let mut subject = start();
    let state = subject.state_after("good\nfault\n", " 1 failed");
    assert!(state.starts_with("2 destructors, 1 failed, 2 threads"), "{state}");
    assert!(state.ends_with("locked false"), "{state}");
    assert_eq!(
        subject.supervisor.stdout_line("failed: "),
        "SIGSEGV: null pointer dereference at 0x0 in main::parse_header"
    );
    subject
        .supervisor
        .stderr_line("SIGSEGV: null pointer dereference at 0x0 in main::parse_header");
    let report = subject.sickbay.awaited_report();
    assert_eq!(report.text("action.taken"), "throw", "{report:?}");
    assert_eq!(
        report.text("action.reason"),
        "on_fault asks for throw; frame 1 (`main::handle`) gets a Rust panic, which frame 2 (`main::work`) catches: \
         \"SIGSEGV: null pointer dereference at 0x0 in main::parse_header\""
    );
}

#[test]
fn a_fault_in_a_c_library_panics_in_who_called_it() {
    let mut subject = start();
    let state = subject.state_after("library\n", " 1 failed");
    assert!(state.starts_with("1 destructors"), "{state}");
    let said = subject.supervisor.stdout_line("failed: ");
    assert!(said.ends_with("in read_header"), "{said}");
}

#[test]
fn a_thread_that_catches_nothing_ends_as_after_any_panic() {
    let mut subject = start();
    subject.supervisor.write("thread\ngood\n");
    assert_eq!(subject.supervisor.stdout_line("joined: "), "true");
    subject.supervisor.stdout_line("ok");
}

#[test]
fn a_panic_that_would_abort_or_end_the_process_is_not_begun() {
    for (request, why) in [
        ("boundary", "frame 1 aborts when a panic would leave it"),
        ("leaf", "frame 1 expects no exception"),
        (
            "inlined",
            "frame 0 has destructors or handlers that would not run",
        ),
    ] {
        let mut subject = start();
        subject.supervisor.write(&format!("{request}\n"));
        subject.dies_with(&format!("throw is not possible: {why}"));
    }
    let mut subject = Raising::start(Sickbay::new(), fixture("panicker"), &["main"]);
    subject.supervisor.write("fault\n");
    subject.dies_with("throw is not possible: a panic that leaves `main` ends the process");
}

#[test]
fn a_program_that_cannot_panic_from_outside_is_told_why() {
    for (program, why) in [
        ("panicker_abort", "it was built with panic=abort"),
        ("panicker_stripped", "the program was stripped of its symbols"),
    ] {
        let mut subject = Raising::start(Sickbay::new(), fixture(program), &[]);
        subject.supervisor.write("fault\n");
        subject.dies_with(why);
    }
}

fn panics_leave_nothing_behind(times: usize) {
    let mut subject = start();
    let warm = subject.state_after_failures("fault", 0, times / 10);
    let end = subject.state_after_failures("fault", times / 10, times);
    for what in ["threads", "files"] {
        assert_eq!(
            Raising::number(&warm, what),
            Raising::number(&end, what),
            "{warm}: {end}"
        );
    }
    let grown = Raising::number(&end, "KiB").saturating_sub(Raising::number(&warm, "KiB"));
    assert!(grown < 1024, "{warm}: {end}");
    assert!(end.ends_with("locked false"), "{end}");
}

#[test]
fn panics_leave_nothing_behind_in_the_process() {
    panics_leave_nothing_behind(200);
}

#[test]
#[ignore = "long: make soak"]
fn ten_thousand_panics_leave_nothing_behind() {
    panics_leave_nothing_behind(10_000);
}

/// Wherever a tracer dies between the fault and the panic, also while the thread maps memory for its text, the thread
/// takes its signal.
#[cfg(feature = "fail-points")]
#[test]
fn a_tracer_that_dies_on_the_way_to_a_panic_leaves_the_signal() {
    for point in [
        "isolate.call.sent",
        "isolate.call.prepared",
        "isolate.call.entered",
        "isolate.call.made",
        "isolate.call.returning",
        "isolate.throw.placed",
        "tracer.throw.prepared",
    ] {
        let sickbay = Sickbay::new();
        let mark = sickbay.scratch().join("mark");
        let sickbay = sickbay
            .variable("SICKBAY_FAIL", point)
            .variable("SICKBAY_FAIL_MARK", &mark);
        let mut subject = Raising::start(sickbay, fixture("panicker"), &[]);
        subject.supervisor.write("fault\n");
        assert_eq!(
            subject.supervisor.ended(),
            crate::support::Ended::Exited(128 + libc::SIGSEGV),
            "{point}"
        );
        assert!(mark.exists(), "{point}");
    }
}
