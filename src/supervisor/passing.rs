//! Signals on their way from the front to its program, each delivered once.
//!
//! Whoever signals a whole group (a shell its job, a service manager its control group) reaches the front and the
//! program alike; passed on, the signal would come twice, and many programs take a second SIGTERM or SIGINT for a
//! demand to drop everything. Nothing in a signal tells how many it was sent to. So one that groups are sent waits for
//! [`GRACE`]: if the program takes the same signal from the same sender meanwhile, or has just done so, it is not
//! passed on. The tracer sees what the program takes; that it continues is seen by its parent too, who is the front.
//!
//! Pure: the time is the caller's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::sys::signal::{SI_USER, SigInfo};
use crate::sys::{Pid, SigNo};

/// How long a signal that may have been sent to a group waits for the program to take its own.
const GRACE: Duration = Duration::from_millis(30);
/// How long it is remembered that the program has taken one.
const MEMORY: Duration = Duration::from_secs(1);
/// How soon a signal that the kernel had no room for is tried again.
const RETRY: Duration = Duration::from_millis(5);
/// The most signals that wait. Realtime signals past it stay in the kernel's queue, others are left out.
const MAX_HELD: usize = 64;
/// The most that are remembered.
const MAX_TAKEN: usize = 64;

/// Signals that wait, and those that the program has taken by itself.
#[derive(Debug, Default)]
pub(super) struct Passing {
    held: VecDeque<Held>,
    taken: VecDeque<Taken>,
}

#[derive(Debug)]
struct Held {
    info: SigInfo,
    due: Instant,
}

/// None for a sender: any may have sent it.
#[derive(Debug)]
struct Taken {
    signal: SigNo,
    sender: Option<Pid>,
    at: Instant,
}

impl Passing {
    /// Whether one more can wait.
    pub(super) fn has_room(&self) -> bool {
        self.held.len() < MAX_HELD
    }

    /// Somebody has sent the front this signal.
    pub(super) fn sent(&mut self, info: SigInfo, now: Instant) {
        self.taken
            .retain(|taken| now.saturating_duration_since(taken.at) < MEMORY);
        if let Some(place) = self.taken.iter().position(|taken| taken.is(&info)) {
            self.taken.remove(place);
        } else if self.has_room() {
            let wait = if is_sent_to_groups(&info) {
                GRACE
            } else {
                Duration::ZERO
            };
            self.held.push_back(Held {
                info,
                due: now + wait,
            });
        }
    }

    /// The program takes a signal that was sent to it. No sender: it is not known.
    pub(super) fn taken(&mut self, signal: SigNo, sender: Option<Pid>, now: Instant) {
        let taken = Taken {
            signal,
            sender,
            at: now,
        };
        if let Some(place) = self.held.iter().position(|held| taken.is(&held.info)) {
            self.held.remove(place);
        } else {
            self.taken.truncate(MAX_TAKEN - 1);
            self.taken.push_front(taken);
        }
    }

    /// What the program took of that signal so far is not what comes from now on.
    pub(super) fn forget(&mut self, signal: SigNo) {
        self.taken.retain(|taken| taken.signal != signal);
    }

    /// The next signal that is to be passed on now.
    pub(super) fn next(&mut self, now: Instant) -> Option<SigInfo> {
        let place = self.held.iter().position(|held| held.due <= now)?;
        self.held.remove(place).map(|held| held.info)
    }

    /// The kernel had no room for this one. Those behind it wait with it, so that the order stays.
    pub(super) fn put_back(&mut self, info: SigInfo, now: Instant) {
        self.held.push_front(Held { info, due: now });
        for held in &mut self.held {
            held.due = held.due.max(now + RETRY);
        }
    }

    /// When the next one is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.due).min()
    }
}

impl Taken {
    fn is(&self, info: &SigInfo) -> bool {
        let same_sender = || self.sender.is_none() || info.sender().map(|(sender, _)| sender) == self.sender;
        is_sent_to_groups(info) && info.signal() == self.signal && same_sender()
    }
}

