//! A process goes on, supervised, when its leader has ended.

use crate::compare::compare;

#[test]
fn threads_go_on_without_their_leader() {
    compare("leader_exits_first").in_every_way();
}
