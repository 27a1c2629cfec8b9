//! A signal is delivered once, as it was sent.

use crate::compare::compare;

#[test]
fn none_is_lost_or_doubled_in_a_flood() {
    compare("signal_flood").in_every_way();
}
