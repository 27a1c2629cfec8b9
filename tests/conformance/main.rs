//! Conformance: a supervised program behaves as it does unsupervised, in every way that anybody could observe.
//!
//! What a tracer must get right is a numbered list; each module is named after the number it holds. Its programs
//! (`tests/programs/conform`) are run plain and supervised in three ways ([`compare::Way`]): started by `run`, attached at a
//! random moment, attached and released every few milliseconds. Exit status, core flag, output, and what the programs
//! measured themselves must be equal: system calls that were interrupted, signals with their payload and order, what a
//! parent is told of its children.
//!
//! | number | promise |
//! |---|---|
//! | 11 | attaching, watching and letting go interrupt no system call |
//! | 12 | neither do signals without effect |
//! | 15 | realtime signals pass, those of the C library included |
//! | 16 | a signal is delivered once, in order, with its payload |
//! | 17 | a process is stopped and continued by others as ever |
//! | 32 | its end reaches its parent unchanged |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed step of a test is the test's failure, whichever function it is in"
)]

#[path = "../e2e/support/mod.rs"]
mod support;

mod compare;

mod item_11_blocking_calls;
mod item_12_ignored_signals;
mod item_15_realtime_signals;
mod item_16_payloads;
mod item_17_stopped_calls;
mod item_32_ends;
