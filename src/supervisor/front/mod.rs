//! The loop of `run`, `attach` and `capture`.
//!
//! | file | subject |
//! |---|---|
//! | [`asked`] | what operators ask about isolated threads |
//! | [`job`] | the program as a job of its shell: signals, stops, end |
//! | [`news`] | what the watch says, and what follows |
//! | [`on_demand`] | a watch that is for one capture |
//! | [`ends`] | ends that no tracer has told of |
//! | [`error`] | why a watch does not take place |
//!
//! A front ends in three steps: it lets its tracer go, which releases every thread; it waits for what the tracer
//! still has to say; it waits for the recorders.

mod asked;
mod ends;
mod error;
mod job;
mod news;
mod on_demand;

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::config::{Retention, Service};
use crate::service::Finder;
use crate::store::{Store, StoreError};
use crate::sys::wait::ExitStatus;
use crate::sys::{Pid, fail, pidfd, process};

use super::console;
use super::follow::{Followed, Surroundings};
use super::passing::Passing;
use super::program::{FileLimit, Program, raise_file_limit};
use super::recording::Recording;
use super::signals::Signals;
use super::watch;
use asked::Asking;
use ends::Ends;
pub use error::FrontError;
use error::{ended, no_pidfd, system};
use job::State;
pub use on_demand::Captured;
use on_demand::OnDemand;

/// What a front needs to know.
#[derive(Debug)]
pub struct Options {
    /// The service, with everything that is configured for it.
    pub service: Service,
    /// Where reports go, or why they cannot be kept.
    pub store: Result<Store, StoreError>,
    /// How many of them are kept.
    pub retention: Retention,
    /// Whether only errors are said on stderr.
    pub quiet: bool,
}

impl Options {
    /// Refuses where no report can be kept: what runs already needs no supervision that nobody learns from.
    fn with_reports(self) -> Result<Self, StoreError> {
        let store = Ok(self.store?);
        Ok(Self { store, ..self })
    }
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

/// One watch in the foreground.
#[derive(Debug)]
pub struct Front {
    followed: Followed,
    /// Where processes that come later are looked for.
    surroundings: Option<Surroundings>,
    quiet: bool,
    signals: Signals,
    program: Option<Program>,
    program_end: Option<ExitStatus>,
    state: State,
    passing: Passing,
    recording: Recording,
    on_demand: Option<OnDemand>,
    outcome: Option<Outcome>,
    asking: Asking,
    ends: Ends,
    files: FileLimit,
    next_inquiry: Instant,
}

impl Front {
    /// Runs a program under supervision until it ends. It runs although no report can be kept.
    pub fn run(options: Options, command: &[OsString]) -> Result<Outcome, FrontError> {
        if let Err(error) = &options.store {
            console::say(&format!(
                "no report can be kept: {error}; the program is supervised all the same"
            ));
        }
        let mut front = Self::new(options, None)?;
        let caught = front.signals.take_those_for_a_program();
        caught.map_err(system("handle signals"))?;
        front.followed.watch.start()?;
        let program = Program::prepare(command, front.files).map_err(system("start the program"))?;
        if let Err(error) = process::leave_descriptors_to_the_program() {
            log::warn!("cannot leave open descriptors to the program: {error}");
        }
        front.followed.watch.take_up(program.pid, None)?;
        front.followed.watch.set_program(program.pid)?;
        front.program = Some(program);
        front.recording.expect_program();
        front.listen();
        front.serve()
    }

    /// Watches running processes until they end, or somebody asks to let go.
    pub fn attach(options: Options, processes: &[Pid]) -> Result<Outcome, FrontError> {
        let mut front = Self::new(options.with_reports()?, None)?;
        front.take_up(processes)?;
        front.listen();
        front.serve()
    }

    /// Watches whatever that finder finds, now and later, until somebody asks to let go. There must be something now.
    pub fn follow(options: Options, finder: Finder) -> Result<Outcome, FrontError> {
        let mut front = Self::new(options.with_reports()?, Some(finder))?;
        front.surroundings = Some(Surroundings::new());
        front.listen();
        front.look()?;
        match front.followed.absent() {
            Some(absent) => Err(absent.clone().into()),
            None => front.serve(),
        }
    }

