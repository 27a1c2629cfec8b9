//! What a seccomp filter does is done, and told.

use crate::compare::compare;

#[test]
fn every_action_of_a_filter() {
    compare("seccomp").in_every_way();
}
