//! Stack overflows, with every kind of handler that a program may have for them.

use libc::SIGSEGV;

use super::{OVERFLOW, SELF, die};

#[test]
fn stack_overflow_on_the_main_thread() {
    die(&["stack-overflow-main"])
        .by(SIGSEGV)
        .cause(&[OVERFLOW])
        .in_program()
        .check();
}

#[test]
fn stack_overflow_on_a_small_stack() {
    die(&["stack-overflow-thread"])
        .by(SIGSEGV)
        .cause(&[OVERFLOW])
        .thread("victim")
        .in_program()
        .check();
}

#[test]
fn stack_overflow_with_a_handler_that_raises_again() {
    die(&["stack-overflow-altstack"])
        .by(SIGSEGV)
        .cause(&[OVERFLOW, SELF])
        .check();
}

#[test]
fn stack_overflow_with_a_handler_that_returns() {
    die(&["stack-overflow-altstack-return"])
        .by(SIGSEGV)
        .cause(&[OVERFLOW])
        .in_program()
        .check();
}

#[test]
fn stack_overflow_with_a_handler_that_has_no_stack() {
    die(&["stack-overflow-no-altstack"])
        .by(SIGSEGV)
        .cause(&[OVERFLOW])
        .check();
}
