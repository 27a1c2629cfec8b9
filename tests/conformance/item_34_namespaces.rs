//! Processes in namespaces of their own are what they were.

use crate::compare::compare;

#[test]
fn the_init_of_a_pid_namespace() {
    compare("namespaces").in_every_way();
}
