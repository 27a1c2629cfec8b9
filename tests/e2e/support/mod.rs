//! The harness: programs to supervise, processes that end with their test, reports as JSON, `/proc`.
#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]

mod browser;
mod deadline;
mod dying;
mod process;
mod programs;
mod raising;
mod report;
mod sickbay;

pub(crate) mod debuggers;
pub(crate) mod proc;

pub(crate) use browser::Browser;
pub(crate) use deadline::{DEADLINE, await_that, await_within};
pub(crate) use debuggers::{Calls, Debugger};
pub(crate) use dying::{Dying, dying};
pub(crate) use process::{Ended, Outcome, Running, run, spawn};
pub(crate) use programs::{fixture, found_in_path, is_built, is_root, pythons, skip, unprivileged};
pub(crate) use raising::Raising;
pub(crate) use report::Report;
pub(crate) use sickbay::Sickbay;
