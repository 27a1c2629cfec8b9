//! What the C library and the kernel do together goes on: timers, robust mutexes, restartable sequences.

use crate::compare::compare;

#[test]
fn timers() {
    compare("timers").in_every_way();
}

#[test]
fn robust_mutexes() {
    compare("robust_mutexes").in_every_way();
}

#[test]
fn restartable_sequences() {
    compare("restartable_sequences").in_every_way();
}
