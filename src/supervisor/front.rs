//! The loop of the front, and what each event means.
//!
//! A front ends in three steps: it lets its tracer go, which releases every thread; it waits for what the tracer
//! still has to say; it waits for the recorders. A tracer that dies before is replaced, and the processes are taken
//! up again; between the two the service runs as if nobody watched.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::capture::fault::wall_clock;
use crate::config::Service;
use crate::ipc::{ChannelError, FromTracer, ProcessEnd, Received};
use crate::store::Store;
use crate::sys::signal::SigInfo;
use crate::sys::wait::{self, ChildChange, ExitStatus};
use crate::sys::{Pid, SigNo, pidfd};

use super::program::{FileLimit, Program, raise_file_limit};
use super::recording::Recording;
use super::signals::{Meaning, Signals};
use super::tracer::{StartError, Tracer};

/// How long a tracer that was let go may take to say its last words.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// So many tracers may die within [`RESTART_WINDOW`] before the front gives up on supervising.
const MAX_RESTARTS: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_secs(60);

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

/// Why a watch did not take place.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// The process cannot be attached.
    #[error("cannot attach to {process}: {reason}")]
    Refused {
        /// The process.
        process: Pid,
        /// Why, with the next step.
        reason: String,
        /// Whether it is a matter of permission.
        permission: bool,
        /// Whether there is no such process.
        absent: bool,
    },
    /// There is no tracer.
    #[error(transparent)]
    Tracer(#[from] StartError),
    /// The tracer died again and again.
    #[error("gave up: {MAX_RESTARTS} tracers died within a minute; the service runs on unsupervised")]
    TracersDie,
    /// A system call failed.
    #[error("failed to {operation}: {source}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
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

    fn signal(&mut self, meaning: Meaning) {
        match meaning {
            Meaning::Child => self.reap_program(),
            Meaning::Sent(info) if self.program.is_some() => self.pass_on(&info),
            Meaning::Terminal(SigNo::TSTP | SigNo::TTIN | SigNo::TTOU) if self.program.is_some() => {}
            Meaning::Terminal(SigNo::TSTP | SigNo::TTIN | SigNo::TTOU) => stop_ourselves(),
            Meaning::Terminal(_) if self.program.is_some() => {}
            Meaning::Sent(_) | Meaning::Terminal(_) => self.let_go(Outcome::Released),
        }
    }

    /// Sends the program what somebody sent to us in its place, in the name of that somebody.
    fn pass_on(&mut self, info: &SigInfo) {
        if let Some(program) = self.program.as_ref().filter(|_| self.program_end.is_none()) {
            // A program that is gone needs no signal.
            let _ = pidfd::open(program.pid).and_then(|pidfd| pidfd::send_siginfo(&pidfd, &info.queued()));
        }
    }

    fn reap_program(&mut self) {
        let Some(pid) = self.program.as_ref().map(|program| program.pid) else {
            return;
        };
        while self.program_end.is_none() {
            match wait::child_change(pid) {
                Some(ChildChange::Ended(status)) => {
                    self.program_end = Some(status);
                    self.let_go(Outcome::Program(status));
                }
                Some(ChildChange::Stopped(SigNo::TSTP | SigNo::TTIN | SigNo::TTOU)) => {
                    // The shell that started us must see the job stopped; when it continues us, the program goes on.
                    stop_ourselves();
                    send(pid, SigNo::CONT);
                }
                Some(ChildChange::Stopped(_)) => {}
                None => return,
            }
        }
    }

    fn hear_tracer(&mut self) -> Result<(), FrontError> {
        loop {
            let Some(tracer) = &mut self.tracer else {
                return Ok(());
            };
            let received = tracer
                .channel
                .flush()
                .and_then(|()| tracer.channel.try_receive::<FromTracer>());
            match received {
                Ok(Received::Message(message, descriptors)) => self.message(message, descriptors)?,
                Ok(Received::Nothing) => return Ok(()),
                Err(ChannelError::Closed) => return self.tracer_died(),
                Err(error) => {
                    self.complain(&format!("{error}"));
                    return Ok(());
                }
            }
        }
    }

    fn message(&mut self, message: FromTracer, descriptors: Vec<OwnedFd>) -> Result<(), FrontError> {
        match message {
            FromTracer::Attached {
                process,
                processes,
                threads,
            } => self.attached(process, processes, threads),
            FromTracer::Refused {
                process,
                reason,
                permission,
                absent,
            } => self.refused(FrontError::Refused {
                process,
                reason,
                permission,
                absent,
            }),
            FromTracer::Incident(incident) => {
                crate::sys::fail::point("front.incident.received");
                let line = self.recording.incident(*incident, descriptors);
                line.iter().for_each(|line| self.complain(line));
                Ok(())
            }
            FromTracer::Modules { number } => {
                self.recording.modules(number, descriptors);
                Ok(())
            }
            FromTracer::Ended(end) => {
                let line = self.recording.ended(*end, descriptors);
                line.iter().for_each(|line| self.complain(line));
                Ok(())
            }
            FromTracer::Warning(text) => {
                self.say(&text);
                Ok(())
            }
        }
    }

    fn attached(&mut self, process: Pid, processes: usize, threads: usize) -> Result<(), FrontError> {
        for root in self.roots.iter_mut().filter(|root| root.pid == process) {
            root.attached = true;
        }
        match &mut self.program {
            Some(program) if program.is_waiting() => program.open_gate().map_err(system("start the program")),
            None if self.roots.iter().all(|root| root.attached) => {
                self.say(&format!("attached: {processes} processes, {threads} threads"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A process that cannot be taken up ends the watch, unless it was watched before: it may have changed its
    /// user meanwhile.
    fn refused(&mut self, refusal: FrontError) -> Result<(), FrontError> {
        let FrontError::Refused { process, absent, .. } = &refusal else {
            return Err(refusal);
        };
        let Some(place) = self.roots.iter().position(|root| root.pid == *process) else {
            return Ok(());
        };
        if !self.roots[place].attached {
            return Err(refusal);
        }
        if !*absent {
            self.complain(&format!("{refusal}; it runs on unsupervised"));
        }
        if self.program.is_none() {
            self.roots.remove(place);
            if self.roots.is_empty() {
                self.let_go(Outcome::Gone);
            }
        }
        Ok(())
    }

    fn tracer_died(&mut self) -> Result<(), FrontError> {
        let Some(tracer) = self.tracer.take() else {
            return Ok(());
        };
        self.buried.push(tracer.pid);
        self.recording.tracer_gone();
        if self.outcome.is_some() {
            self.last_words = None;
            self.record_unseen_end();
            return Ok(());
        }
        let now = Instant::now();
        self.deaths.push_back(now);
        self.deaths
            .retain(|death| now.duration_since(*death) < RESTART_WINDOW);
        if self.deaths.len() > MAX_RESTARTS {
            self.complain(&FrontError::TracersDie.to_string());
            if self.program.as_ref().is_none_or(Program::is_waiting) {
                return Err(FrontError::TracersDie);
            }
            return Ok(());
        }
        self.complain("the tracer died; the service runs on, and another tracer takes it up again");
        let mut tracer = Tracer::start(&self.service)?;
        for root in &self.roots {
            tracer.seize(root.pid).map_err(StartError::from)?;
        }
        self.tracer = Some(tracer);
        Ok(())
    }

    /// A program that died by a signal while no tracer could tell of it leaves a record all the same.
    fn record_unseen_end(&mut self) {
        let (Some(program), Some(status @ ExitStatus::Killed { .. })) = (&self.program, self.program_end)
        else {
            return;
        };
        if self.deaths.is_empty() || self.recording.has_told_of(program.pid) {
            return;
        }
        let end = ProcessEnd {
            process: program.pid,
            comm: self.service.name.clone(),
            time_us: wall_clock(Instant::now()),
            status,
        };
        let line = self.recording.ended(end, Vec::new());
        line.iter().for_each(|line| self.complain(line));
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

    /// Ends a tracer that does not end by itself; its death releases what it held.
    fn end_tracer(&mut self) {
        if let Some(tracer) = self.tracer.take() {
            send(tracer.pid, SigNo::KILL);
            self.buried.push(tracer.pid);
        }
        self.last_words = None;
    }

    /// Reaps dead tracers.
    fn bury(&mut self) {
        self.buried.retain(|pid| wait::child_change(*pid).is_none());
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

fn system(operation: &'static str) -> impl FnOnce(io::Error) -> FrontError {
    move |source| FrontError::System { operation, source }
}

fn no_pidfd(process: Pid, source: io::Error) -> FrontError {
    match source.raw_os_error() {
        Some(libc::ESRCH | libc::EINVAL) => FrontError::Refused {
            process,
            reason: format!("no such process {process}; look it up with 'pgrep' or 'ps'"),
            permission: false,
            absent: true,
        },
        _ => FrontError::System {
            operation: "open a descriptor of the process",
            source,
        },
    }
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut source = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut source, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn send(process: Pid, signal: SigNo) {
    // A process that is gone needs no signal.
    let _ = pidfd::open(process).and_then(|pidfd| pidfd::send_signal(&pidfd, signal));
}

/// Stops this process until somebody continues it.
fn stop_ourselves() {
    let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP);
}
