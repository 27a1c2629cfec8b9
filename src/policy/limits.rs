//! How many threads a process may lose, and how often a place may fault, before nothing more is done about it.
//!
//! A service that loses one thread after the other is no longer the service that was started, and one that faults at the
//! same place all the time has not recovered. Past a limit the signal takes its way, and whoever manages the service
//! starts it anew.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::config::{Action, Isolation};
use crate::sys::{Pid, Tid};

use super::Danger;

/// The time in which threads of one name are counted.
const GROUP_WINDOW: Duration = Duration::from_secs(60);
/// The time in which threads of one process are counted.
const PROCESS_WINDOW: Duration = Duration::from_secs(600);
/// The most losses that are remembered; past it no thread is taken away.
const MAX_REMEMBERED: usize = 1024;
/// The most places whose faults are counted; past it nothing is done about others.
const MAX_SITES: usize = 1024;
/// The time in which the allowance of a place fills up.
const FILLED: Duration = Duration::from_secs(1);

/// What takes no thread away.
const WITHOUT_LOSS: &[Action] = &[Action::Throw, Action::Rescue, Action::Skip];

/// What was done lately. The time is the caller's: any clock that does not run backwards.
#[derive(Debug, Default)]
pub struct Limits {
    taken: VecDeque<Taken>,
    thrown: HashMap<Site, Allowance>,
}

/// Where a fault happened: device and inode of the file and the offset in it; the bare address outside of files.
pub type Site = ((u32, u32), u64, u64);

/// A thread that was taken away.
#[derive(Debug)]
struct Taken {
    process: Pid,
    tid: Tid,
    group: String,
    at: Duration,
}

/// How many more faults at one place may be answered by an error or a return: it fills up to a second's worth.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: f64,
    at: Duration,
}

impl Limits {
    /// What speaks against doing anything about a fault in that process, in a thread of that name, at that place.
    pub fn dangers(
        &mut self,
        process: Pid,
        thread: &str,
        site: Site,
        now: Duration,
        limits: &Isolation,
    ) -> Vec<Danger> {
        self.forget(now);
        let group = group_of(thread);
        let of_process = || self.taken.iter().filter(|taken| taken.process == process);
        let of_group =
            of_process().filter(|taken| taken.group == group && now.saturating_sub(taken.at) < GROUP_WINDOW);
        let (lost, lost_of_group) = (of_process().count(), of_group.count());
        let mut dangers = Vec::new();
        let mut forbid = |what: String, allows: &'static [Action]| dangers.push(Danger { what, allows });
        if lost_of_group >= limits.threads_per_group as usize {
            forbid(
                format!(
                    "{} of the threads called '{group}' was taken away within a minute, and threads_per_group is {}",
                    lost_of_group, limits.threads_per_group
                ),
                WITHOUT_LOSS,
            );
        }
        if lost >= limits.threads_per_process as usize || self.taken.len() >= MAX_REMEMBERED {
            forbid(
                format!(
                    "the process has lost {lost} threads within ten minutes, and threads_per_process is {}",
                    limits.threads_per_process
                ),
                WITHOUT_LOSS,
            );
        }
        if self.allowance(site, now, limits).left < 1.0 {
            forbid(
                format!(
                    "it faults more often than {} times a second at the same place (throws_per_second)",
                    limits.throws_per_second
                ),
                &[],
            );
        }
        dangers
    }

    /// That process has lost a thread of that name.
    pub fn note_taken(&mut self, process: Pid, tid: Tid, thread: &str, now: Duration) {
        self.taken.push_back(Taken {
            process,
            tid,
            group: group_of(thread),
            at: now,
        });
    }

    /// It has that thread still, or again, or loses it anew.
    pub fn note_given_back(&mut self, process: Pid, tid: Tid) {
        let is_it = |taken: &Taken| (taken.process, taken.tid) == (process, tid);
        if let Some(first) = self.taken.iter().position(is_it) {
            self.taken.remove(first);
        }
    }

    /// An error was thrown, a return made, or an instruction stepped over, for a fault at that place.
    pub fn note_thrown(&mut self, site: Site, now: Duration, limits: &Isolation) {
        let mut allowance = self.allowance(site, now, limits);
        allowance.left -= 1.0;
        self.thrown.insert(site, allowance);
    }

    /// Forgets losses that no window holds, and places that have been quiet when there are many.
    fn forget(&mut self, now: Duration) {
        self.taken
            .retain(|taken| now.saturating_sub(taken.at) < PROCESS_WINDOW);
        if self.thrown.len() >= MAX_SITES {
            self.thrown
                .retain(|_, known| now.saturating_sub(known.at) < FILLED);
        }
    }

    fn allowance(&self, site: Site, now: Duration, limits: &Isolation) -> Allowance {
        let most = f64::from(limits.throws_per_second);
        let left = match self.thrown.get(&site) {
            Some(known) => known.left + now.saturating_sub(known.at).as_secs_f64() * most,
            None if self.thrown.len() >= MAX_SITES => 0.0,
            None => most,
        };
        Allowance {
            left: left.min(most),
            at: now,
        }
    }
}

