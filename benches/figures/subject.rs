//! The process under test (`benches/load.c`) and those that trace it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::process::{Cpus, Process, Stream};

/// What [`Programs::keep_all`] asks for.
const FULL_CORE: &str =
    "[[service]]\nname = \"load\"\n[service.report]\nformats = [\"json\", \"core\"]\ncore = \"full\"\n";

/// The compiled C programs, and where reports go meanwhile.
pub(crate) struct Programs {
    load: PathBuf,
    floor: PathBuf,
    /// None without a C++ compiler.
    thrower: Option<PathBuf>,
    state: TempDir,
}

/// A process that measures itself.
pub(crate) struct Load(Process);

/// Who traces the process under test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tracer {
    /// Nobody.
    Nobody,
    /// `benches/floor.c`, waiting for any thread.
    Floor,
    /// `benches/floor.c`, waiting for the main thread alone.
    FloorOfOne,
    /// Sickbay.
    Sickbay,
    /// strace, which follows threads and shows nothing.
    Strace,
    /// gdb, which passes the signals on.
    Gdb,
}

/// A tracer at work.
pub(crate) struct Tracing {
    tracer: Tracer,
    /// None for nobody.
    pub(crate) process: Option<Process>,
    /// From the start of its process until it says that every thread is attached.
    pub(crate) attached_in: Duration,
}

impl Programs {
    /// Compiles what the benches need.
    pub(crate) fn build() -> Result<Self> {
        Ok(Self {
            load: compile("load")?,
            floor: compile("floor")?,
            thrower: compile_cxx("thrower").ok(),
            state: tempfile::Builder::new().prefix("sickbay-bench-").tempdir()?,
        })
    }

    /// Starts a process with so many threads.
    pub(crate) fn load(&self, threads: usize) -> Result<Load> {
        let mut command = Command::new(&self.load);
        command.arg(threads.to_string());
        let mut process = Process::start(&mut command, Cpus::Any, Stream::Output)?;
        process
            .hear("ready")
            .with_context(|| format!("failed to start {threads} threads"))?;
        Ok(Load(process))
    }

    /// Has the process under test traced.
    pub(crate) fn trace(&self, load: &Load, tracer: Tracer, cpus: Cpus) -> Result<Tracing> {
        self.attach(load.pid(), tracer, cpus)
    }

    /// Has any process traced.
    pub(crate) fn attach(&self, pid: i32, tracer: Tracer, cpus: Cpus) -> Result<Tracing> {
        let began = Instant::now();
        let pid = pid.to_string();
        let (mut command, stream, ready) = match tracer {
            Tracer::Nobody => {
                return Ok(Tracing {
                    tracer,
                    process: None,
                    attached_in: Duration::ZERO,
                });
            }
            Tracer::Floor => (self.floor(&[&pid]), Stream::Output, "ready"),
            Tracer::FloorOfOne => (self.floor(&[&pid, "one"]), Stream::Output, "ready"),
            Tracer::Sickbay => (self.sickbay(&pid), Stream::Error, "attached"),
            Tracer::Strace => {
                let mut command = Command::new("strace");
                command.args(["-f", "-e", "trace=none", "-e", "signal=none", "-p", &pid]);
                (command, Stream::Error, "attached")
            }
            Tracer::Gdb => {
                let mut command = Command::new("gdb");
                command.args(["-nx", "-q", "-batch", "-p", &pid]);
                for line in [
                    "handle SIGUSR1 SIGURG nostop noprint pass",
                    "echo ready\\n",
                    "continue",
                ] {
                    command.args(["-ex", line]);
                }
                (command, Stream::Output, "ready")
            }
        };
        let mut process = Process::start(&mut command, cpus, stream)?;
        process.hear(ready).with_context(|| format!("{tracer:?}"))?;
        Ok(Tracing {
            tracer,
            process: Some(process),
            attached_in: began.elapsed(),
        })
    }

    /// Has a process traced whose signals from others are suppressed.
    pub(crate) fn suppress(&self, load: &Load) -> Result<Tracing> {
        self.sickbay_with(load, &["--action".as_ref(), "suppress".as_ref()])
    }

    /// Has a process traced whose core is to hold all its memory.
    pub(crate) fn keep_all(&self, load: &Load) -> Result<Tracing> {
        let file = self.scratch().join("full.toml");
        std::fs::write(&file, FULL_CORE)?;
        self.sickbay_with(
            load,
            &[
                "--config".as_ref(),
                file.as_os_str(),
                "--name".as_ref(),
                "load".as_ref(),
            ],
        )
    }

    fn sickbay_with(&self, load: &Load, options: &[&OsStr]) -> Result<Tracing> {
        let began = Instant::now();
        let mut command = self.sickbay(&load.pid().to_string());
        command.args(options);
        let mut process = Process::start(&mut command, Cpus::Any, Stream::Error)?;
        process.hear("attached")?;
        Ok(Tracing {
            tracer: Tracer::Sickbay,
            process: Some(process),
            attached_in: began.elapsed(),
        })
    }

