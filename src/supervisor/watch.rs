//! One service under supervision: its tracer kept alive, and what the tracer has to say.
//!
//! A tracer that dies, or that does not answer, is replaced, and the processes are taken up again; between the two the service runs as if
//! nobody watched. The next one is started when the last has been reaped: its socket closes before it lets its tracees
//! go (kernel/exit.c, `do_exit`), and they would be found traced. A tracer that dies again and again is given up for a while. Letting go ends the tracer, which
//! releases every thread; what it still has to say is heard before.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use crate::config::Service;
use crate::ipc::{Captured, Census, ChannelError, FromTracer, Incident, ProcessEnd, Received, Verdict};
use crate::service::Identity;
use crate::sys::wait;
use crate::sys::{Pid, SigNo};

use super::own_group;
use super::tracer::{StartError, Tracer};

/// How soon a dead tracer is looked at again, whoever is told of its end.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long a tracer that was let go may take to say its last words.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// So many tracers may die within [`RESTART_WINDOW`] before the service is left unsupervised.
pub(super) const MAX_RESTARTS: usize = 5;
/// The most processes whose unit is remembered.
const MAX_IDENTITIES: usize = 256;
const RESTART_WINDOW: Duration = Duration::from_secs(60);
/// How long a tracer may leave a question unanswered. It ends itself where one fault keeps it half as long.
pub(crate) const SILENCE: Duration = Duration::from_secs(20);

/// One service and its tracer.
#[derive(Debug)]
pub(crate) struct Watch {
    service: Service,
    tracer: Option<Tracer>,
    roots: Vec<Root>,
    /// What the last processes that were taken up were called then; a unit's run has no name any more once it has ended.
    identities: VecDeque<(Pid, Identity)>,
    /// The program that this process runs, and stops and goes on with.
    program: Option<Pid>,
    deaths: VecDeque<Instant>,
    buried: Vec<Pid>,
    asked: Option<Instant>,
    census: Census,
    /// When the stops of the census were counted, and how many there were a second until then.
    counted: Option<Instant>,
    counted_stops: u64,
    rate: u64,
    stage: Stage,
    /// Whether it was asked to let go while there was no tracer: that it has is still to be said.
    owes_farewell: bool,
}

/// A process that we were asked to watch; the tracer finds its children by itself.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) pid: Pid,
    /// Names the process for good; none where somebody else notices its end.
    pub(crate) pidfd: Option<OwnedFd>,
    /// Whether the tracer has held it.
    pub(crate) attached: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Watching,
    /// The tracer died, and another one is due when it is gone.
    Replacing,
    /// The tracer was asked to end, and is ended at that time.
    LettingGo(Instant),
}

/// What a watch has to say.
#[derive(Debug)]
pub(crate) enum News {
    /// Every thread of a process is held, and so many in all.
    Attached { processes: usize, threads: usize },
    /// That process cannot be taken up.
    Refused(Refusal),
    /// A fault, with its capture and modules.
    Incident(Box<Incident>, Vec<OwnedFd>),
    /// A copy of a live process, with its modules.
    Captured(Box<Captured>, Vec<OwnedFd>),
    /// More modules of the incident or copy of that number.
    Modules(u64, Vec<OwnedFd>),
    /// How an incident ended that was told before.
    Settled(Settlement),
    /// A process ended in a way that is to be recorded.
    Ended(Box<ProcessEnd>, Vec<OwnedFd>),
    /// The end of that process was seen and leaves no record.
    Unrecorded(Pid),
    /// So many faults and ends were counted and not recorded.
    Counted(u64),
    /// The tracer said how things are: [`Watch::census`].
    Census,
    /// The program takes a signal from that sender.
    Took { signal: SigNo, sender: Pid },
    /// Something that the operator should know.
    Warning(String),
    /// The tracer lets go, for that reason; [`News::LetGo`] follows.
    LettingGo(String),
    /// A line of the tracer's log.
    Log(String),
    /// The tracer died; another one takes the service up again.
    Replaced,
    /// Tracers die again and again; the service runs on unsupervised.
    GivenUp,
    /// The tracer was let go, and has ended.
    LetGo,
}

