//! The long run as the machine's service: every configured service followed, each by a tracer of its own.
//!
//! | file | subject |
//! |---|---|
//! | [`journal`] | one structured entry for each incident |
//! | `metrics` | numbers for monitoring |
//! | [`notify`] | what the service manager is told |
//! | `refusals` | users whose enrolments are refused again and again |
//! | [`reload`] | another configuration, without letting go of what stays configured |
//! | `requests` | what they ask, and when their answer is due |
//! | [`settings`] | where the configuration comes from, and what of it the daemon uses |
//!
//! One thread, one `poll(2)`, as in the other fronts. What is wrong with one service (no process, no permission, a
//! tracer that dies again and again) never ends the daemon and never concerns another service: it is said once and
//! tried again.

mod journal;
mod metrics;
mod notify;
mod refusals;
mod reload;
mod requests;
mod settings;

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::report::words::count;
use crate::store::Store;
use crate::supervisor::control::{Access, Control, enrolment_path};
use crate::supervisor::follow::{Followed, Surroundings};
use crate::supervisor::orders::Orders;
use crate::supervisor::program::raise_file_limit;
use crate::supervisor::recording::Recording;
use crate::supervisor::signals::{Meaning, Signals};
use crate::supervisor::watch::{self, News, Watch};
use crate::sys::{SigNo, fail};

use journal::Journal;
use metrics::Counters;
use notify::Notifier;
use refusals::Refusals;
use requests::Pending;
pub use settings::{Settings, SettingsError};

/// How long the first attachments may take before the daemon calls itself ready without them.
const READY: Duration = Duration::from_secs(10);

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation}: {source}")]
pub struct DaemonError {
    operation: &'static str,
    source: io::Error,
}

/// The machine's supervisor.
#[derive(Debug)]
pub struct Daemon {
    settings: Settings,
    services: Vec<Followed>,
    /// Services that are configured no longer, while their tracers end.
    leaving: Vec<Watch>,
    surroundings: Surroundings,
    signals: Signals,
    recording: Recording,
    journal: Journal,
    notifier: Notifier,
    control: Option<Control>,
    enrolment: Option<Control>,
    pending: Vec<Pending>,
    orders: Orders,
    refusals: Refusals,
    counters: Counters,
    since: Timestamp,
    stage: Stage,
    next_census: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The first look at each service is under way; until that time.
    Starting(Instant),
    Running,
    Stopping,
}

impl Daemon {
    /// Runs until SIGTERM or SIGINT, and lets go of everything.
    ///
    /// # Errors
    ///
    /// Only where the process cannot be set up, or can wait for nothing.
    pub fn run(settings: Settings, store: Store, socket: Option<&Path>) -> Result<(), DaemonError> {
        let services = settings.services().map(followed).collect();
        let signals = Signals::install().map_err(failed("handle signals"))?;
        raise_file_limit();
        let now = Instant::now();
        let limits = settings.config().store.retention;
        let mut recording = Recording::new(Ok(store), limits);
        recording.retain(limits);
        Self {
            settings,
            services,
            leaving: Vec::new(),
            surroundings: Surroundings::new(),
            signals,
            recording,
            journal: Journal::open(),
            notifier: Notifier::new(),
            control: listen(socket, Access::Group),
            enrolment: listen(socket.map(enrolment_path).as_deref(), Access::All),
            pending: Vec::new(),
            orders: Orders::default(),
            refusals: Refusals::default(),
            counters: Counters::default(),
            since: Timestamp::now(),
            stage: Stage::Starting(now + READY),
            next_census: now,
        }
        .serve()
    }

