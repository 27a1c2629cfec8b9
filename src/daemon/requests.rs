//! What clients of the control socket ask, and when their answer is due.
//!
//! A request that something else has to happen for (tracers that answer, let go, or copy) waits in a list; each turn of
//! the daemon looks whether it can be answered.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::report::model::Kind;
use crate::supervisor::control::message::{self, ServiceStatus, State};
use crate::supervisor::control::{Access, Answer, Asked, ClientId, Failure, Reason, Request};
use crate::supervisor::follow::Followed;
use crate::supervisor::orders;
use crate::supervisor::recording::Concluded;
use crate::sys::status::Status;
use crate::sys::{Pid, Tid};

use super::Daemon;

/// How long tracers may take to say how things are; what they said before stands for those that do not.
const CENSUS: Duration = Duration::from_millis(80);
/// How long a process waits to be traced before it starts its program all the same.
const ENROLMENT: Duration = Duration::from_secs(3);
/// How long reports of live processes may take.
const CAPTURES: Duration = Duration::from_secs(100);

/// A request whose answer is not due yet.
#[derive(Debug)]
pub(super) struct Pending {
    client: ClientId,
    what: What,
}

#[derive(Debug)]
enum What {
    Status {
        service: Option<String>,
        until: Instant,
    },
    Metrics {
        until: Instant,
    },
    Release {
        service: String,
    },
    Enroll {
        service: String,
        process: Pid,
        until: Instant,
    },
    Capture {
        service: String,
        /// Processes whose report has not been written.
        waiting: Vec<Pid>,
        written: Vec<PathBuf>,
        until: Instant,
    },
}

impl Daemon {
    /// Takes what clients ask, and answers those whose answer is due.
    pub(super) fn attend_clients(&mut self) {
        let now = Instant::now();
        let sockets = [&mut self.control, &mut self.enrolment].into_iter().flatten();
        let asked: Vec<Asked> = sockets.flat_map(|socket| socket.attend(now)).collect();
        for asked in asked {
            let client = asked.client;
            if let Request::Isolated { .. } | Request::Settle { .. } = &asked.request {
                if let Err(failure) = self.take_order(&asked, now) {
                    self.reply(client, &Answer::Failed(failure));
                }
                continue;
            }
            match self.take_request(asked, now) {
                Ok(Some(what)) => self.pending.push(Pending { client, what }),
                Ok(None) => self.reply(client, &Answer::Done),
                Err(failure) => self.reply(client, &Answer::Failed(failure)),
            }
        }
        for pending in std::mem::take(&mut self.pending) {
            match self.due(&pending.what, now) {
                Some(answer) => self.reply(pending.client, &answer),
                None => self.pending.push(pending),
            }
        }
        for (client, answer) in self.orders.overdue(now) {
            self.reply(client, &answer);
        }
    }

    /// Passes on what is asked about isolated threads to the tracer that knows.
    fn take_order(&mut self, asked: &Asked, now: Instant) -> Result<(), Failure> {
        match &asked.request {
            Request::Isolated { service, process } => {
                let followed = match (service, process) {
                    (Some(name), _) => self.find(name)?,
                    (None, Some(process)) => self.holder_of(process.leader())?,
                    (None, None) => return Err(unknown("")),
                };
                followed.watch.ask_isolated().map_err(failed)?;
                let name = followed.name().to_owned();
                self.orders.asked_for_all(asked.client, &name, now);
            }
            Request::Settle { .. } if !asked.trusted => return Err(not_permitted()),
            Request::Settle { tid, actions } => {
                let followed = self.holder_of(*tid)?;
                let (name, user) = (followed.name().to_owned(), asked.user);
                let watch = &mut followed.watch;
                watch
                    .settle(*tid, actions.clone(), orders::asker(user))
                    .map_err(failed)?;
                log::info!("{name}: user id {user} asks to settle thread {tid} by {actions}");
                self.orders.asked_for_one(asked.client, &name, *tid, now);
            }
            _ => {}
        }
        Ok(())
    }

