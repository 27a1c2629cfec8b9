//! One service under supervision: its tracer kept alive, and what the tracer has to say.
//!
//! A tracer that dies, or that does not answer, is replaced, and the processes are taken up again; between the two the
//! service runs as if nobody watched. The next one is started when the last has been reaped: its socket closes before it
//! lets its tracees go (kernel/exit.c, `do_exit`), and they would be found traced. A tracer that dies again and again is
//! given up for a while. Letting go ends the tracer, which releases every thread; what it still has to say is heard before.
//!
//! | file | subject |
//! |---|---|
//! | `news` | what a watch has to say |
//! | `former` | tracers that are on their way out, and how many have died lately |
//! | `inquiry` | what the tracer is asked, and whether it answers |
//! | `identities` | what the service manager calls the processes |

mod former;
mod identities;
mod inquiry;
mod news;

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use crate::config::{Ladder, Service};
use crate::ipc::{Census, ChannelError, FromTracer, Received};
use crate::service::Identity;
use crate::sys::{Pid, SigNo, Tid};

use super::own_group;
use super::tracer::{StartError, Tracer};
use former::FormerTracers;
pub(super) use former::MAX_RESTARTS;
use identities::Identities;
pub(crate) use inquiry::INTERVAL;
use inquiry::Inquiry;
pub use news::Refusal;
pub(crate) use news::{News, Settlement};

/// How soon a dead tracer is looked at again, whoever is told of its end.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long a tracer that was asked to let go may take to do so and to say it.
const RELEASE: Duration = Duration::from_secs(10);

