//! Whether a fault can become an error of its program, worked out from the thread's stack in place.

use crate::isolate::throw::{NotRaised, Program, Raised, Scene};
use crate::policy::{Decision, Walk};
use crate::sys::status::Status;

use super::Tracer;
use super::decision::Looked;
use super::hold::Held;
use super::source::Files;

/// What became of a thread that was to go on elsewhere.
pub(super) enum Attempt<T> {
    /// It is there.
    Done(Held, T),
    /// It is in front of its signal as before, and why.
    Refused(Held, String),
    /// It is gone, and its process with it.
    Gone(Decision),
}

impl<T> Attempt<T> {
    /// A thread that did not come back, and what was decided about it.
    pub(super) fn gone(mut walk: Box<Walk>) -> Self {
        walk.pass("it is gone");
        walk.give_up();
        Self::Gone(walk.end())
    }
}

impl Tracer {
    /// Puts a thread in front of an error of its own language with that text. Locks that it holds are to be released on
    /// the way.
    pub(super) fn raise(
        &mut self,
        held: Held,
        status: &Status,
        looked: &Looked,
        text: &str,
    ) -> Attempt<Raised> {
        let capture = &looked.copied.capture;
        let source = Files(&looked.copied.modules);
        let program = Program {
            process: held.process(),
            modules: &capture.facts.modules,
            source: &source,
        };
        let subject = capture
            .facts
            .threads
            .iter()
            .find(|thread| thread.tid == held.tid());
        let own_tid = subject.map_or(held.tid(), |thread| thread.own_tid());
        let (throwing, sites) = (&mut self.throwing, &mut self.sites);
        let raised = held.lend(|thread, maps| {
            let scene = Scene {
                program,
                maps,
                memory: looked.live.memory(),
                live: &looked.live,
                status,
                python: capture.facts.python.as_ref(),
                own_tid,
                outer: &looked.examined.outer,
                text,
                lock: looked.locks.first().map(String::as_str),
            };
            match throwing.raise(thread, &scene, sites) {
                Ok((thread, raised)) => (Some(thread), Ok(raised)),
                Err(NotRaised { thread, why }) => (thread, Err(why)),
            }
        });
        match raised {
            Ok((held, Ok(raised))) => Attempt::Done(held, raised),
            Ok((held, Err(why))) => Attempt::Refused(held, why),
            Err(walk) => Attempt::gone(walk),
        }
    }
}
