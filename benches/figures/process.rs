//! Child processes that say lines: started on chosen CPUs, read with a deadline, ended with us.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The longest that a line or an end is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a process may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cpus {
    /// Wherever the scheduler likes.
    Any,
    /// On this one.
    One(usize),
}

/// The stream that carries the lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// A child, killed when dropped.
pub(crate) struct Process {
    child: Child,
    lines: Lines<Box<dyn Readable>>,
}

/// Something with a descriptor to poll and bytes to read.
trait Readable: Read + AsFd {}
impl<T: Read + AsFd> Readable for T {}

impl Process {
    /// Starts a program that will say lines on `stream`; the other stream goes nowhere.
    pub(crate) fn start(command: &mut Command, cpus: Cpus, stream: Stream) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match stream {
            Stream::Output => command.stdout(Stdio::piped()),
            Stream::Error => command.stderr(Stdio::piped()),
        };
        let own = current_cpus()?;
        set_cpus(cpus, &own)?;
        let spawned = command.spawn();
        sched_setaffinity(Pid::from_raw(0), &own)?;
        let mut child = spawned.with_context(|| format!("failed to start {command:?}"))?;
        let from: Box<dyn Readable> = match (child.stdout.take(), child.stderr.take()) {
            (Some(output), _) => Box::new(output),
            (None, Some(error)) => Box::new(error),
            (None, None) => bail!("{command:?} has no stream"),
        };
        Ok(Self {
            child,
            lines: Lines {
                from,
                unread: Vec::new(),
            },
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends it a line.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("its stdin is closed")?;
        writeln!(stdin, "{line}").with_context(|| format!("failed to send '{line}'"))
    }

    /// Waits for a line that holds `what`, and returns it.
    pub(crate) fn hear(&mut self, what: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self
                .lines
                .next(deadline)
                .with_context(|| format!("while waiting for '{what}'"))?;
            if line.contains(what) {
                return Ok(line);
            }
        }
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// Sends it a signal and waits for its end; kills it if that takes long.
    pub(crate) fn end_by(&mut self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid()), signal)?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() >= deadline {
                self.child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Lines<R> {
    from: R,
    unread: Vec<u8>,
}

impl<R: Read + AsFd> Lines<R> {
    fn next(&mut self, deadline: Instant) -> Result<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            if poll(&mut [PollFd::new(self.from.as_fd(), PollFlags::POLLIN)], timeout)? == 0 {
                bail!("nothing was said within {PATIENCE:?}");
            }
            let mut bytes = [0; 4096];
            match self.from.read(&mut bytes)? {
                0 => bail!("it ended"),
                read => self.unread.extend_from_slice(&bytes[..read]),
            }
        }
    }
}

fn current_cpus() -> Result<CpuSet> {
    Ok(nix::sched::sched_getaffinity(Pid::from_raw(0))?)
}

/// A child inherits the set of the thread that starts it.
fn set_cpus(cpus: Cpus, own: &CpuSet) -> Result<()> {
    let set = match cpus {
        Cpus::Any => *own,
        Cpus::One(cpu) => {
            let mut set = CpuSet::new();
            set.set(cpu)?;
            set
        }
    };
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}
