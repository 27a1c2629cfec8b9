//! One program per way to die: each ends as it would unsupervised, and leaves one report that says why.

mod faults;
mod library;
mod processes;
mod signals;
mod stacks;

use crate::support::{Dying, dying};

/// The text of each cause, as published.
const NULL: &str = "null pointer dereference";
const OVERFLOW: &str = "stack overflow";
const ABORT: &str = "abort";
const SELF: &str = "raised by the process itself";

/// What `ud2`, `int3` and the alignment check flag do is particular to this architecture.
const ON_X86_64: bool = cfg!(target_arch = "x86_64");

/// One of the ways of the fixture `die`.
fn die(arguments: &[&str]) -> Dying {
    dying("die", arguments)
}
