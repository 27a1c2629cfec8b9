//! Prints the figures of the supervisor beside those of nobody, of the least a tracer can do, and of its peers.
//!
//! `cargo bench --bench figures` measures everything; words behind `--` choose among `rates`, `attach`, `faults` and
//! `idle`. Everything is measured on real processes, in rounds in which all that are compared take turns, so that
//! what else the machine does befalls all of them. Nothing is asserted: a figure says what is, a test what must be.
//!
//! The table goes to stdout, every single measurement to `target/bench.json`.

mod attaching;
mod faults;
mod idle;
mod machine;
mod process;
mod rates;
mod sample;
mod subject;
mod table;

use std::path::Path;

use anyhow::Result;
use nix::sys::resource::{Resource, setrlimit};

use machine::Machine;
use subject::Programs;

fn main() -> Result<()> {
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|word| word == name);
    // A core would be measured with the end of the process.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let machine = Machine::this();
    let programs = Programs::build()?;
    let mut rows = Vec::new();
    if wanted("rates") {
        rows.extend(rates::measure(&programs, machine.cores())?);
    }
    if wanted("attach") {
        rows.extend(attaching::measure(&programs)?);
    }
    if wanted("faults") {
        rows.extend(faults::measure(&programs)?);
    }
    if wanted("idle") {
        rows.extend(idle::measure(&programs)?);
    }
    table::print(&machine, &rows);
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench.json");
    table::write(&target, &machine, &rows)
}