    /// The service whose tracer holds that thread.
    fn holder_of(&mut self, tid: Tid) -> Result<&mut Followed, Failure> {
        let tracer = Status::read(tid).map_or(0, |status| status.tracer);
        let mut services = self.services.iter_mut();
        let holder = services.find(|followed| followed.watch.is_traced_by(Pid(tracer)));
        holder.ok_or_else(|| Failure {
            reason: Reason::NotFound,
            message: format!("no thread {tid} is supervised here; 'sickbay status' shows what is"),
        })
    }

    /// When the next answer is due whatever happens.
    pub(super) fn next_answer(&self) -> Option<Instant> {
        let until = |pending: &Pending| match pending.what {
            What::Status { until, .. }
            | What::Metrics { until }
            | What::Enroll { until, .. }
            | What::Capture { until, .. } => Some(until),
            What::Release { .. } => None,
        };
        let orders = self.orders.deadline();
        self.pending.iter().filter_map(until).chain(orders).min()
    }

    /// Notes a report that somebody may be waiting for.
    pub(super) fn note_report(&mut self, concluded: &Concluded) {
        self.counters.report(&concluded.brief);
        let name = concluded.brief.service.name.as_deref().unwrap_or_default();
        if let Some(service) = self.services.iter_mut().find(|service| service.name() == name) {
            service.reports += 1;
        }
        for pending in &mut self.pending {
            if let What::Capture {
                service,
                waiting,
                written,
                ..
            } = &mut pending.what
                && concluded.brief.kind == Kind::Capture
                && service == name
                && waiting.contains(&concluded.brief.process.pid)
            {
                waiting.retain(|pid| *pid != concluded.brief.process.pid);
                written.push(concluded.path.clone());
            }
        }
    }

    /// Begins what is asked. None: it is done already.
    fn take_request(&mut self, asked: Asked, now: Instant) -> Result<Option<What>, Failure> {
        if !asked.trusted
            && !matches!(
                asked.request,
                Request::Status { .. } | Request::Metrics | Request::Enroll { .. }
            )
        {
            return Err(not_permitted());
        }
        match asked.request {
            // Taken by `take_order`, which answers later.
            Request::Isolated { .. } | Request::Settle { .. } => Ok(None),
            Request::Status { service } => {
                if let Some(name) = &service {
                    self.find(name)?;
                }
                let until = self.ask_all(now);
                Ok(Some(What::Status { service, until }))
            }
            Request::Metrics => {
                let until = self.ask_all(now);
                Ok(Some(What::Metrics { until }))
            }
            Request::Release { service } => {
                self.find(&service)?.release();
                log::info!("{service}: let go on request");
                Ok(Some(What::Release { service }))
            }
            Request::Hold { service } => {
                self.find(&service)?.hold(now);
                log::info!("{service}: taken up again on request");
                Ok(None)
            }
            Request::Enroll { service } => {
                let process = asked.peer;
                if !asked.trusted && self.refusals.are_too_many(asked.user, now) {
                    return Err(Failure {
                        reason: Reason::NotPermitted,
                        message: format!(
                            "too many enrolments of user {} were refused; try again in a minute",
                            asked.user
                        ),
                    });
                }
                self.enroll(&service, process, now)
                    .inspect_err(|_| self.refusals.note(asked.user, now))?;
                let until = now + ENROLMENT;
                Ok(Some(What::Enroll {
                    service,
                    process,
                    until,
                }))
            }
            Request::Reload => self.reload().map(|()| None).map_err(|error| Failure {
                reason: Reason::BadConfiguration,
                message: format!("{error}\nthe configuration stays as it was"),
            }),
            Request::Capture { service } => {
                let waiting = self.find(&service)?.capture().map_err(|reason| Failure {
                    reason: Reason::NotFound,
                    message: format!("cannot capture {service}: {reason}"),
                })?;
                Ok(Some(What::Capture {
                    service,
                    waiting,
                    written: Vec::new(),
                    until: now + CAPTURES,
                }))
            }
        }
    }

