//! What clients of a control socket want to know or have done of isolated threads: it is the tracer's to answer, and
//! they wait for that.

use std::time::{Duration, Instant};

use crate::config::Action;
use crate::ipc::{IsolatedThread, NotSettled};
use crate::sys::Tid;

use super::control::{Answer, ClientId, Failure, Reason};

/// How long a tracer may take. Carrying an order out has its own deadlines, which are shorter.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests that wait for tracers.
#[derive(Debug, Default)]
pub(crate) struct Orders(Vec<Order>);

#[derive(Debug)]
struct Order {
    client: ClientId,
    /// The service whose tracer was asked.
    service: String,
    about: About,
    until: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum About {
    /// Every isolated thread.
    All,
    /// An action on this one.
    One(Tid),
}

impl Orders {
    /// The tracer of that service was asked which threads are isolated.
    pub(crate) fn asked_for_all(&mut self, client: ClientId, service: &str, now: Instant) {
        self.push(client, service, About::All, now);
    }

    /// It was asked to do something with that thread.
    pub(crate) fn asked_for_one(&mut self, client: ClientId, service: &str, tid: Tid, now: Instant) {
        self.push(client, service, About::One(tid), now);
    }

    fn push(&mut self, client: ClientId, service: &str, about: About, now: Instant) {
        self.0.push(Order {
            client,
            service: service.to_owned(),
            about,
            until: now + PATIENCE,
        });
    }

    /// The tracer of that service told of its isolated threads; who is to hear it.
    pub(crate) fn told(&mut self, service: &str, threads: Vec<IsolatedThread>) -> Vec<(ClientId, Answer)> {
        let clients = self.take(|order| order.service == service && order.about == About::All);
        let answer = Answer::Isolated(threads);
        clients.map(|order| (order.client, answer.clone())).collect()
    }

    /// A tracer answered an order about that thread; who is to hear it. Of several orders the first is answered first.
    pub(crate) fn settled(
        &mut self,
        service: &str,
        tid: Tid,
        outcome: Result<Action, NotSettled>,
    ) -> Option<(ClientId, Answer)> {
        let about = |order: &Order| order.service == service && order.about == About::One(tid);
        let order = self.0.remove(self.0.iter().position(about)?);
        let answer = match outcome {
            Ok(action) => Answer::Settled(action),
            Err(why) => Answer::Failed(why.into()),
        };
        Some((order.client, answer))
    }

    /// The tracer of that service is gone: what it was asked for it does not answer any more, and whoever follows it knows
    /// nothing of.
    pub(crate) fn abandon(&mut self, service: &str) -> Vec<(ClientId, Answer)> {
        let orders = self.take(|order| order.service == service);
        orders
            .map(|order| {
                let failure = Failure {
                    reason: Reason::Failed,
                    message: format!(
                        "{service}: its tracer ended before it answered; 'sickbay threads' shows what is held now"
                    ),
                };
                (order.client, Answer::Failed(failure))
            })
            .collect()
    }

    /// Those whose tracer has not answered in time.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<(ClientId, Answer)> {
        let overdue = self.take(|order| now >= order.until);
        overdue
            .map(|order| {
                let failure = Failure {
                    reason: Reason::Failed,
                    message: format!("{}: its tracer did not answer", order.service),
                };
                (order.client, Answer::Failed(failure))
            })
            .collect()
    }

    /// When the next is.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|order| order.until).min()
    }

    fn take(&mut self, wanted: impl Fn(&Order) -> bool) -> std::vec::IntoIter<Order> {
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(wanted);
        self.0 = left;
        let taken: Vec<Order> = taken;
        taken.into_iter()
    }
}

/// What reports call somebody who asks over a control socket.
pub(crate) fn asker(user: u32) -> String {
    format!("an operator (user id {user})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_hears_the_answer_to_an_order_of_another_tracer() {
        let (mut orders, now) = (Orders::default(), Instant::now());
        let [first, second, other] = [1, 2, 3].map(ClientId::sample);
        orders.asked_for_one(first, "api", Tid(7), now);
        orders.asked_for_one(other, "web", Tid(7), now);
        let abandoned = orders.abandon("api");
        assert!(matches!(&abandoned[..], [(client, Answer::Failed(_))] if *client == first));
        orders.asked_for_one(second, "api", Tid(7), now);
        let answer = orders.settled("api", Tid(7), Ok(Action::Park));
        assert_eq!(answer.map(|(client, _)| client), Some(second));
        assert_eq!(
            orders.overdue(now + PATIENCE).len(),
            1,
            "the other service's waits"
        );
    }
}
