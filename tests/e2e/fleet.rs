//! A hundred services with ten thousand threads, under one daemon: all attached, told at once, let go at once.
//!
//! What it costs is printed, not asserted; `cargo nextest run --no-capture -E 'test(a_hundred_services)'` shows it.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::Scene;
use crate::support::{Running, await_that, fixture, proc, spawn};

const SERVICES: usize = 100;
/// The main thread of each is one.
const THREADS: usize = 100;
/// How often the status is asked for.
const QUESTIONS: usize = 21;

/// Processor time (seconds), wake-ups and resident memory (MiB) of processes together.
#[derive(Debug, Default)]
struct Cost {
    cpu: f64,
    wakeups: u64,
    resident: f64,
    largest: f64,
}

fn cost(pids: &[i32]) -> Cost {
    let mut cost = Cost::default();
    for pid in pids {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        cost.cpu += ticks / 100.0;
        let status = read("status");
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        let own = (number("RssAnon:") as f64) / 1024.0;
        cost.wakeups += number("voluntary_ctxt_switches:");
        cost.resident += own;
        cost.largest = cost.largest.max(own);
    }
    cost
}

fn total(status: &Value, field: &str) -> u64 {
    let services = status.as_array().unwrap();
    services
        .iter()
        .map(|service| service[field].as_u64().unwrap())
        .sum()
}

#[test]
fn a_hundred_services_of_ten_thousand_threads() {
    let mut programs: Vec<Running> = (0..SERVICES)
        .map(|_| spawn(std::process::Command::new(fixture("threads_hold")).arg((THREADS - 1).to_string())))
        .collect();
    for program in &mut programs {
        program.stdout_line("ready");
    }
    let configuration: String = programs
        .iter()
        .enumerate()
        .map(|(number, program)| {
            format!(
                "[[service]]\nname = \"service-{number}\"\npid = {}\n",
                program.pid()
            )
        })
        .collect();
    let scene = Scene::configured(&configuration);
    let start = Instant::now();
    let daemon = scene.start();
    let ask = || {
        let asked = Instant::now();
        let outcome = scene.ask(&["status", "--json"]);
        let took = asked.elapsed();
        let status = (outcome.code() == 0).then(|| serde_json::from_str::<Value>(&outcome.stdout).unwrap());
        (status, took)
    };
    await_that("every thread held", || {
        let status = ask().0?;
        (total(&status, "threads") == (SERVICES * THREADS) as u64).then_some(())
    });
    println!(
        "attached: {SERVICES} services, {} threads in {:?}",
        SERVICES * THREADS,
        start.elapsed()
    );

    let mut times: Vec<Duration> = (0..QUESTIONS)
        .map(|_| {
            let (status, took) = ask();
            let status = status.unwrap();
            assert_eq!(total(&status, "processes"), SERVICES as u64, "{status:#}");
            assert_eq!(
                total(&status, "threads"),
                (SERVICES * THREADS) as u64,
                "{status:#}"
            );
            assert!(
                status
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|service| service["state"] == "held"),
                "{status:#}"
            );
            took
        })
        .collect();
    times.sort_unstable();
    println!(
        "status: {:?} median, {:?} at worst, with the start of the command",
        times[QUESTIONS / 2],
        times[QUESTIONS - 1]
    );

    let mut ours = proc::children(daemon.pid());
    ours.push(daemon.pid());
    // What happens without a cause is a matter of time alone.
    let (before, begun) = (cost(&ours), Instant::now());
    let idle = Duration::from_secs(5);
    std::thread::sleep(idle);
    let (after, seconds) = (cost(&ours), begun.elapsed().as_secs_f64());
    println!(
        "idle: {:.2} % of a processor, {:.1} wake-ups a second; {} processes, {:.1} MiB, the largest {:.1} MiB, the daemon {:.1} MiB",
        100.0 * (after.cpu - before.cpu) / seconds,
        (after.wakeups - before.wakeups) as f64 / seconds,
        ours.len(),
        after.resident,
        after.largest,
        cost(&[daemon.pid()]).resident
    );

    let stop = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.finish().code(), 0);
    println!("let go within {:?}", stop.elapsed());
    for program in &programs {
        proc::assert_let_go(program.pid());
    }
}
