//! What operators ask while a service is watched in the foreground: which threads are isolated, and what to do with one.

use std::time::Instant;

use nix::poll::PollFd;

use crate::config::Action;
use crate::ipc::{IsolatedThread, NotSettled};
use crate::supervisor::control::{Answer, Asked, ClientId, Control, Failure, Reason, Request};
use crate::supervisor::orders::{self, Orders};
use crate::sys::Tid;

use super::Front;

/// The socket and what waits for an answer.
#[derive(Debug, Default)]
pub(super) struct Asking {
    control: Option<Control>,
    orders: Orders,
}

impl Asking {
    pub(super) fn sources(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.control.iter().flat_map(Control::sources)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let control = self.control.as_ref().and_then(Control::deadline);
        [control, self.orders.deadline()].into_iter().flatten().min()
    }

    fn answer(&mut self, answers: impl IntoIterator<Item = (ClientId, Answer)>) {
        if let Some(control) = &mut self.control {
            for (client, answer) in answers {
                control.answer(client, &answer);
            }
        }
    }
}

impl Front {
    /// Listens from now on. A watch that nobody can ask does its work all the same.
    pub(super) fn listen(&mut self) {
        let level = match self.followed.watch.service().isolates() {
            true => log::Level::Warn,
            // There will be nothing to ask about.
            false => log::Level::Info,
        };
        let listened = Control::of_watch();
        self.asking.control = listened
            .inspect_err(|error| log::log!(level, "nobody can ask about isolated threads: {error}"))
            .ok();
    }

    /// Takes what clients ask.
    pub(super) fn attend_clients(&mut self) {
        let now = Instant::now();
        let Some(control) = &mut self.asking.control else {
            return;
        };
        for asked in control.attend(now) {
            let client = asked.client;
            if let Err(failure) = self.take_order(asked, now) {
                self.asking.answer([(client, Answer::Failed(failure))]);
            }
        }
        let overdue = self.asking.orders.overdue(now);
        self.asking.answer(overdue);
    }

    fn take_order(&mut self, asked: Asked, now: Instant) -> Result<(), Failure> {
        let service = self.followed.name().to_owned();
        let watch = &mut self.followed.watch;
        let failed = |message: String| Failure {
            reason: Reason::Failed,
            message,
        };
        match asked.request {
            Request::Isolated { .. } => {
                watch.ask_isolated().map_err(|error| failed(error.to_string()))?;
                self.asking.orders.asked_for_all(asked.client, &service, now);
                Ok(())
            }
            Request::Settle { tid, actions } => {
                watch
                    .settle(tid, actions, orders::asker(asked.user))
                    .map_err(|error| failed(error.to_string()))?;
                self.asking
                    .orders
                    .asked_for_one(asked.client, &service, tid, now);
                Ok(())
            }
            _ => Err(failed(
                "this process watches one service in the foreground and answers about its isolated threads alone"
                    .to_owned(),
            )),
        }
    }

    /// The tracer that was asked is gone.
    pub(super) fn abandon_orders(&mut self) {
        let answers = self.asking.orders.abandon(self.followed.name());
        self.asking.answer(answers);
    }

    pub(super) fn isolated(&mut self, threads: Vec<IsolatedThread>) {
        let answers = self.asking.orders.told(self.followed.name(), threads);
        self.asking.answer(answers);
    }

    pub(super) fn settle_answered(&mut self, tid: Tid, outcome: Result<Action, NotSettled>) {
        let answer = self.asking.orders.settled(self.followed.name(), tid, outcome);
        self.asking.answer(answer);
    }
}
