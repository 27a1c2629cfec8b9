//! Signals without effect, and those with a handler, interrupt the system calls that they would have interrupted.

use crate::compare::compare;

fn calls(how: &str) {
    compare("blocking_calls")
        .with(&[how])
        .but_for_the_moment_of_release()
        .in_every_way();
}

#[test]
fn signals_that_do_nothing_by_default() {
    calls("default");
}

#[test]
fn signals_that_are_ignored() {
    calls("ignored");
}

#[test]
fn handlers_with_restart() {
    calls("restart");
}

#[test]
fn handlers_without_restart() {
    calls("handled");
}
