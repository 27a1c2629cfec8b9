//! How often per second: handled signals, ignored signals, threads created and joined.

use std::time::Duration;

use anyhow::Result;

use super::process::Cpus;
use super::subject::{Load, Programs, Tracer};
use super::table::Row;

const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_millis(150);
/// Peers are measured up to so many threads.
const PEERS: usize = 1000;

/// What is counted.
struct Kind {
    what: &'static str,
    command: &'static str,
    floor: Tracer,
    goal: &'static str,
    sizes: &'static [usize],
    peers: bool,
}

const KINDS: [Kind; 3] = [
    Kind {
        what: "handled signals /s",
        command: "signals",
        floor: Tracer::FloorOfOne,
        goal: ">= 0.9 of floor; flat",
        sizes: &[1, 1000, 8000],
        peers: true,
    },
    Kind {
        what: "default-ignored signals /s",
        command: "ignored",
        floor: Tracer::FloorOfOne,
        goal: "as handled ones",
        sizes: &[1],
        peers: false,
    },
    Kind {
        what: "threads created and joined /s",
        command: "spawn",
        floor: Tracer::Floor,
        goal: ">= 0.9 of floor at 1; flat",
        sizes: &[1, 1000, 8000],
        peers: false,
    },
];

/// Tracer and tracee on one CPU, on two, and the tracer wherever it goes.
pub(crate) fn measure(programs: &Programs, cores: usize) -> Result<Vec<Row>> {
    let mut loads = Vec::new();
    for threads in [1, 1000, 8000] {
        loads.push((threads, programs.load(threads)?));
    }
    let mut rows = Vec::new();
    for kind in &KINDS {
        let placements = [
            ("one CPU", Cpus::One(0)),
            ("two CPUs", Cpus::One(1)),
            ("any CPU", Cpus::Any),
        ];
        for (placement, cpus) in placements {
            if cores < 2 && cpus != Cpus::One(0) {
                continue;
            }
            let mut with_one = None;
            for (threads, load) in loads
                .iter_mut()
                .filter(|(threads, _)| kind.sizes.contains(threads))
            {
                load.run_on(0)?;
                let mut row = pair(programs, kind, load, cpus)?;
                if kind.peers && *threads <= PEERS && cpus == Cpus::One(0) {
                    for tracer in [Tracer::Strace, Tracer::Gdb] {
                        if let Some(rate) = peer(programs, kind, load, tracer)? {
                            row.add_peer(tracer, rate);
                        }
                    }
                }
                row.threads = *threads;
                row.placement = placement;
                row.beside_one = with_one.map(|one| row.ours.median() / one);
                with_one.get_or_insert(row.ours.median());
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

fn pair(programs: &Programs, kind: &Kind, load: &mut Load, cpus: Cpus) -> Result<Row> {
    let mut row = Row {
        what: kind.what.to_owned(),
        goal: kind.goal,
        ..Row::default()
    };
    for _ in 0..ROUNDS {
        row.bare.push(once(programs, kind, load, Tracer::Nobody, cpus)?);
        row.floor.push(once(programs, kind, load, kind.floor, cpus)?);
        row.ours.push(once(programs, kind, load, Tracer::Sickbay, cpus)?);
    }
    Ok(row)
}

fn once(programs: &Programs, kind: &Kind, load: &mut Load, tracer: Tracer, cpus: Cpus) -> Result<f64> {
    let tracing = programs.trace(load, tracer, cpus)?;
    let rate = load.rate(kind.command, TIME)?;
    tracing.release()?;
    Ok(rate)
}

/// A tracer that may not be installed, or not work here, is left out.
fn peer(programs: &Programs, kind: &Kind, load: &mut Load, tracer: Tracer) -> Result<Option<f64>> {
    let Ok(tracing) = programs.trace(load, tracer, Cpus::One(0)) else {
        return Ok(None);
    };
    let rate = load.rate(kind.command, TIME)?;
    tracing.release()?;
    Ok(Some(rate))
}
