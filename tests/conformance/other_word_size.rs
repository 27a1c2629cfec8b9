//! Programs of the other word size, where the machine runs them, are supervised like any.

use std::process::Command;

use crate::compare::compare;
use crate::support::{is_built, run, skip};

#[test]
fn a_program_of_32_bits() {
    if !is_built("conform/thirty_two_bits") {
        return skip("the compiler makes no programs of 32 bits");
    }
    let plain = run(&mut Command::new(crate::support::fixture(
        "conform/thirty_two_bits",
    )));
    if plain.code() != 0 {
        return skip("this machine runs no programs of 32 bits");
    }
    compare("thirty_two_bits").in_every_way();
}
