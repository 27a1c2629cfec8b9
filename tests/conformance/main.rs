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
//! | 9 | a process goes on when its leader has ended |
//! | 11 | attaching, watching and letting go interrupt no system call |
//! | 12 | neither do signals without effect |
//! | 15 | realtime signals pass, those of the C library included |
//! | 16 | a signal is delivered once, in order, with its payload |
//! | 17 | a process is stopped and continued by others as ever |
//! | 20, 24 | handled faults, breakpoints and single steps belong to the program |
//! | 23 | what a seccomp filter does is done, and told |
//! | 28 | children are born and end in every way |
//! | 29 | exec by a thread leaves nothing of the old program behind |
//! | 32 | the end of a process reaches its parent unchanged |
//! | 33 | privileges are gained and kept as ever |
//! | 34 | processes in namespaces of their own are what they were |
//! | 39 | whatever ends the supervisor, the service goes on and takes every signal |
//!
//! Beside these: what the C library does with the kernel, programs of the other word size, and programs that others have
//! written. Those that take long are run by `make soak`.
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

mod item_09_leaders_that_exit;
mod item_11_blocking_calls;
mod item_12_ignored_signals;
mod item_15_realtime_signals;
mod item_16_payloads;
mod item_17_stopped_calls;
mod item_17_stops;
mod item_20_handled_faults;
mod item_23_seccomp;
mod item_28_children;
mod item_29_exec;
mod item_32_ends;
mod item_33_privileges;
mod item_34_namespaces;
mod item_39_death;
mod library;
mod other_word_size;
mod real_programs;
