//! How long it takes to attach: from the start of the tracer, and for each further thread.

use anyhow::Result;

use super::process::Cpus;
use super::subject::{Load, Programs, Tracer};
use super::table::Row;

const ROUNDS: usize = 5;

/// Start to attached with one thread; what each further thread costs.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>> {
    let single = programs.load(1)?;
    let mut start = Row {
        what: "start to attached, ms".to_owned(),
        threads: 1,
        goal: "<= 20",
        ..Row::default()
    };
    let mut rows = Vec::new();
    for threads in [1000, 10_000] {
        let many = programs.load(threads)?;
        let mut row = Row {
            what: "attach a thread, us".to_owned(),
            threads,
            goal: "<= 1.2 of floor",
            ..Row::default()
        };
        for _ in 0..ROUNDS {
            for tracer in [Tracer::Floor, Tracer::Sickbay] {
                let one = milliseconds(programs, &single, tracer)?;
                let all = milliseconds(programs, &many, tracer)?;
                let (of_start, of_thread) = match tracer {
                    Tracer::Sickbay => (&mut start.ours, &mut row.ours),
                    _ => (&mut start.floor, &mut row.floor),
                };
                of_start.push(one);
                of_thread.push((all - one) * 1e3 / (threads - 1) as f64);
            }
        }
        rows.push(row);
    }
    rows.insert(0, start);
    Ok(rows)
}

fn milliseconds(programs: &Programs, load: &Load, tracer: Tracer) -> Result<f64> {
    let tracing = programs.trace(load, tracer, Cpus::Any)?;
    let took = tracing.attached_in.as_secs_f64() * 1e3;
    tracing.release()?;
    Ok(took)
}
