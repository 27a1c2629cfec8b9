//! Children are born and end in every way, vfork and posix_spawn included.

use crate::compare::compare;

#[test]
fn a_storm_of_children() {
    compare("spawn_storm").in_every_way();
}

#[test]
fn daemons_and_children_that_nobody_waits_for() {
    compare("daemon").in_every_way();
}
