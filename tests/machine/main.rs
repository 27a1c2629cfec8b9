//! Sickbay as the service of a machine: a whole systemd boots in a container, with real units and the real journal.
//!
//! Each test has a machine of its own: an overlay of this system's root, in namespaces and control groups of its own,
//! booted by `systemd-nspawn`. Nothing of it outlives the test. It needs root and the package `systemd-container`;
//! where it is impossible a test says why, and passes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed step of a test is the test's failure, whichever function it is in"
)]

mod machine;

#[path = "../e2e/support/deadline.rs"]
mod deadline;

mod asked;
mod containers;
mod crash;
mod hostile;
mod memory;
mod outages;
mod package;
mod packaged;
mod readers;
mod unit;
mod units;
mod watchdog;

pub(crate) use deadline::{DEADLINE, await_that};
pub(crate) use machine::Machine;