/// Whether it may have been sent to more than the front, by kill(2).
fn is_sent_to_groups(info: &SigInfo) -> bool {
    info.code() == SI_USER && info.signal().is_sent_to_groups()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Pid = Pid(100);
    const OTHER: Pid = Pid(200);

    fn from(sender: Pid, signal: SigNo) -> SigInfo {
        SigInfo::new(signal, SI_USER, sender.0 as u64)
    }

    fn rest(passing: &mut Passing, now: Instant) -> Vec<SigNo> {
        std::iter::from_fn(|| passing.next(now))
            .map(|info| info.signal())
            .collect()
    }

    #[test]
    fn what_the_front_alone_was_sent_is_passed_on_after_a_while() {
        let (mut passing, now) = (Passing::default(), Instant::now());
        passing.sent(from(SHELL, SigNo::TERM), now);
        assert_eq!(rest(&mut passing, now), []);
        assert_eq!(passing.deadline(), Some(now + GRACE));
        assert_eq!(rest(&mut passing, now + GRACE), [SigNo::TERM]);
        assert_eq!(passing.deadline(), None);
    }

    #[test]
    fn what_a_group_was_sent_is_not_whoever_hears_of_it_first() {
        for program_first in [true, false] {
            let (mut passing, now) = (Passing::default(), Instant::now());
            if program_first {
                passing.taken(SigNo::TERM, Some(SHELL), now);
            }
            passing.sent(from(SHELL, SigNo::TERM), now);
            if !program_first {
                passing.taken(SigNo::TERM, Some(SHELL), now + GRACE / 2);
            }
            assert_eq!(rest(&mut passing, now + GRACE), []);
            // Once: the next one is another.
            passing.sent(from(SHELL, SigNo::TERM), now + GRACE);
            assert_eq!(rest(&mut passing, now + 2 * GRACE), [SigNo::TERM]);
        }
    }

    #[test]
    fn another_sender_signal_or_time_is_another_signal() {
        let (mut passing, now) = (Passing::default(), Instant::now());
        passing.taken(SigNo::TERM, Some(OTHER), now);
        passing.taken(SigNo::HUP, Some(SHELL), now);
        passing.sent(from(SHELL, SigNo::TERM), now);
        passing.sent(from(SHELL, SigNo::HUP), now + MEMORY);
        assert_eq!(rest(&mut passing, now + 2 * MEMORY), [SigNo::TERM, SigNo::HUP]);
    }

    #[test]
    fn a_continuation_may_be_anybodys() {
        let (mut passing, now) = (Passing::default(), Instant::now());
        passing.taken(SigNo::CONT, None, now);
        passing.sent(from(SHELL, SigNo::CONT), now);
        assert_eq!(rest(&mut passing, now + GRACE), []);
    }

    #[test]
    fn what_was_forgotten_keeps_nothing_back() {
        let (mut passing, now) = (Passing::default(), Instant::now());
        passing.taken(SigNo::CONT, None, now);
        passing.forget(SigNo::CONT);
        passing.sent(from(SHELL, SigNo::CONT), now);
        assert_eq!(rest(&mut passing, now + GRACE), [SigNo::CONT]);
    }

    #[test]
    fn queued_signals_go_at_once_and_in_order() {
        let (mut passing, now) = (Passing::default(), Instant::now());
        for number in [40, 34, 40] {
            passing.sent(
                SigInfo::new(SigNo(number), crate::sys::signal::SI_QUEUE, 100),
                now,
            );
        }
        let first = passing.next(now).unwrap();
        passing.put_back(first, now);
        assert_eq!(rest(&mut passing, now + RETRY), [SigNo(40), SigNo(34), SigNo(40)]);
    }

    #[test]
    fn what_waits_and_what_is_remembered_is_bounded() {
        let (mut passing, now) = (Passing::default(), Instant::now());
        for _ in 0..1000 {
            passing.sent(from(SHELL, SigNo::TERM), now);
            passing.taken(SigNo::HUP, Some(SHELL), now);
        }
        assert_eq!((passing.held.len(), passing.taken.len()), (MAX_HELD, MAX_TAKEN));
        assert!(!passing.has_room());
    }
}
