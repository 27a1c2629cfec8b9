//! Signals that a thread ignores interrupt none of its blocking system calls, supervised or not.

use std::process::Command;

use crate::support::{Sickbay, fixture, run};

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