    fn serve(mut self) -> Result<(), DaemonError> {
        while !self.is_over() {
            self.wait()?;
            for meaning in self.signals.pending() {
                self.signal(meaning);
            }
            self.surroundings.attend(self.services.iter_mut());
            self.look();
            self.hear();
            for concluded in self.recording.advance() {
                self.note_report(&concluded);
                if !self.journal.tell(&concluded) {
                    log::info!("{}", concluded.line);
                }
            }
            self.attend_clients();
            for line in self.recording.lines() {
                log::info!("{line}");
            }
            self.account();
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.stage == Stage::Stopping && self.leaving.is_empty() && self.recording.is_idle()
    }

    /// Waits until something happens, or is due.
    fn wait(&self) -> Result<(), DaemonError> {
        let mut sources = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let notices = self.surroundings.source();
        sources.extend(notices.map(|notices| PollFd::new(notices, PollFlags::POLLIN)));
        sources.extend(self.watches().filter_map(Watch::source));
        sources.extend(self.recording.sources());
        let sockets = self.control.iter().chain(&self.enrolment);
        sources.extend(sockets.clone().flat_map(Control::sources));
        let starting = match self.stage {
            Stage::Starting(until) => Some(until),
            Stage::Running | Stage::Stopping => None,
        };
        let due = [
            Some(self.next_census),
            starting,
            (self.stage != Stage::Running).then(|| self.notifier.next_extension()),
            self.recording.deadline(),
            sockets.filter_map(Control::deadline).min(),
            self.next_answer(),
        ];
        let looks = self.services.iter().filter_map(Followed::next_look);
        let deadlines = self.watches().filter_map(Watch::deadline);
        let next = due.into_iter().flatten().chain(looks).chain(deadlines).min();
        let timeout = next.map_or(PollTimeout::NONE, |next| {
            let left = next.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut sources, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(failed("wait for events")(errno.into())),
        }
    }

    fn watches(&self) -> impl Iterator<Item = &Watch> {
        let followed = self.services.iter().map(|service| &service.watch);
        followed.chain(&self.leaving)
    }

    fn signal(&mut self, meaning: Meaning) {
        let signal = match meaning {
            Meaning::Sent(info) => info.signal(),
            Meaning::Terminal(signal) => signal,
            Meaning::Child => return,
        };
        match signal {
            // What is wrong has been logged.
            SigNo::HUP => drop(self.reload()),
            SigNo::TERM | SigNo::INT => self.stop(),
            _ => {}
        }
    }

    /// Lets go of everything. Asked twice, it waits for nothing any longer.
    fn stop(&mut self) {
        if self.stage == Stage::Stopping {
            self.recording.give_up();
        } else {
            self.stage = Stage::Stopping;
            self.notifier.stopping();
            self.leaving
                .extend(self.services.drain(..).map(|service| service.watch));
        }
        for watch in &mut self.leaving {
            watch.let_go();
        }
    }

    /// Looks for processes of the services whose time has come.
    fn look(&mut self) {
        let now = Instant::now();
        for service in &mut self.services {
            if let Err(error) = service.look(&mut self.surroundings, now) {
                log::error!("{}: {error}", service.name());
            }
            if let Some(absent) = service.news_of_absence(now).map(ToString::to_string) {
                log::info!("{}: {absent}", service.name());
            }
        }
    }

    fn hear(&mut self) {
        let mut answers = Vec::new();
        for service in &mut self.services {
            loop {
                match service.hear() {
                    Ok(Some(News::Isolated(threads))) => {
                        answers.extend(self.orders.told(service.name(), threads));
                    }
                    Ok(Some(News::SettleAnswer(tid, outcome))) => {
                        answers.extend(self.orders.settled(service.name(), tid, outcome));
                    }
                    Ok(Some(news)) => {
                        if news.is_of_tracers_end() {
                            answers.extend(self.orders.abandon(service.name()));
                        }
                        take_news(&mut self.recording, &mut self.counters, &service.watch, news)
                    }
                    Ok(None) => break,
                    Err(error) => {
                        log::error!("{}: {error}", service.name());
                        break;
                    }
                }
            }
        }
        for watch in &mut self.leaving {
            while let Ok(Some(news)) = watch.hear() {
                take_news(&mut self.recording, &mut self.counters, watch, news);
            }
        }
        self.leaving.retain(|watch| !watch.has_let_go());
        for (client, answer) in answers {
            self.reply(client, &answer);
        }
    }

    /// Asks the tracers how things are, and tells the service manager.
    fn account(&mut self) {
        let now = Instant::now();
        if let Stage::Starting(until) = self.stage
            && (now >= until || self.services.iter().all(Followed::is_settled))
        {
            self.stage = Stage::Running;
            self.notifier.ready();
            self.next_census = now;
        }
        if now >= self.next_census {
            let interval = self.notifier.watchdog_interval().unwrap_or(watch::INTERVAL);
            self.next_census = now + interval.min(watch::INTERVAL);
            for service in &mut self.services {
                service.watch.ask(now);
            }
        }
        if self.stage != Stage::Running {
            self.notifier.extend(now);
        }
        self.notifier.status(&self.status());
        // A tracer that is silent for too long is ended by its watch; until then nothing is wrong that a restart of
        // the daemon would mend.
        self.notifier.watchdog(now);
    }

    fn status(&self) -> String {
        let (mut processes, mut threads) = (0, 0);
        for watch in self.watches() {
            let census = watch.census();
            processes += census.processes;
            threads += census.threads;
        }
        format!(
            "{}, {}, {} supervised",
            count(self.services.len(), "service"),
            count(processes, "process"),
            count(threads, "thread")
        )
    }
}

/// A daemon without its socket still does its work, and says why nobody can ask it.
fn listen(socket: Option<&Path>, access: Access) -> Option<Control> {
    let path = socket?;
    let listened = Control::listen(path, access);
    listened
        .inspect_err(|error| {
            log::error!(
                "cannot listen at {}: {error}; nobody can ask this daemon",
                path.display()
            )
        })
        .ok()
}

fn followed((service, finder): (crate::config::Service, crate::service::Finder)) -> Followed {
    Followed::new(service, Some(finder))
}

fn take_news(recording: &mut Recording, counters: &mut Counters, watch: &Watch, news: News) {
    let service = watch.service();
    let name = &service.name;
    let line = match news {
        News::Attached { processes, threads } => {
            log::info!(
                "{name}: attached: {}, {}",
                count(processes, "process"),
                count(threads, "thread")
            );
            None
        }
        News::Refused(refusal) => Some(refusal.to_string()),
        News::Incident(incident, descriptors) => {
            fail::point("front.incident.received");
            recording.incident(watch, *incident, descriptors)
        }
        News::Captured(captured, descriptors) => recording.captured(watch, *captured, descriptors),
        News::Modules(number, descriptors) => {
            recording.modules(service, number, descriptors);
            None
        }
        News::Settled(settlement) => {
            recording.settled(service, settlement);
            None
        }
        News::Ended(end, descriptors) => recording.ended(watch, *end, descriptors),
        News::Counted(counted) => {
            counters.unrecorded(name, counted);
            Some(format!("{counted} faults and ends were counted, not recorded"))
        }
        // Answered where they are heard.
        News::Isolated(_) | News::SettleAnswer(..) => None,
        News::Census | News::Unrecorded(_) | News::Took { .. } => None,
        News::Warning(text) | News::LettingGo(text) | News::Log(text) => Some(text),
        News::Silent => Some("the tracer did not answer and was ended".to_owned()),
        News::Replaced => {
            counters.tracer_death(name);
            recording.tracer_gone(service);
            Some("the tracer died; the service runs on, and another tracer takes it up again".to_owned())
        }
        News::GivenUp => {
            counters.tracer_death(name);
            recording.tracer_gone(service);
            Some("tracers die again and again; the service runs on unsupervised for a while".to_owned())
        }
        News::LetGo => {
            recording.tracer_gone(service);
            None
        }
    };
    if let Some(line) = line {
        log::warn!("{name}: {line}");
    }
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> DaemonError {
    move |source| DaemonError { operation, source }
}
