//! What supervision costs a service that takes no signals: redis under its own benchmark.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::process::{Cpus, Process, Stream};
use super::subject::{Programs, Tracer};
use super::table::Row;

const ROUNDS: usize = 7;
/// Requests of one round: about a second.
const REQUESTS: u32 = 100_000;
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests per second, and CPU time of the server for each, supervised and bare in turn.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>> {
    let Ok(server) = Redis::start() else {
        return Ok(Vec::new());
    };
    let mut rate = Row {
        what: "redis GET requests /s".to_owned(),
        goal: ">= 0.99 of bare",
        ..Row::default()
    };
    let mut cpu = Row {
        what: "server CPU for a request, us".to_owned(),
        goal: "<= 1.01 of bare",
        ..Row::default()
    };
    server.round()?;
    for _ in 0..ROUNDS {
        let (requests, time) = server.round()?;
        rate.bare.push(requests);
        cpu.bare.push(time);
        let tracing = programs.attach(server.pid(), Tracer::Sickbay, Cpus::Any)?;
        let (requests, time) = server.round()?;
        tracing.release()?;
        rate.ours.push(requests);
        cpu.ours.push(time);
    }
    for peer in [Tracer::Strace, Tracer::Gdb] {
        if let Ok(tracing) = programs.attach(server.pid(), peer, Cpus::Any) {
            let (requests, time) = server.round()?;
            tracing.release()?;
            rate.add_peer(peer, requests);
            cpu.add_peer(peer, time);
        }
    }
    Ok(vec![rate, cpu])
}

/// A server on a port of its own, which keeps nothing.
struct Redis {
    process: Process,
    port: String,
}

impl Redis {
    fn start() -> Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?
            .local_addr()?
            .port()
            .to_string();
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        let mut process = Process::start(&mut command, Cpus::Any, Stream::Output)?;
        process.hear("Ready to accept connections")?;
        Ok(Self { process, port })
    }

    fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Requests per second, and microseconds of CPU for each.
    fn round(&self) -> Result<(f64, f64)> {
        let before = self.cpu_ns()?;
        let began = Instant::now();
        let output = Command::new("redis-benchmark")
            .args([
                "-p",
                &self.port,
                "-t",
                "get",
                "-n",
                &REQUESTS.to_string(),
                "--csv",
            ])
            .stderr(Stdio::null())
            .output()
            .context("failed to start redis-benchmark")?;
        ensure!(
            output.status.success() && began.elapsed() < 10 * PATIENCE,
            "redis-benchmark failed"
        );
        let used = self.cpu_ns()? - before;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text
            .lines()
            .find(|line| line.starts_with("\"GET\""))
            .context("no line for GET")?;
        let rate = line
            .split(',')
            .nth(1)
            .and_then(|field| field.trim_matches('"').parse().ok());
        Ok((rate.context("no rate")?, used / f64::from(REQUESTS) / 1e3))
    }

    /// What all threads have run, by the scheduler's account.
    fn cpu_ns(&self) -> Result<f64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid()))?;
        let times = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        });
        Ok(times.sum())
    }
}
