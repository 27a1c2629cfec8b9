//! A handled fault belongs to the program, and so do breakpoints and single steps of its own.

use crate::compare::compare;

#[test]
fn handlers_stacks_and_breakpoints() {
    compare("handled_faults").in_every_way();
}