/// The name that threads of one kind share: `worker-#` for `worker-117`.
fn group_of(thread: &str) -> String {
    let mut group = String::new();
    for character in thread.chars() {
        match character {
            '0'..='9' if group.ends_with('#') => {}
            '0'..='9' => group.push('#'),
            other => group.push(other),
        }
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Site = ((8, 1), 77, 0x1234);
    const PROCESS: Pid = Pid(7);

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn limits(threads_per_group: u32, threads_per_process: u32, throws_per_second: u32) -> Isolation {
        Isolation {
            threads_per_group,
            threads_per_process,
            throws_per_second,
            ..Isolation::default()
        }
    }

    #[test]
    fn a_process_may_lose_so_many_threads_within_ten_minutes() {
        let allowed = limits(9, 3, 10);
        let mut known = Limits::default();
        for seconds in [0, 10, 20] {
            let now = at(1000 * seconds);
            assert_eq!(known.dangers(PROCESS, "a", SITE, now, &allowed), []);
            known.note_taken(PROCESS, Tid(1), "a", now);
        }
        let told = known.dangers(PROCESS, "b", SITE, at(599_000), &allowed);
        assert_eq!(
            (told[0].what.as_str(), told[0].allows),
            (
                "the process has lost 3 threads within ten minutes, and threads_per_process is 3",
                WITHOUT_LOSS
            )
        );
        assert_eq!(
            known.dangers(Pid(8), "b", SITE, at(599_000), &allowed),
            [],
            "another process"
        );
        assert_eq!(
            known.dangers(PROCESS, "b", SITE, at(600_000), &allowed),
            [],
            "the first is forgotten"
        );
    }

    #[test]
    fn threads_with_the_same_name_but_for_numbers_are_one_group() {
        let allowed = limits(1, 3, 10);
        let mut known = Limits::default();
        known.note_taken(PROCESS, Tid(1), "worker-17", at(0));
        let mut refused = |thread: &str, seconds: u64| {
            !known
                .dangers(PROCESS, thread, SITE, at(1000 * seconds), &allowed)
                .is_empty()
        };
        assert!(refused("worker-3", 59));
        assert!(!refused("worker-3", 60), "a minute has passed");
        assert!(!refused("listener-3", 1));
        assert!(!refused("worker-", 1));
    }

    #[test]
    fn a_thread_that_was_given_back_does_not_count() {
        let allowed = limits(1, 2, 10);
        let mut known = Limits::default();
        known.note_taken(PROCESS, Tid(1), "worker-1", at(0));
        known.note_taken(PROCESS, Tid(2), "other", at(0));
        known.note_given_back(PROCESS, Tid(9));
        known.note_given_back(Pid(8), Tid(1));
        assert_eq!(known.dangers(PROCESS, "worker-2", SITE, at(1), &allowed).len(), 2);
        known.note_given_back(PROCESS, Tid(1));
        assert_eq!(known.dangers(PROCESS, "worker-2", SITE, at(1), &allowed), []);
        assert_eq!(
            known.dangers(PROCESS, "other", SITE, at(1), &allowed).len(),
            1,
            "the other one was taken away"
        );
    }

    #[test]
    fn a_place_may_fault_so_often_in_a_second() {
        let allowed = limits(1, 3, 2);
        let mut known = Limits::default();
        let mut throws = |milliseconds| {
            let refused = known.dangers(PROCESS, "a", SITE, at(milliseconds), &allowed);
            if refused.is_empty() {
                known.note_thrown(SITE, at(milliseconds), &allowed);
            }
            refused.is_empty()
        };
        let sequence = [0, 1, 2, 3, 501, 502, 2000, 2001, 2002];
        assert_eq!(
            sequence.map(&mut throws),
            [true, true, false, false, true, false, true, true, false]
        );
        let refused = known.dangers(PROCESS, "a", SITE, at(2003), &allowed);
        assert_eq!(refused[0].allows, [], "nothing else is done either");
        assert_eq!(
            known.dangers(PROCESS, "a", ((8, 1), 77, 5), at(2003), &allowed),
            [],
            "another place"
        );
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let allowed = limits(1, 1, 1);
        let mut known = Limits::default();
        let mut thrown_at = |place, milliseconds| {
            let site = ((0, 0), 0, place);
            let refused = known.dangers(PROCESS, "a", site, at(milliseconds), &allowed);
            if refused.is_empty() {
                known.note_thrown(site, at(milliseconds), &allowed);
            }
            refused.is_empty()
        };
        let thrown = (0..2 * MAX_SITES as u64)
            .filter(|place| thrown_at(*place, 0))
            .count();
        assert_eq!(thrown, MAX_SITES);
        assert!(thrown_at(5000, 1000), "the others have been quiet");
    }
}
