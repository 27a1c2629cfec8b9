//! The loop of the front.
//!
//! | file | subject |
//! |---|---|
//! | [`job`] | the program as a job of its shell: signals, stops, end |
//! | [`tracing`] | what the tracer says, and what follows from its death |
//! | [`error`] | why a watch does not take place |
//!
//! A front ends in three steps: it lets its tracer go, which releases every thread; it waits for what the tracer
//! still has to say; it waits for the recorders. A tracer that dies before is replaced, and the processes are taken
//! up again; between the two the service runs as if nobody watched.

mod error;
mod job;
mod tracing;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::config::Service;
use crate::store::Store;
use crate::sys::wait::ExitStatus;
use crate::sys::{Pid, pidfd};

use super::program::{FileLimit, Program, raise_file_limit};
use super::recording::Recording;
use super::signals::Signals;
use super::tracer::{StartError, Tracer};
pub use error::FrontError;
use error::{no_pidfd, system};

/// How long a tracer that was let go may take to say its last words.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What a front needs to know.
#[derive(Debug)]
pub struct Options {
    /// The service, with everything that is configured for it.
    pub service: Service,
    /// Where reports go.
    pub store: Store,
    /// Whether only errors are said on stderr.
    pub quiet: bool,
}

/// How a watch ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The program that was run has ended.
    Program(ExitStatus),
    /// The processes that were attached have ended.
    Gone,
    /// Somebody asked to let go.
    Released,
}

/// A process that we were asked to watch.
#[derive(Debug)]
struct Root {
    pid: Pid,
    pidfd: Option<OwnedFd>,
    attached: bool,
}

/// One watch.
#[derive(Debug)]
pub struct Front {
    service: Service,
    quiet: bool,
    signals: Signals,
    tracer: Option<Tracer>,
    deaths: VecDeque<Instant>,
    buried: Vec<Pid>,
    roots: Vec<Root>,
    program: Option<Program>,
    program_end: Option<ExitStatus>,
    recording: Recording,
    outcome: Option<Outcome>,
    last_words: Option<Instant>,
    files: FileLimit,
}

impl Front {
    /// Runs a program under supervision until it ends.
    pub fn run(options: Options, command: &[OsString]) -> Result<Outcome, FrontError> {
        let mut front = Self::new(options)?;
        let mut tracer = Tracer::start(&front.service)?;
        let program =
            Program::prepare(command, tracer.pid, front.files).map_err(system("start the program"))?;
        front.roots.push(Root {
            pid: program.pid,
            pidfd: None,
            attached: false,
        });
        tracer.seize(program.pid).map_err(StartError::from)?;
        front.program = Some(program);
        front.tracer = Some(tracer);
        front.watch()
    }

    /// Watches running processes until they end, or somebody asks to let go.
    pub fn attach(options: Options, processes: &[Pid]) -> Result<Outcome, FrontError> {
        let mut front = Self::new(options)?;
        let mut tracer = Tracer::start(&front.service)?;
        for pid in processes {
            let pidfd = pidfd::open(*pid).map_err(|source| no_pidfd(*pid, source))?;
            front.roots.push(Root {
                pid: *pid,
                pidfd: Some(pidfd),
                attached: false,
            });
            tracer.seize(*pid).map_err(StartError::from)?;
        }
        front.tracer = Some(tracer);
        front.watch()
    }

    fn new(options: Options) -> Result<Self, FrontError> {
        let Options {
            service,
            store,
            quiet,
        } = options;
        Ok(Self {
            recording: Recording::new(store, service.clone()),
            service,
            quiet,
            signals: Signals::install().map_err(system("handle signals"))?,
            tracer: None,
            deaths: VecDeque::new(),
            buried: Vec::new(),
            roots: Vec::new(),
            program: None,
            program_end: None,
            outcome: None,
            last_words: None,
            files: raise_file_limit(),
        })
    }

    fn watch(mut self) -> Result<Outcome, FrontError> {
        loop {
            if let Some(outcome) = self.finished() {
                return Ok(outcome);
            }
            self.wait()?;
            for meaning in self.signals.pending() {
                self.signal(meaning);
            }
            self.hear_tracer()?;
            self.notice_ends();
            for line in self.recording.advance() {
                self.say(&line);
            }
            self.bury();
        }
    }

    /// The outcome, once nothing is left to do.
    fn finished(&mut self) -> Option<Outcome> {
        let outcome = self.outcome?;
        if self.last_words.is_some_and(|deadline| Instant::now() >= deadline) {
            self.end_tracer();
        }
        (self.tracer.is_none() && self.recording.is_idle()).then_some(outcome)
    }

    /// Waits until something happens.
    fn wait(&mut self) -> Result<(), FrontError> {
        let mut sources = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if let Some(tracer) = &self.tracer {
            let write = if tracer.channel.is_behind() {
                PollFlags::POLLOUT
            } else {
                PollFlags::empty()
            };
            sources.push(PollFd::new(tracer.channel.as_fd(), PollFlags::POLLIN | write));
        }
        let pidfds = self.roots.iter().filter_map(|root| root.pidfd.as_ref());
        sources.extend(pidfds.map(|pidfd| PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)));
        sources.extend(self.recording.sources());
        let deadline = self.last_words.into_iter().chain(self.recording.deadline()).min();
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut sources, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(system("wait for events")(errno.into())),
        }
    }

    /// Forgets attached processes that have ended.
    fn notice_ends(&mut self) {
        if self.program.is_some() || self.outcome.is_some() {
            return;
        }
        self.roots
            .retain(|root| !root.pidfd.as_ref().is_some_and(has_ended));
        if self.roots.is_empty() {
            self.let_go(Outcome::Gone);
        }
    }

    fn let_go(&mut self, outcome: Outcome) {
        if self.outcome.is_some() {
            // Asked twice: do not wait any longer.
            if outcome == Outcome::Released {
                self.last_words = Some(Instant::now());
                self.recording.give_up();
            }
            return;
        }
        self.outcome = Some(outcome);
        self.last_words = Some(Instant::now() + LAST_WORDS);
        let failed = self
            .tracer
            .as_mut()
            .is_some_and(|tracer| tracer.let_go().is_err());
        if failed {
            self.end_tracer();
        }
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            self.complain(line);
        }
    }

    fn complain(&self, line: &str) {
        // Nobody is left to be told where stderr is closed.
        let _ = writeln!(io::stderr().lock(), "sickbay: {line}");
    }
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut source = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut source, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