    /// A directory that is removed in the end.
    pub(crate) fn scratch(&self) -> &Path {
        self.state.path()
    }

    /// Where reports go.
    pub(crate) fn state(&self) -> PathBuf {
        self.state.path().join("state")
    }

    /// The program that throws, where there is one.
    pub(crate) fn thrower(&self) -> Option<&Path> {
        self.thrower.as_deref()
    }

    fn floor(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.floor);
        command.args(arguments);
        command
    }

    fn sickbay(&self, pid: &str) -> Command {
        let mut command = Command::new(sickbay());
        command.arg("attach").arg("--state-dir").arg(self.state());
        command.args(["--pid", pid]);
        command
    }
}

/// The program: the one that cargo built for this bench, with the release profile, or what `SICKBAY_BENCH_PROGRAM` names,
/// such as an earlier build.
pub(crate) fn sickbay() -> PathBuf {
    std::env::var_os("SICKBAY_BENCH_PROGRAM")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_sickbay")), PathBuf::from)
}

impl Load {
    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        self.0.pid()
    }

    /// Moves its main thread.
    pub(crate) fn run_on(&mut self, cpu: usize) -> Result<()> {
        self.0.say(&format!("cpu {cpu}"))?;
        self.0.hear("cpu").map(drop)
    }

    /// Repeats something for a while; returns how often it was done per second.
    pub(crate) fn rate(&mut self, what: &str, time: Duration) -> Result<f64> {
        self.0.say(&format!("{what} {}", time.as_millis()))?;
        let answer = self.0.hear(what)?;
        let mut numbers = answer.split(' ').skip(1).map(str::parse::<f64>);
        let (Some(Ok(count)), Some(Ok(nanoseconds))) = (numbers.next(), numbers.next()) else {
            anyhow::bail!("failed to read '{answer}'");
        };
        Ok(count / nanoseconds * 1e9)
    }

    /// Milliseconds from a signal to a silent thread until its handler has run while others storm: the middle of so many,
    /// and the longest.
    pub(crate) fn silent(&mut self, turns: usize) -> Result<(f64, f64)> {
        self.0.say(&format!("silent {turns}"))?;
        let answer = self.0.hear("silent")?;
        let mut numbers = answer
            .split(' ')
            .skip(1)
            .filter_map(|word| word.parse::<f64>().ok());
        match (numbers.next(), numbers.next()) {
            (Some(middle), Some(longest)) => Ok((middle / 1e6, longest / 1e6)),
            _ => anyhow::bail!("failed to read '{answer}'"),
        }
    }

    /// Has it take that much memory, MB, and write to all of it.
    pub(crate) fn fill(&mut self, megabytes: usize) -> Result<()> {
        self.0.say(&format!("fill {megabytes}"))?;
        self.0.hear("fill").map(drop)
    }

    /// Has it write through a null pointer; returns the time since 1970 of that.
    pub(crate) fn fault(&mut self) -> Result<Duration> {
        self.0.say("fault")?;
        let answer = self.0.hear("fault")?;
        let time = answer.split(' ').nth(1).context("no time in the answer")?;
        Ok(Duration::from_nanos(time.parse()?))
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.0.end().map(drop)
    }
}

impl Tracer {
    /// What it is called in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Floor | Self::FloorOfOne => "floor",
            Self::Sickbay => "sickbay",
            Self::Strace => "strace",
            Self::Gdb => "gdb",
        }
    }
}

impl Tracing {
    /// Waits for the tracer to end by itself.
    pub(crate) fn end(mut self) -> Result<()> {
        self.process
            .as_mut()
            .map_or(Ok(()), |process| process.end().map(drop))
    }

    /// Has the tracer let go and end.
    pub(crate) fn release(mut self) -> Result<()> {
        let signal = match self.tracer {
            Tracer::Sickbay | Tracer::Gdb => Signal::SIGINT,
            _ => Signal::SIGTERM,
        };
        self.process
            .as_mut()
            .map_or(Ok(()), |process| process.end_by(signal))
    }
}

fn compile(name: &str) -> Result<PathBuf> {
    compile_with("cc", &format!("{name}.c"), name)
}

fn compile_cxx(name: &str) -> Result<PathBuf> {
    compile_with("c++", &format!("{name}.cc"), name)
}

fn compile_with(compiler: &str, source: &str, name: &str) -> Result<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let directory = root.join("target/programs");
    std::fs::create_dir_all(&directory)?;
    let program = directory.join(format!("bench-{name}"));
    let status = Command::new(compiler)
        .args(["-O2", "-Wall", "-Wextra", "-pthread", "-D_GNU_SOURCE", "-o"])
        .arg(&program)
        .arg(root.join("benches").join(source))
        .status()
        .with_context(|| format!("failed to start {compiler}; install gcc and g++"))?;
    ensure!(status.success(), "failed to compile benches/{source}");
    Ok(program)
}
