//! A stop and a continuation by an outsider interrupt the system calls that they would have interrupted.

use crate::compare::compare;

fn calls(how: &str) {
    compare("blocking_calls")
        .with(&[how])
        .but_for_the_moment_of_release()
        .in_every_way();
}

#[test]
fn a_stop_by_an_outsider() {
    calls("stopped");
}

#[test]
fn signals_after_a_stop() {
    calls("stopped-before");
}

/// Nothing untraced; every thread of a traced process stops for it.
#[test]
fn a_continuation_that_ends_no_stop() {
    calls("continued");
}
