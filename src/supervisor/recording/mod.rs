//! From an incident to a report in the store.
//!
//! The small record is on disk before anything else is tried, so whatever becomes of a recorder, or of us, the
//! incident is known. Recorders run beside each other up to a limit; each has a time limit. One that dies or is
//! ended is followed by one that reads less of the process's files; the last leaves the small record, which then says
//! so. [`arrivals`] is how an incident comes here, [`stage`] what is particular to it, [`retention`] when old reports go.

mod arrivals;
mod finishing;
mod retention;
mod stage;

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};

use crate::config::Retention;
use crate::store::{Store, StoreError};

use super::recorder::Finished;
use finishing::Finishing;
use retention::Retained;
pub(crate) use stage::Concluded;
use stage::{Running, Waiting};

/// Recorders that run at once.
const MAX_RECORDERS: usize = 4;
/// Collectors of log lines that run at once.
const MAX_COLLECTORS: usize = 4;
/// Incidents on their way into the store.
#[derive(Debug)]
pub(crate) struct Recording {
    store: Result<Store, StoreError>,
    retained: Retained,
    /// Whether our stderr is the supervised program's as well.
    runs_program: bool,
    waiting: VecDeque<Waiting>,
    running: Vec<Running>,
    concluded: Vec<Concluded>,
    finishing: Vec<Finishing>,
    lines: Vec<String>,
    giving_up: bool,
}

impl Recording {
    /// Without a store, what happens is said all the same.
    pub(crate) fn new(store: Result<Store, StoreError>, limits: Retention) -> Self {
        Self {
            store,
            retained: Retained::new(limits, Instant::now()),
            runs_program: false,
            waiting: VecDeque::new(),
            running: Vec::new(),
            concluded: Vec::new(),
            finishing: Vec::new(),
            lines: Vec::new(),
            giving_up: false,
        }
    }

    /// Holds the store to these limits from now on.
    pub(crate) fn retain(&mut self, limits: Retention) {
        self.retained.set(limits, Instant::now());
    }

    /// Takes our own stderr for a log of the program that is run.
    pub(crate) fn expect_program(&mut self) {
        self.runs_program = true;
    }

    /// Starts recorders, takes what they have finished, and deletes what is past the limits.
    pub(crate) fn advance(&mut self) -> Vec<Concluded> {
        let mut concluded = std::mem::take(&mut self.concluded);
        for place in (0..self.running.len()).rev() {
            if let Some(finished) = self.finished(place) {
                let running = self.running.swap_remove(place);
                let (record, late) = match finished {
                    Finished::Failed(reason) if !self.giving_up => match running.again(&reason) {
                        Ok(running) => {
                            self.running.push(running);
                            continue;
                        }
                        Err(small) => (*small, None),
                    },
                    finished => running.conclude(finished),
                };
                concluded.push(record);
                match late {
                    Some(Ok(finishing)) => self.finishing.push(finishing),
                    Some(Err(line)) => self.lines.push(line),
                    None => {}
                }
            }
        }
        self.finish();
        self.collect();
        while self.running.len() < MAX_RECORDERS {
            let Some(place) = self.next() else {
                break;
            };
            if let Some(waiting) = self.waiting.remove(place) {
                match waiting.start() {
                    Ok(running) => self.running.push(running),
                    Err(small) => concluded.push(*small),
                }
            }
        }
        let now = Instant::now();
        if !concluded.is_empty() {
            self.retained.hurry(now);
        }
        if let Ok(store) = &self.store {
            self.retained.hold(store, now);
        }
        concluded
    }

    /// What the operator is told beside the records: of cores that came late.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// The sockets of running recorders and collectors.
    pub(crate) fn sources(&self) -> impl Iterator<Item = PollFd<'_>> {
        let running = self.running.iter().map(|running| &running.recorder);
        let finishing = self.finishing.iter().map(|finishing| &finishing.recorder);
        let recorders = running.chain(finishing).map(|recorder| recorder.channel.as_fd());
        let collectors = self.waiting.iter().filter_map(|waiting| waiting.logs.source());
        recorders
            .chain(collectors)
            .map(|socket| PollFd::new(socket, PollFlags::POLLIN))
    }

    /// When the next recorder or collector has had its time, or old reports go.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let recorders = self.running.iter().map(|running| running.deadline);
        let finishing = self.finishing.iter().map(|finishing| finishing.deadline);
        let collectors = self.waiting.iter().filter_map(|waiting| waiting.logs.deadline());
        let recorders = recorders.chain(finishing).chain(collectors);
        let retained = self.store.is_ok().then(|| self.retained.due());
        recorders.chain(retained).min()
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        let none_waits = self.waiting.is_empty() && self.concluded.is_empty() && self.lines.is_empty();
        none_waits && self.running.is_empty() && self.finishing.is_empty()
    }

    /// Waits for no recorder any longer.
    pub(crate) fn give_up(&mut self) {
        self.giving_up = true;
        self.waiting.clear();
        for running in &mut self.running {
            running.deadline = Instant::now();
        }
        for finishing in &mut self.finishing {
            finishing.deadline = Instant::now();
        }
    }

    /// Takes the cores that are complete.
    fn finish(&mut self) {
        for place in (0..self.finishing.len()).rev() {
            let Some(finishing) = self.finishing.get_mut(place) else {
                continue;
            };
            let overdue = Instant::now() >= finishing.deadline;
            let no_count = |_: &str| Err("the report is in place".to_owned());
            if let Some(finished) = finishing.recorder.finished(overdue, no_count) {
                let finishing = self.finishing.swap_remove(place);
                self.lines.push(finishing.conclude(finished));
                self.retained.hurry(Instant::now());
            }
        }
    }

    /// Has log lines collected for those that wait, the oldest first.
    fn collect(&mut self) {
        for waiting in &mut self.waiting {
            waiting.logs.advance();
        }
        let collecting = self.waiting.iter().filter(|waiting| waiting.logs.is_collecting());
        let free = MAX_COLLECTORS.saturating_sub(collecting.count());
        let next = self
            .waiting
            .iter_mut()
            .filter(|waiting| !waiting.logs.is_settled());
        for waiting in next.take(free) {
            waiting.logs.start();
        }
    }

    /// The incident to start on: of the service that has the fewest recorders, the oldest.
    fn next(&self) -> Option<usize> {
        let running = |service: &str| {
            self.running
                .iter()
                .filter(|running| running.incident.service == service)
                .count()
        };
        let complete = self
            .waiting
            .iter()
            .enumerate()
            .filter(|(_, waiting)| waiting.expected == 0 && waiting.logs.is_settled());
        complete
            .min_by_key(|(_, waiting)| running(&waiting.service))
            .map(|(place, _)| place)
    }

    fn finished(&mut self, place: usize) -> Option<Finished> {
        let running = self.running.get_mut(place)?;
        let overdue = Instant::now() >= running.deadline;
        let (store, incident, wants_dump) = (&self.store, &running.incident, running.wants_dump());
        let count = |fingerprint: &str| {
            let store = store.as_ref().map_err(ToString::to_string)?;
            incident.count(store, fingerprint, wants_dump)
        };
        running.recorder.finished(overdue, count)
    }
}