/// How an incident ended that was told before it was settled.
#[derive(Debug)]
pub(crate) struct Settlement {
    /// Its number among the incidents of the tracer.
    pub(crate) number: u64,
    /// What was done in the end.
    pub(crate) verdict: Verdict,
    /// How many messages with modules follow.
    pub(crate) more: usize,
    /// Whether the files of a copied process come with the capture.
    pub(crate) copied: bool,
    /// A capture in place of the earlier one, and its modules; or nothing.
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// A process that cannot be taken up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("cannot attach to {process}: {reason}")]
pub struct Refusal {
    /// The process.
    pub process: Pid,
    /// Why, with the next step.
    pub reason: String,
    /// Whether it is a matter of permission.
    pub permission: bool,
    /// Whether there is no such process.
    pub absent: bool,
}

impl Watch {
    /// A watch without processes; nothing is started yet.
    pub(crate) fn new(service: Service) -> Self {
        Self {
            service,
            tracer: None,
            roots: Vec::new(),
            identities: VecDeque::new(),
            program: None,
            deaths: VecDeque::new(),
            buried: Vec::new(),
            asked: None,
            census: Census::default(),
            counted: None,
            counted_stops: 0,
            rate: 0,
            stage: Stage::Watching,
            owes_farewell: false,
        }
    }

    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    pub(crate) fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// Starts the tracer if there is none, and returns its id.
    pub(crate) fn start(&mut self) -> Result<Pid, StartError> {
        if let Some(tracer) = &self.tracer {
            return Ok(tracer.pid);
        }
        let mut tracer = Tracer::start(&self.service)?;
        for root in &self.roots {
            tracer.seize(root.pid)?;
        }
        if let Some(program) = self.program {
            tracer.follow(program)?;
        }
        let pid = tracer.pid;
        self.tracer = Some(tracer);
        Ok(pid)
    }

    /// Whether tracers have not died too often lately, and none is on its way out.
    pub(crate) fn may_start(&mut self, now: Instant) -> bool {
        self.deaths
            .retain(|death| now.duration_since(*death) < RESTART_WINDOW);
        self.deaths.len() <= MAX_RESTARTS && self.stage == Stage::Watching
    }

    /// Takes up a process. The answer is [`News::Attached`] or [`News::Refused`].
    pub(crate) fn take_up(&mut self, pid: Pid, pidfd: Option<OwnedFd>) -> Result<(), StartError> {
        if let Some(tracer) = &mut self.tracer {
            tracer.seize(pid)?;
        }
        let identity = Identity::of(pid, self.service.target.as_ref());
        self.identities.truncate(MAX_IDENTITIES - 1);
        self.identities.push_front((pid, identity));
        self.roots.push(Root {
            pid,
            pidfd,
            attached: false,
        });
        Ok(())
    }

    /// Asks to be told which signals the program takes, as [`News::Took`], and to be continued when it goes on.
    pub(crate) fn set_program(&mut self, pid: Pid) -> Result<(), StartError> {
        self.program = Some(pid);
        match &mut self.tracer {
            Some(tracer) => Ok(tracer.follow(pid)?),
            None => Ok(()),
        }
    }

    /// This process is about to stop because the program has; or it goes on.
    pub(crate) fn stopping(&mut self, stopping: bool) {
        if let Some(tracer) = &mut self.tracer {
            tracer.stopping(stopping);
        }
    }

    /// Whether that process is our tracer.
    pub(crate) fn is_traced_by(&self, pid: Pid) -> bool {
        self.tracer.as_ref().is_some_and(|tracer| tracer.pid == pid)
    }

    /// Asks for a copy of a process that is attached. The answer is [`News::Captured`] or [`News::Refused`].
    pub(crate) fn capture(&mut self, pid: Pid) -> Result<(), StartError> {
        match &mut self.tracer {
            Some(tracer) => Ok(tracer.capture(pid)?),
            None => Ok(()),
        }
    }