    fn new(options: Options, finder: Option<Finder>) -> Result<Self, FrontError> {
        let Options {
            service,
            store,
            retention,
            quiet,
        } = options;
        Ok(Self {
            recording: Recording::new(store, retention),
            followed: Followed::new(service, finder),
            surroundings: None,
            quiet,
            signals: Signals::install().map_err(system("handle signals"))?,
            program: None,
            program_end: None,
            state: State::default(),
            passing: Passing::default(),
            on_demand: None,
            outcome: None,
            asking: Asking::default(),
            ends: Ends::default(),
            files: raise_file_limit(),
            next_inquiry: Instant::now(),
        })
    }

    fn take_up(&mut self, processes: &[Pid]) -> Result<(), FrontError> {
        self.followed.watch.start()?;
        for pid in processes {
            let pidfd = pidfd::open(*pid).map_err(|source| no_pidfd(*pid, source))?;
            if pidfd::has_ended(&pidfd) {
                return Err(ended(*pid).into());
            }
            self.followed.watch.take_up(*pid, Some(pidfd))?;
        }
        Ok(())
    }

    fn serve(&mut self) -> Result<Outcome, FrontError> {
        loop {
            if let Some(outcome) = self.finished() {
                return Ok(outcome);
            }
            self.wait()?;
            for meaning in self.signals.pending() {
                self.signal(meaning);
            }
            self.take_realtime_signals();
            self.look()?;
            while let Some(news) = self.followed.hear()? {
                self.news(news)?;
            }
            self.attend_clients();
            self.inquire();
            self.pass_on();
            self.notice_ends();
            if self.followed.watch.has_let_go() && self.on_demand.is_none() {
                self.record_untold_ends();
            }
            for concluded in self.recording.advance() {
                self.conclude(concluded);
            }
            for line in self.recording.lines() {
                self.say(&line);
            }
        }
    }

    /// The outcome, once nothing is left to do.
    fn finished(&self) -> Option<Outcome> {
        self.outcome
            .filter(|_| self.followed.watch.has_let_go() && self.recording.is_idle())
    }

    /// Waits until something happens.
    fn wait(&mut self) -> Result<(), FrontError> {
        let signals = self.signals.sources(self.passing.has_room());
        let mut sources: Vec<PollFd<'_>> = signals
            .map(|source| PollFd::new(source, PollFlags::POLLIN))
            .collect();
        sources.extend(self.followed.watch.source());
        let notices = self.surroundings.as_ref().and_then(Surroundings::source);
        sources.extend(notices.map(|notices| PollFd::new(notices, PollFlags::POLLIN)));
        let pidfds = self
            .followed
            .watch
            .roots()
            .iter()
            .filter_map(|root| root.pidfd.as_ref());
        sources.extend(pidfds.map(|pidfd| PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)));
        sources.extend(self.recording.sources());
        sources.extend(self.asking.sources());
        let deadlines = [
            self.asking.deadline(),
            self.passing.deadline(),
            self.followed.watch.deadline(),
            self.followed.next_look().filter(|_| self.outcome.is_none()),
            self.recording.deadline(),
            Some(self.next_inquiry).filter(|_| self.outcome.is_none()),
        ];
        let timeout = deadlines
            .into_iter()
            .flatten()
            .min()
            .map_or(PollTimeout::NONE, |deadline| {
                let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            });
        match poll(&mut sources, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(system("wait for events")(errno.into())),
        }
    }

    /// Has the tracer show now and then that it lives.
    fn inquire(&mut self) {
        let now = Instant::now();
        if now >= self.next_inquiry {
            self.next_inquiry = now + fail::patience(watch::INTERVAL);
            self.followed.watch.ask(now);
        }
    }

    /// Takes up processes that have come, where they are looked for.
    fn look(&mut self) -> Result<(), FrontError> {
        if let Some(surroundings) = self.surroundings.as_mut().filter(|_| self.outcome.is_none()) {
            surroundings.attend(std::iter::once(&mut self.followed));
            self.followed.look(surroundings, Instant::now())?;
        }
        Ok(())
    }

    fn end_without_roots(&mut self) {
        if self.outcome.is_none() && self.followed.watch.roots().is_empty() {
            self.let_go(Outcome::Gone);
        }
    }

    /// Begins the end of this watch. Asked twice, it waits for nothing any longer.
    fn let_go(&mut self, outcome: Outcome) {
        if self.outcome.is_none() {
            self.outcome = Some(outcome);
            self.followed.watch.let_go();
        } else if outcome == Outcome::Released {
            self.followed.watch.let_go();
            self.recording.give_up();
        }
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            self.complain(line);
        }
    }

    fn complain(&self, line: &str) {
        console::say(line);
    }
}
