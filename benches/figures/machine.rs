//! What the figures were measured on.

use std::fmt;
use std::fs;

use serde_json::{Value, json};

/// The machine, as far as figures depend on it.
#[derive(Debug)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    load: String,
    date: String,
    is_virtual: bool,
    /// Tools to compare with that are not installed.
    missing: Vec<&'static str>,
}

/// What is compared, and the Debian packages that have it.
const PEERS: [(&str, &str); 6] = [
    ("strace", "strace"),
    ("gdb", "gdb"),
    ("gcore", "gdb"),
    ("eu-stack", "elfutils"),
    ("redis-server", "redis-server"),
    ("redis-benchmark", "redis-tools"),
];

impl Machine {
    /// The one that this runs on.
    pub(crate) fn this() -> Self {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors.lines().find(|line| line.starts_with("model name"));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            processor: model.and_then(|line| line.split(':').nth(1)).map_or_else(
                || std::env::consts::ARCH.to_owned(),
                |name| name.trim().to_owned(),
            ),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
            is_virtual: processors
                .lines()
                .any(|line| line.starts_with("flags") && line.split(' ').any(|flag| flag == "hypervisor")),
            missing: missing(),
            date: jiff::Timestamp::now().to_string().chars().take(10).collect(),
        }
    }

    /// How many CPUs there are.
    pub(crate) fn cores(&self) -> usize {
        self.cores
    }

    /// For `target/bench.json`.
    pub(crate) fn json(&self) -> Value {
        json!({
            "processor": self.processor,
            "cores": self.cores,
            "kernel": self.kernel,
            "virtual": self.is_virtual,
            "load_before": self.load,
            "date": self.date,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processor,
            cores,
            kernel,
            load,
            date,
            is_virtual,
            missing,
        } = self;
        let kind = if *is_virtual { " of a virtual machine" } else { "" };
        write!(
            formatter,
            "{processor}, {cores} CPUs{kind}, Linux {kernel}, {date}; load average before: {load}"
        )?;
        if !missing.is_empty() {
            write!(
                formatter,
                "\nnot compared, since not installed: {}",
                missing.join(" ")
            )?;
        }
        Ok(())
    }
}

/// The packages that are missing.
fn missing() -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| std::env::split_paths(&path).any(|place| place.join(program).is_file());
    let mut missing: Vec<&str> = PEERS
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    missing
}
