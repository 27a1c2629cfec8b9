//! Prints the figures of the supervisor beside those of nobody, of the least a tracer can do, and of its peers.
//!
//! `cargo bench --bench figures` measures everything; words behind `--` choose among `steady`, `rates`, `silence`,
//! `attach`, `faults`, `isolate`, `unwinding` and `idle`, and `large`, which only runs where it is asked for: it fills
//! 4 GB. Everything is measured on real processes, in rounds in which all that are compared take turns, so that what else
//! the machine does befalls all of them. Nothing is asserted: a figure says what is, a test what must be.
//!
//! The table goes to stdout, every single measurement to `target/bench.json`, plots of cost against the number of threads
//! to `target/bench/`.

mod attaching;
mod faults;
mod idle;
mod isolating;
mod machine;
mod plot;
mod process;
mod rates;
mod sample;
mod silence;
mod steady;
mod subject;
mod table;
mod unwinding;

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
    if wanted("steady") {
        rows.extend(steady::measure(&programs)?);
    }
    if wanted("rates") {
        rows.extend(rates::measure(&programs, machine.cores())?);
    }
    if wanted("silence") {
        rows.extend(silence::measure(&programs)?);
    }
    if wanted("attach") {
        rows.extend(attaching::measure(&programs)?);
    }
    if wanted("faults") {
        rows.extend(faults::measure(&programs)?);
    }
    if wanted("isolate") {
        rows.extend(isolating::measure(&programs)?);
    }
    if wanted("unwinding") {
        rows.extend(unwinding::measure(&programs)?);
    }
    if wanted("idle") {
        rows.extend(idle::measure(&programs)?);
    }
    if chosen.iter().any(|word| word == "large") {
        rows.extend(faults::measure_large(&programs)?);
    }
    table::print(&machine, &rows);
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    plot::draw(&target.join("bench"), &rows)?;
    table::write(&target.join("bench.json"), &machine, &rows)
}
