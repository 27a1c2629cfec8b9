//! The tracer process: attaches to one service and takes each fault along its path.
//!
//! One thread does all of it, since ptrace requests and SIGCHLD belong to one thread and one process; what other threads
//! come for is to read /proc and files beside it. It opens no file on a disk of its own, and waits for nobody without a
//! limit: what it has to say is queued where its front is slow.
//!
//! Its end is the detach that no system call notices (ptrace(2): tracees are released when their tracer exits,
//! running ones without being woken). So letting go is nothing but to end, and its death by any cause leaves the
//! service running. A signal that comes in the last moment takes its effect all the same; one that the program ignores
//! may then interrupt a system call. That moment is kept short and quiet: [`Engine::leave`] comes before, and the thread
//! that traces ends before the process does.

mod copies;
mod dangers;
mod decision;
mod departure;
mod examining;
mod following;
mod handing;
mod hold;
mod incident;
mod isolated;
mod learning;
mod on_demand;
mod parked;
mod refused;
mod rescuing;
mod settling;
mod skipping;
mod source;
mod stops;
mod telling;
mod throwing;
mod unwinding;

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::config::Service;
use crate::ipc::{Census, Channel, ChannelError, FromTracer, Received, ToTracer, role_log};
use crate::isolate::sites::Finder;
use crate::isolate::throw::Throwing;
use crate::policy::{Admission, Budget, Limits};
use crate::service::MemoryGroups;
use crate::sys::ptrace::Options;
use crate::sys::wake::Wake;
use crate::sys::{Pid, fail, process, thread_end};
use crate::trace::{AttachError, Engine, Turn};

use copies::HeldCopy;
use examining::Examiner;
use following::Following;
use hold::Held;
use isolated::Isolated;
use learning::Learning;
use refused::Refused;

/// When audits follow an attachment, and the interval that stays.
const AUDITS: [Duration; 4] = [
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(30),
];
/// The longest that a process is held for one fault or one capture. A tracer that takes longer ends, which lets the
/// process go on, and a signal take effect.
const HOLD: Duration = Duration::from_secs(10);
/// How long a tracer that lets go waits for its front to take the messages that are queued.
const FLUSH: Duration = Duration::from_secs(5);

/// One service under the eyes of this process.
struct Tracer {
    service: Service,
    channel: Channel,
    wake: Wake,
    engine: Engine,
    asked_for: Vec<Pid>,
    budget: Budget,
    started: Instant,
    audit: Audit,
    following: Following,
    incidents: u64,
    sites: Finder,
    held: Vec<Held>,
    examiner: Examiner,
    refused: Refused,
    throwing: Throwing,
    learning: Learning,
    limits: Limits,
    /// Threads that living processes have lost.
    lost: HashMap<Pid, usize>,
    isolated: Isolated,
    copies: Vec<HeldCopy>,
    memory: MemoryGroups,
}

/// When to look for threads that slipped through.
struct Audit {
    step: usize,
    due: Option<Instant>,
}

