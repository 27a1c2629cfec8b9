//! What gdb says of the threads of a process.
//!
//! Left out are frames that it infers from call sites (a function that ended in a jump to the next is on no stack), and
//! those that it makes of a return address of 0.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::support::run;

/// A frame as gdb sees it.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Whether it is the trampoline of a signal's handler.
    pub(super) is_signal: bool,
    pub(super) name: Option<String>,
}

/// The frames of every thread, by its id.
#[track_caller]
pub(super) fn frames_of(pid: i32) -> BTreeMap<i64, Vec<Frame>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/backtraces/frames_of.py");
    let outcome = run(Command::new("gdb")
        .args([
            "-nx",
            "-batch",
            "-iex",
            "set debuginfod enabled off",
            "-x",
            script,
            "-p",
        ])
        .arg(pid.to_string()));
    let mut threads: BTreeMap<i64, Vec<Frame>> = BTreeMap::new();
    for line in outcome
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("frame "))
    {
        let told: Value = serde_json::from_str(line).unwrap();
        let frames = threads.entry(told["tid"].as_i64().unwrap()).or_default();
        let kind = told["kind"].as_str().unwrap_or("error");
        let is_end = told["pc"] == 0 && told["after_signal"] == false;
        if !matches!(kind, "tail call" | "error") && !is_end {
            frames.push(Frame {
                is_signal: kind == "signal",
                name: told["name"].as_str().map(str::to_owned),
            });
        }
    }
    assert!(!threads.is_empty(), "{outcome:#?}");
    threads
}