/// One service and its tracer.
#[derive(Debug)]
pub(crate) struct Watch {
    service: Service,
    tracer: Option<Tracer>,
    roots: Vec<Root>,
    identities: Identities,
    /// The program that this process runs, and stops and goes on with.
    program: Option<Pid>,
    former: FormerTracers,
    inquiry: Inquiry,
    stage: Stage,
    /// Whether it was asked to let go while there was no tracer: that it has is still to be said.
    is_release_unsaid: bool,
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

impl Watch {
    /// A watch without processes; nothing is started yet.
    pub(crate) fn new(service: Service) -> Self {
        Self {
            service,
            tracer: None,
            roots: Vec::new(),
            identities: Identities::default(),
            program: None,
            former: FormerTracers::default(),
            inquiry: Inquiry::default(),
            stage: Stage::Watching,
            is_release_unsaid: false,
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
        !self.former.die_too_often(now) && self.stage == Stage::Watching
    }

    /// Takes up a process. The answer is [`News::Attached`] or [`News::Refused`].
    pub(crate) fn take_up(&mut self, pid: Pid, pidfd: Option<OwnedFd>) -> Result<(), StartError> {
        if let Some(tracer) = &mut self.tracer {
            tracer.seize(pid)?;
        }
        self.identities.note(pid, self.service.target.as_ref());
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

    /// Asks which threads were taken out of the service's work. The answer is [`News::Isolated`].
    pub(crate) fn ask_isolated(&mut self) -> Result<(), StartError> {
        match &mut self.tracer {
            Some(tracer) => Ok(tracer.ask_isolated()?),
            None => Err(StartError::Absent),
        }
    }

    /// Asks to do something with a thread that is held or parked. The answer is [`News::SettleAnswer`].
    pub(crate) fn settle(&mut self, tid: Tid, actions: Ladder, asker: String) -> Result<(), StartError> {
        match &mut self.tracer {
            Some(tracer) => Ok(tracer.settle(tid, actions, asker)?),
            None => Err(StartError::Absent),
        }
    }

    /// What the service manager calls a process of this service, or called it when it was taken up.
    pub(crate) fn identity(&self, process: Pid) -> Identity {
        self.identities.of(process, self.service.target.as_ref())
    }

    /// Asks the tracer how things are, unless it has not answered the last time.
    pub(crate) fn ask(&mut self, now: Instant) {
        if let Some(tracer) = self.tracer.as_mut().filter(|_| self.inquiry.is_answered())
            && tracer.ask().is_ok()
        {
            self.inquiry.asked(now);
        }
    }

    /// What the tracer said last.
    pub(crate) fn census(&self) -> Census {
        self.inquiry.census()
    }

    /// Whether it has said all that it was asked for.
    pub(crate) fn has_answered(&self) -> bool {
        self.inquiry.is_answered()
    }

    /// Stops per second, of late.
    pub(crate) fn stops_per_second(&self) -> u64 {
        self.inquiry.stops_per_second()
    }

    /// Whether tracers died too often lately, and nothing is held.
    pub(crate) fn is_given_up(&self) -> bool {
        self.tracer.is_none() && self.former.died_too_often()
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
        let patience = if first { RELEASE } else { Duration::ZERO };
        self.is_release_unsaid |= self.tracer.is_none();
        self.stage = Stage::LettingGo(Instant::now() + patience);
        if let Some(tracer) = self.tracer.as_mut().filter(|_| first) {
            let _ = tracer.let_go();
        }
    }

    /// Whether it was asked to let go, and has.
    pub(crate) fn has_let_go(&self) -> bool {
        matches!(self.stage, Stage::LettingGo(_)) && self.tracer.is_none() && !self.is_release_unsaid
    }

    /// The next piece of news; none for now. Fails where no other tracer can be started.
    pub(crate) fn hear(&mut self) -> Result<Option<News>, StartError> {
        let all_reaped = self.former.reap();
        if self.stage == Stage::Replacing && all_reaped {
            self.stage = Stage::Watching;
            self.start()?;
            return Ok(Some(News::Replaced));
        }
        let overdue = self.is_overdue();
        let Some(tracer) = &mut self.tracer else {
            let owed = std::mem::take(&mut self.is_release_unsaid);
            return Ok(owed.then_some(News::LetGo));
        };
        let received = tracer
            .channel
            .flush()
            .and_then(|()| tracer.channel.try_receive::<FromTracer>());
        match received {
            Ok(Received::Message(message, descriptors)) => Ok(Some(self.news(message, descriptors))),
            Ok(Received::Nothing) if overdue => {
                self.end_tracer();
                Ok(Some(News::LetGo))
            }
            Ok(Received::Nothing) if self.inquiry.is_overdue(Instant::now()) => {
                super::send(tracer.pid, SigNo::KILL);
                Ok(Some(News::Silent))
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
            _ if self.is_release_unsaid => Some(Instant::now()),
            _ if self.tracer.is_none() => None,
            Stage::LettingGo(deadline) => Some(deadline),
            Stage::Watching => self.inquiry.deadline(),
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
            FromTracer::Isolated(threads) => News::Isolated(threads),
            FromTracer::SettleAnswer { tid, outcome } => News::SettleAnswer(tid, outcome),
            FromTracer::Unrecorded(process) => News::Unrecorded(process),
            FromTracer::Counted(counted) => News::Counted(counted),
            FromTracer::Took { signal, sender } => News::Took { signal, sender },
            FromTracer::LettingGo(reason) => {
                self.stage = Stage::LettingGo(Instant::now() + RELEASE);
                News::LettingGo(reason)
            }
            FromTracer::Lingers => {
                let lingers = self.tracer.take();
                self.former.extend(lingers.map(|tracer| tracer.pid));
                News::LetGo
            }
            FromTracer::Warning(text) => News::Warning(text),
            FromTracer::Log(line) => News::Log(line),
            FromTracer::Told(census) => {
                self.inquiry.answered(census, Instant::now());
                News::Census
            }
        }
    }

    fn tracer_died(&mut self) -> Option<News> {
        let dead = self.tracer.take();
        self.former.extend(dead.map(|tracer| tracer.pid));
        self.inquiry = Inquiry::default();
        if let Stage::LettingGo(_) = self.stage {
            return Some(News::LetGo);
        }
        let now = Instant::now();
        self.former.note_death(now);
        if !self.may_start(now) {
            return Some(News::GivenUp);
        }
        self.stage = Stage::Replacing;
        None
    }

    /// Ends a tracer that does not end by itself; its death releases what it held.
    fn end_tracer(&mut self) {
        if let Some(tracer) = self.tracer.take() {
            super::send(tracer.pid, SigNo::KILL);
            self.former.extend([tracer.pid]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// It is a tracer no more than `cat` is, and as little reaped.
    #[test]
    fn the_next_tracer_is_not_started_before_the_last_one_is_reaped() {
        let mut last = Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut watch = Watch::new(Service::for_run("test"));
        watch.former.extend([Pid(last.id() as i32)]);
        watch.stage = Stage::Replacing;
        assert!(watch.hear().unwrap().is_none());
        assert!(watch.tracer.is_none() && watch.deadline().is_some());
        last.kill().unwrap();
        last.wait().unwrap();
    }
}
