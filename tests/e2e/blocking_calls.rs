//! Signals that a thread ignores interrupt none of its blocking system calls, supervised or not; a capture neither.

use std::process::Command;

use crate::support::{Sickbay, fixture, run, spawn};

const SIGNALS: &str = "40";

#[test]
fn ignored_signals_interrupt_no_call() {
    let calls = run(Command::new(fixture("eintr")).arg("--list")).stdout;
    assert!(calls.lines().count() > 20, "{calls}");
    let mut interrupted = Vec::new();
    for call in calls.lines() {
        let plain = run(Command::new(fixture("eintr")).args([call, SIGNALS]));
        let expected = format!("{call}: sent {SIGNALS}, interrupted 0");
        assert_eq!(
            plain.stdout.lines().last(),
            Some(expected.as_str()),
            "unsupervised: {plain:#?}"
        );

        let supervised = Sickbay::new().run(fixture("eintr"), &[call, SIGNALS]);
        if supervised.stdout.lines().last() != Some(expected.as_str()) {
            interrupted.push(format!("{:?} {}", supervised.ended, supervised.stdout));
        }
    }
    assert!(interrupted.is_empty(), "{interrupted:#?}");
}

/// Twice: the second capture finds some of the calls in their restart.
#[test]
fn a_capture_interrupts_no_call() {
    let calls = run(Command::new(fixture("eintr")).arg("--list")).stdout;
    let mut noticed = Vec::new();
    for call in calls.lines() {
        let mut program = spawn(Command::new(fixture("eintr")).args([call, "stdin"]));
        program.stdout_line("ready");
        let sickbay = Sickbay::new();
        for _ in 0..2 {
            let (report, outcome) = sickbay.capture(program.pid());
            assert_eq!(
                (outcome.code(), report.text("kind")),
                (0, "capture"),
                "{outcome:#?}"
            );
        }
        let outcome = program.finish();
        if outcome.stdout.lines().last() != Some(&format!("{call}: sent 0, interrupted 0")) {
            noticed.push(outcome.stdout);
        }
    }
    assert!(noticed.is_empty(), "{noticed:#?}");
}

/// However often ignored signals come, a timeout passes, and not before its time.
#[test]
fn ignored_signals_keep_no_timeout_from_passing() {
    let calls = run(Command::new(fixture("patience")).arg("--list")).stdout;
    assert_eq!(calls.lines().count(), 5, "{calls}");
    for call in calls.lines() {
        let expected = format!("{call}: its timeout passed\n");
        assert_eq!(run(Command::new(fixture("patience")).arg(call)).stdout, expected);
        assert_eq!(Sickbay::new().run(fixture("patience"), &[call]).stdout, expected);
    }
}