    /// What the service manager calls a process of this service, or called it when it was taken up.
    pub(crate) fn identity(&self, process: Pid) -> Identity {
        let known = |(pid, _): &&(Pid, Identity)| *pid == process;
        if let Some((_, identity)) = self.identities.iter().find(known) {
            return identity.clone();
        }
        let mut identity = Identity::of(process, self.service.target.as_ref());
        // A child of one that was taken up, gone already: of the same run.
        let relative = self
            .identities
            .iter()
            .find(|(_, other)| other.unit == identity.unit);
        if let (None, Some((_, relative))) = (&identity.invocation_id, relative) {
            identity.invocation_id.clone_from(&relative.invocation_id);
        }
        identity
    }

    /// Asks the tracer how things are, unless it has not answered the last time.
    pub(crate) fn ask(&mut self, now: Instant) {
        if let Some(tracer) = self.tracer.as_mut().filter(|_| self.asked.is_none())
            && tracer.ask().is_ok()
        {
            self.asked = Some(now);
        }
    }

    /// What the tracer said last.
    pub(crate) fn census(&self) -> Census {
        self.census
    }

    /// Whether it has said all that it was asked for.
    pub(crate) fn has_answered(&self) -> bool {
        self.asked.is_none()
    }

    /// Stops per second, of late.
    pub(crate) fn stops_per_second(&self) -> u64 {
        self.rate
    }

    /// Whether tracers died too often lately, and nothing is held.
    pub(crate) fn is_given_up(&self) -> bool {
        self.tracer.is_none() && self.deaths.len() > MAX_RESTARTS
    }

    /// Gives the service another configuration. What it holds stays held.
    pub(crate) fn configure(&mut self, service: Service) {
        self.service = service;
        if let Some(tracer) = &mut self.tracer
            && tracer.configure(&self.service).is_err()
        {
            // One that does not take it must not go on with the old one.
            super::send(tracer.pid, SigNo::KILL);
        }
    }

    /// Forgets the processes that `keep` does not want; the tracer knows by itself which have ended.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Root) -> bool) {
        self.roots.retain(keep);
    }

    /// Asks the tracer to let go of everything. Asked twice, it is not waited for any longer.
    ///
    /// A tracer that has just died hears nothing; what it had to say, and its end, are still to be heard.
    pub(crate) fn let_go(&mut self) {
        let first = !matches!(self.stage, Stage::LettingGo(_));
        let patience = if first { LAST_WORDS } else { Duration::ZERO };
        self.owes_farewell |= self.tracer.is_none();
        self.stage = Stage::LettingGo(Instant::now() + patience);
        if let Some(tracer) = self.tracer.as_mut().filter(|_| first) {
            let _ = tracer.let_go();
        }
    }

    /// Whether it was asked to let go, and has.
    pub(crate) fn has_let_go(&self) -> bool {
        matches!(self.stage, Stage::LettingGo(_)) && self.tracer.is_none() && !self.owes_farewell
    }

    /// The next piece of news; none for now. Fails where no other tracer can be started.
    pub(crate) fn hear(&mut self) -> Result<Option<News>, StartError> {
        self.buried.retain(|pid| wait::child_change(*pid).is_none());
        if self.stage == Stage::Replacing && self.buried.is_empty() {
            self.stage = Stage::Watching;
            self.start()?;
            return Ok(Some(News::Replaced));
        }
        if self.asked.is_some_and(|asked| asked.elapsed() >= SILENCE)
            && let Some(tracer) = &self.tracer
        {
            super::send(tracer.pid, SigNo::KILL);
        }
        let Some(tracer) = &mut self.tracer else {
            let owed = std::mem::take(&mut self.owes_farewell);
            return Ok(owed.then_some(News::LetGo));
        };
        let received = tracer
            .channel
            .flush()
            .and_then(|()| tracer.channel.try_receive::<FromTracer>());
        match received {
            Ok(Received::Message(message, descriptors)) => Ok(Some(self.news(message, descriptors))),
            Ok(Received::Nothing) if self.is_overdue() => {
                self.end_tracer();
                Ok(Some(News::LetGo))
            }
            Ok(Received::Nothing) => Ok(None),
            Err(ChannelError::Closed) => Ok(self.tracer_died()),
            Err(error) => Ok(Some(News::Warning(error.to_string()))),
        }
    }

