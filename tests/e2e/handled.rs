//! A handled fault belongs to the program: no report, no lost handler; if it dies of it in the end, one report.

use std::process::Command;

use crate::support::{Sickbay, dying, fixture, found_in_path, run, skip};

#[test]
fn siglongjmp_out_of_100_000_faults() {
    // So many stops are worth a warning, which is another test's.
    let sickbay = Sickbay::new().configured("[[service]]\nname = \"api\"\nstop_rate = 0\n");
    let outcome = sickbay.run(fixture("handled"), &["100000"]);
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    assert_eq!(outcome.stdout, "handled 100000 of 100000, handler kept\n");
    assert!(sickbay.reports().is_empty());
    assert!(outcome.messages().is_empty(), "{outcome:#?}");
}

#[test]
fn a_handler_that_prints_and_dies_leaves_one_report() {
    let report = dying("die", &["handler-reset-reraise"]).by(libc::SIGSEGV).check();
    assert_eq!(report.text("signal.name"), "SIGSEGV");
}

#[test]
fn python_with_faulthandler() {
    let Some(python) = found_in_path("python3") else {
        return skip("python3 is not installed");
    };
    let program = fixture("faulthandler.py");
    let program = program.to_str().unwrap();

    let plain = run(Command::new(&python).arg(program));
    let sickbay = Sickbay::new();
    let well = sickbay.run(&python, &[program]);
    assert_eq!((well.code(), plain.code()), (0, 0), "{well:#?}");
    assert!(sickbay.reports().is_empty());

    let faulted = sickbay.run(&python, &[program, "fault"]);
    assert_eq!(faulted.code(), 139, "{faulted:#?}");
    assert!(
        faulted.stderr.contains("Fatal Python error: Segmentation fault"),
        "{faulted:#?}"
    );
    assert!(faulted.stderr.contains("in read_null"), "{faulted:#?}");
    assert_eq!(sickbay.only_report().text("signal.name"), "SIGSEGV");
}

#[test]
fn go_that_recovers() {
    if found_in_path("go").is_none() {
        return skip("go is not installed");
    }
    let sickbay = Sickbay::new();
    let outcome = sickbay.run(fixture("recover"), &["1000"]);
    assert_eq!(
        (outcome.code(), outcome.stdout.as_str()),
        (0, "recovered 1000\n"),
        "{outcome:#?}"
    );
    assert!(sickbay.reports().is_empty());
}

/// A handler that resets itself and raises its signal again: the fault is the second one, and is seen.
#[test]
fn a_signal_that_its_handler_raises_again_is_a_fault() {
    for (argument, name) in [
        (libc::SIGQUIT.to_string(), "SIGQUIT"),
        (libc::SIGXCPU.to_string(), "SIGXCPU"),
        ("sys".to_owned(), "SIGSYS"),
    ] {
        let sickbay = Sickbay::new();
        let outcome = sickbay.run(fixture("reraise"), &[argument]);
        assert!(outcome.code() > 128, "{outcome:#?}");
        let report = sickbay.only_report();
        assert_eq!((report.text("kind"), report.text("signal.name")), ("fault", name));
    }
}

/// What was known of the dispositions a moment ago ends nobody's supervision.
#[test]
fn a_handler_that_was_installed_just_now_is_seen() {
    let plain = run(&mut Command::new(fixture("late_handler")));
    assert_eq!(plain.stdout, "handled 1, interrupted 0\n");
    for _ in 0..5 {
        let sickbay = Sickbay::new();
        let outcome = sickbay.run(fixture("late_handler"), &[""]);
        assert_eq!((outcome.code(), outcome.stdout), (0, plain.stdout.clone()));
        assert_eq!(sickbay.reports().len(), 0);
    }
}