    /// The answer to a request, if it is due.
    fn due(&self, what: &What, now: Instant) -> Option<Answer> {
        match what {
            What::Status { service, until } => {
                let due = self.all_have_answered() || now >= *until;
                due.then(|| Answer::Status(self.answer_status(service.as_deref())))
            }
            What::Metrics { until } => {
                let due = self.all_have_answered() || now >= *until;
                due.then(|| Answer::Metrics(self.counters.text(&self.answer_status(None))))
            }
            What::Release { service } => {
                let held = |followed: &&Followed| followed.name() == service && !followed.watch.has_let_go();
                self.services.iter().find(held).is_none().then_some(Answer::Done)
            }
            What::Enroll {
                service,
                process,
                until,
            } => {
                let followed = self.services.iter().find(|followed| followed.name() == service);
                let held = followed.and_then(|followed| followed.is_held(*process));
                let failed = |message: String| {
                    Answer::Failed(Failure {
                        reason: Reason::Failed,
                        message,
                    })
                };
                match held {
                    Some(Ok(())) => Some(Answer::Done),
                    Some(Err(reason)) => Some(failed(format!("cannot attach to {process}: {reason}"))),
                    None if now >= *until => Some(failed(format!("{service}: its tracer did not answer"))),
                    None => None,
                }
            }
            What::Capture {
                waiting,
                written,
                until,
                ..
            } => (waiting.is_empty() || now >= *until).then(|| Answer::Captured(written.clone())),
        }
    }

    /// Asks every tracer how things are; returns when their answers are not waited for any longer.
    fn ask_all(&mut self, now: Instant) -> Instant {
        for followed in &mut self.services {
            followed.watch.ask(now);
        }
        now + CENSUS
    }

    fn all_have_answered(&self) -> bool {
        self.services.iter().all(|followed| followed.watch.has_answered())
    }

    pub(super) fn reply(&mut self, client: ClientId, answer: &Answer) {
        let socket = match client.access {
            Access::Group | Access::Trusted => &mut self.control,
            Access::All => &mut self.enrolment,
        };
        if let Some(socket) = socket {
            socket.answer(client, answer);
        }
    }

    /// Has the process that asks taken up at once, if it is one of that service's.
    fn enroll(&mut self, name: &str, process: Pid, now: Instant) -> Result<(), Failure> {
        let service = self.services.iter_mut().find(|service| service.name() == name);
        let service = service.ok_or_else(|| unknown(name))?;
        service
            .enroll(&mut self.surroundings, process, now)
            .map_err(|reason| Failure {
                reason: Reason::NotPermitted,
                message: format!("cannot enrol {process} for {name}: {reason}"),
            })
    }

    fn find(&mut self, name: &str) -> Result<&mut Followed, Failure> {
        let service = self.services.iter_mut().find(|service| service.name() == name);
        service.ok_or_else(|| unknown(name))
    }

    fn answer_status(&self, name: Option<&str>) -> message::Status {
        let wanted = |followed: &&Followed| name.is_none_or(|name| name == followed.name());
        message::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: Pid(std::process::id() as i32),
            since: self.since,
            services: self.services.iter().filter(wanted).map(status_of).collect(),
        }
    }
}

fn not_permitted() -> Failure {
    Failure {
        reason: Reason::NotPermitted,
        message: "only root may change what is supervised; try again with sudo".to_owned(),
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure {
        reason: Reason::Failed,
        message: error.to_string(),
    }
}

fn unknown(name: &str) -> Failure {
    Failure {
        reason: Reason::NotFound,
        message: format!("no service '{name}' is configured; 'sickbay status' shows which are"),
    }
}

fn status_of(followed: &Followed) -> ServiceStatus {
    let census = followed.watch.census();
    let service = followed.watch.service();
    let pids: Vec<Pid> = followed.watch.roots().iter().map(|root| root.pid).collect();
    let state = if followed.is_released() {
        State::Released
    } else if pids.is_empty() {
        State::Absent
    } else if followed.watch.is_given_up() {
        State::GivenUp
    } else {
        State::Held
    };
    ServiceStatus {
        name: service.name.clone(),
        target: service
            .target
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        state,
        note: followed.note(),
        pids,
        processes: census.processes,
        threads: census.threads,
        lost: census.lost,
        stops: census.stops,
        stops_per_second: followed.watch.stops_per_second(),
        reports: followed.reports,
    }
}
