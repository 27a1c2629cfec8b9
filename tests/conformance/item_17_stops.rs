//! A process is stopped and continued by others as ever, from outside and from a terminal.

use crate::compare::compare;

#[test]
fn an_outsider_stops_it_while_threads_are_born() {
    compare("stops").in_every_way();
}

#[test]
fn the_keyboard_stops_and_ends_it() {
    compare("terminal").in_every_way();
}
