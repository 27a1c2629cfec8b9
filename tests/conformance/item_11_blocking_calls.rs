//! Attaching, watching and letting go interrupt no system call.

use crate::compare::compare;

#[test]
fn nothing_is_sent() {
    compare("blocking_calls").with(&["quiet"]).in_every_way();
}
