//! Realtime signals pass, the two of the C library included.

use crate::compare::compare;

#[test]
fn every_number_in_order_with_its_payload() {
    compare("realtime_signals").in_every_way();
}

#[test]
fn thread_cancellation_and_change_of_user() {
    compare("library_signals").in_every_way();
}