/// Why a tracer ends.
#[derive(Debug, thiserror::Error)]
enum TracerError {
    /// The front is gone.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A system call that cannot fail here did.
    #[error("failed to set up a tracer: {0}")]
    Setup(#[from] std::io::Error),
    /// The front does not speak our language.
    #[error("the first message names no service")]
    NoService,
}

/// Runs a tracer on descriptor 0 until its front lets it go, or is gone.
pub fn main() -> ExitCode {
    fail::point("tracer.start");
    let mut tracer = match set_up() {
        Ok(tracer) => tracer,
        Err(error) => {
            log::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let status = match tracer.run() {
        Ok(()) | Err(TracerError::Channel(ChannelError::Closed)) => 0,
        Err(error) => {
            log::error!("{error}");
            1
        }
    };
    let Tracer {
        mut channel,
        mut engine,
        ..
    } = tracer;
    let flushed = move || {
        flush(&mut channel);
        status
    };
    thread_end::end_before(flushed, || engine.leave())
}

fn set_up() -> Result<Tracer, TracerError> {
    process::become_a_role();
    let mut channel = Channel::new(std::io::stdin().as_fd().try_clone_to_owned()?);
    role_log::send_through(&channel, FromTracer::Log)?;
    let (ToTracer::Begin(service), _) = channel.receive()? else {
        return Err(TracerError::NoService);
    };
    let wake = Wake::install(channel.as_fd())?;
    let options = if service.children {
        Options::threads().with_children()
    } else {
        Options::threads()
    };
    let mut engine = Engine::new(options)?;
    engine.limit_stops(service.stop_rate);
    Ok(Tracer {
        budget: Budget::per_minute(service.report.max_per_minute),
        service: *service,
        channel,
        wake,
        engine,
        asked_for: Vec::new(),
        started: Instant::now(),
        audit: Audit { step: 0, due: None },
        following: Following::default(),
        incidents: 0,
        sites: Finder::default(),
        held: Vec::new(),
        examiner: Examiner::default(),
        refused: Refused::default(),
        throwing: Throwing::default(),
        learning: Learning::default(),
        limits: Limits::default(),
        lost: HashMap::new(),
        isolated: Isolated::default(),
        copies: Vec::new(),
        memory: MemoryGroups::default(),
    })
}

impl Tracer {
    fn run(&mut self) -> Result<(), TracerError> {
        loop {
            if self.wake.take() && !self.attend()? {
                let (threads, processes) = (self.engine.threads(), self.engine.processes());
                log::debug!("letting go of {threads} threads of {processes} processes");
                fail::point("tracer.release");
                return self.take_leave();
            }
            match self.engine.turn(&self.wake) {
                Turn::Fault(fault) => self.incident(*fault)?,
                Turn::Refused(process) => self.refused(process),
                Turn::Ending(ending) => {
                    self.refused.forget(ending.process);
                    self.forget_to_learn_of(ending.process);
                    self.forget_held(ending.process)?;
                    self.departure(ending)?;
                }
                Turn::Exec(process) => {
                    self.forget_held(process)?;
                    self.learn_of(process);
                    self.warn_of_lost_privileges(process)?;
                }
                Turn::Took(signal, sender) => self.took(signal, sender)?,
                Turn::GoesOn(process) => self.goes_on(process),
                Turn::TooManyStops(excess) => {
                    if self.is_let_go_for(excess)? {
                        return self.say_counted();
                    }
                }
                Turn::Woken => {}
                Turn::Nobody => self.wait_for_front(),
            }
        }
    }

    /// Tells what was counted and not told yet.
    fn say_counted(&mut self) -> Result<(), TracerError> {
        match self.budget.take_counted() {
            0 => Ok(()),
            counted => self.say(FromTracer::Counted(counted)),
        }
    }

    /// What is left to do before this process ends: where nothing but copied processes is traced, to stay for them.
    fn take_leave(&mut self) -> Result<(), TracerError> {
        self.say_counted()?;
        if self.has_copies() && self.engine.threads() == 0 {
            self.say(FromTracer::Lingers)?;
            flush(&mut self.channel);
            self.linger();
        }
        Ok(())
    }

    /// Does what the front and the clock ask for. False: let go.
    fn attend(&mut self) -> Result<bool, TracerError> {
        self.channel.flush()?;
        while let Received::Message(message, _) = self.channel.try_receive::<ToTracer>()? {
            match message {
                ToTracer::Begin(service) => self.configure(*service),
                ToTracer::Seize(process) => self.seize(process)?,
                ToTracer::Capture(process) => self.capture(process)?,
                ToTracer::Tell => self.tell()?,
                ToTracer::TellIsolated => self.tell_isolated()?,
                ToTracer::Settle { tid, actions, asker } => self.settle_on_request(tid, actions, &asker)?,
                ToTracer::Follow(process) => self.follow(process),
                ToTracer::Stopping => self.front_stops(true),
                ToTracer::GoingOn => self.front_stops(false),
                ToTracer::LetGo => {
                    self.settle_held()?;
                    return Ok(false);
                }
            }
        }
        if self.audit.due.is_some_and(|due| Instant::now() >= due) {
            self.engine.audit();
            self.audit.step = (self.audit.step + 1).min(AUDITS.len() - 1);
            self.schedule();
        }
        self.look_after_front();
        self.look_after_copies();
        self.learn();
        self.look_after_refused()?;
        if self.next_look().is_some_and(|due| Instant::now() >= due) {
            self.look_after_held()?;
        }
        Ok(true)
    }

    fn seize(&mut self, process: Pid) -> Result<(), TracerError> {
        if let Err(error) = self.engine.attach(process) {
            return self.say(FromTracer::Refused {
                process,
                reason: error.to_string(),
                permission: matches!(error, AttachError::NotPermitted),
                absent: matches!(error, AttachError::NoSuchProcess(_)),
            });
        }
        self.asked_for.push(process);
        self.memory.note(process);
        if self.service.children {
            for (child, error) in self.engine.attach_descendants(process) {
                self.say(FromTracer::Warning(format!(
                    "cannot attach to {child}, a child of {process}: {error}"
                )))?;
            }
        }
        self.audit.step = 0;
        self.schedule();
        let (processes, threads) = (self.engine.processes(), self.engine.threads());
        self.say(FromTracer::Attached {
            process,
            processes,
            threads,
        })?;
        self.learn_of(process);
        Ok(())
    }

    /// Takes another configuration. Whether children are taken is settled when a process is attached.
    fn configure(&mut self, service: Service) {
        if service.report.max_per_minute != self.service.report.max_per_minute {
            self.budget = Budget::per_minute(service.report.max_per_minute);
        }
        if service.stop_rate != self.service.stop_rate {
            self.engine.limit_stops(service.stop_rate);
        }
        let looked_closely = self.service.looks_closely();
        self.service = service;
        if !looked_closely {
            for process in self.asked_for.clone() {
                self.learn_of(process);
            }
        }
    }

    fn tell(&mut self) -> Result<(), TracerError> {
        self.memory.age();
        self.say(FromTracer::Told(Census {
            processes: self.engine.processes(),
            threads: self.engine.threads(),
            stops: self.engine.stops(),
            incidents: self.incidents,
            lost: self.lost.values().sum(),
        }))
    }

    fn schedule(&mut self) {
        let step = if self.engine.has_departing() {
            self.audit.step.min(2)
        } else {
            self.audit.step
        };
        self.audit.due = Some(Instant::now() + AUDITS[step]);
        self.set_alarm();
    }

    /// Has this process woken when the next thing is due.
    fn set_alarm(&self) {
        let due = [
            self.audit.due,
            self.following.due,
            self.next_look(),
            self.refused.due(),
            self.next_lesson(),
        ];
        if let Some(due) = due.into_iter().flatten().min() {
            self.wake.after(due.saturating_duration_since(Instant::now()));
        }
    }

    /// Whether the limit allows one more record. The first that it does not allow is said; the rest is counted.
    fn admit(&mut self) -> Result<bool, TracerError> {
        let limit = self.service.report.max_per_minute;
        match self.budget.admit(self.started.elapsed()) {
            Admission::Record => return Ok(true),
            Admission::Count(1) => self.say(FromTracer::Warning(format!(
                "{limit} reports were made within a minute (max_per_minute): further faults are only counted for now"
            )))?,
            Admission::Count(_) => {}
        }
        Ok(false)
    }

    /// Tells the front that the end of a process it asked for was seen, and leaves no record.
    fn leave_unrecorded(&mut self, process: Pid) -> Result<(), TracerError> {
        if self.asked_for.contains(&process) {
            self.say(FromTracer::Unrecorded(process))?;
        }
        Ok(())
    }

    /// Queues a message. A front that does not read loses messages, and hears of it when it reads again.
    fn say(&mut self, message: FromTracer) -> Result<(), TracerError> {
        self.say_with(message, Vec::new())
    }

    fn say_with(
        &mut self,
        message: FromTracer,
        descriptors: Vec<std::os::fd::OwnedFd>,
    ) -> Result<(), TracerError> {
        match self.channel.send(&message, descriptors) {
            Err(error @ ChannelError::Closed) => Err(error.into()),
            Err(error) => {
                log::warn!("{error}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn wait_for_front(&self) {
        let mut socket = [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
        match poll(&mut socket, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => self.wake.note(),
            Err(errno) => log::warn!("failed to wait for the front: {errno}"),
        }
    }
}

/// Waits until the front has taken what is queued, for a while.
fn flush(channel: &mut Channel) {
    let deadline = Instant::now() + FLUSH;
    while channel.is_behind() && Instant::now() < deadline {
        let mut socket = [PollFd::new(channel.as_fd(), PollFlags::POLLOUT)];
        let _ = poll(&mut socket, PollTimeout::from(100_u16));
        if channel.flush().is_err() {
            return;
        }
    }
}