    /// What to wait for: the tracer's socket.
    pub(crate) fn source(&self) -> Option<PollFd<'_>> {
        self.tracer.as_ref().map(|tracer| {
            let write = if tracer.channel.is_behind() {
                PollFlags::POLLOUT
            } else {
                PollFlags::empty()
            };
            PollFd::new(tracer.channel.as_fd(), PollFlags::POLLIN | write)
        })
    }

    /// When to look again although nothing has happened.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Replacing => Some(Instant::now() + LOOK_AGAIN),
            _ if self.owes_farewell => Some(Instant::now()),
            _ if self.tracer.is_none() => None,
            Stage::LettingGo(deadline) => Some(deadline),
            Stage::Watching => self.asked.map(|asked| asked + SILENCE),
        }
    }

    fn is_overdue(&self) -> bool {
        matches!(self.stage, Stage::LettingGo(deadline) if Instant::now() >= deadline)
    }

    fn news(&mut self, message: FromTracer, descriptors: Vec<OwnedFd>) -> News {
        match message {
            FromTracer::Attached {
                process,
                processes,
                threads,
            } => {
                for root in self.roots.iter_mut().filter(|root| root.pid == process) {
                    root.attached = true;
                }
                News::Attached { processes, threads }
            }
            FromTracer::Refused {
                process,
                reason,
                permission,
                absent,
            } => News::Refused(Refusal {
                process,
                reason,
                permission,
                absent,
            }),
            FromTracer::Incident(incident) => {
                incident.copy.into_iter().for_each(own_group::adopt);
                News::Incident(incident, descriptors)
            }
            FromTracer::Captured(captured) => News::Captured(captured, descriptors),
            FromTracer::Modules { number } => News::Modules(number, descriptors),
            FromTracer::Settled {
                number,
                verdict,
                copy,
                more,
            } => {
                copy.into_iter().for_each(own_group::adopt);
                News::Settled(Settlement {
                    number,
                    verdict,
                    copied: copy.is_some(),
                    more,
                    descriptors,
                })
            }
            FromTracer::Ended(end) => News::Ended(end, descriptors),
            FromTracer::Unrecorded(process) => News::Unrecorded(process),
            FromTracer::Counted(counted) => News::Counted(counted),
            FromTracer::Took { signal, sender } => News::Took { signal, sender },
            FromTracer::LettingGo(reason) => {
                self.stage = Stage::LettingGo(Instant::now() + LAST_WORDS);
                News::LettingGo(reason)
            }
            FromTracer::Lingers => {
                self.buried.extend(self.tracer.take().map(|tracer| tracer.pid));
                News::LetGo
            }
            FromTracer::Warning(text) => News::Warning(text),
            FromTracer::Log(line) => News::Log(line),
            FromTracer::Told(census) => {
                self.asked = None;
                self.note_rate(census);
                self.census = census;
                News::Census
            }
        }
    }

    fn tracer_died(&mut self) -> Option<News> {
        self.buried.extend(self.tracer.take().map(|tracer| tracer.pid));
        self.asked = None;
        self.census = Census::default();
        (self.counted, self.rate) = (None, 0);
        if let Stage::LettingGo(_) = self.stage {
            return Some(News::LetGo);
        }
        let now = Instant::now();
        self.deaths.push_back(now);
        if !self.may_start(now) {
            return Some(News::GivenUp);
        }
        self.stage = Stage::Replacing;
        None
    }

    /// Counts stops over a second or more: over less, one burst would be a rate.
    fn note_rate(&mut self, census: Census) {
        let now = Instant::now();
        let passed = self.counted.map(|counted| now.duration_since(counted));
        match passed {
            Some(passed) if passed >= Duration::from_secs(1) => {
                let stops = census.stops.saturating_sub(self.counted_stops);
                self.rate = (stops as f64 / passed.as_secs_f64()) as u64;
            }
            Some(_) => return,
            None => {}
        }
        self.counted = Some(now);
        self.counted_stops = census.stops;
    }

    /// Ends a tracer that does not end by itself; its death releases what it held.
    fn end_tracer(&mut self) {
        if let Some(tracer) = self.tracer.take() {
            super::send(tracer.pid, SigNo::KILL);
            self.buried.push(tracer.pid);
        }
    }
}
