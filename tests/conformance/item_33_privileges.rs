//! Privileges are gained and kept as ever where the supervisor may trace all.

use crate::compare::compare;
use crate::support::{is_root, skip};

#[test]
fn set_user_id_no_new_privileges_and_undumpable() {
    if !is_root() {
        return skip("this test needs root");
    }
    compare("privileges").in_every_way();
}
