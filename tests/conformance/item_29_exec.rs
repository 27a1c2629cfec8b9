//! A thread that executes another program leaves nothing of the old one behind.

use crate::compare::compare;

#[test]
fn exec_by_one_of_fifty_threads() {
    compare("exec_by_thread").in_every_way();
}
