//! The end of a process reaches its parent unchanged.

use crate::compare::compare;

#[test]
fn exits_and_signals() {
    compare("ends").in_every_way();
}
