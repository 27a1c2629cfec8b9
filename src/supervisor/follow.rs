//! A service whose processes come and go: found again and again, each taken up once.
//!
//! Looks follow notices at once, and come by themselves at an interval, since nothing tells of every change: of a
//! process that is moved into a control group, or of one that starts anywhere and matches a pattern.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::config::{Service, Target};
use crate::service::{Absent, Cgroups, Finder, Member, Notices};
use crate::sys::Pid;

use super::tracer::StartError;
use super::watch::{News, Refusal, Watch};

/// How often every process is looked at for services that are named by executable or command.
const SEARCH_INTERVAL: Duration = Duration::from_secs(1);
/// How often the other services are looked at, whatever notices say.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How long nobody may be there after somebody was, and count as a restart; less than [`LOOK_INTERVAL`].
const RESTART: Duration = Duration::from_secs(8);
/// How long after notices were not to be had the next look comes.
const WITHOUT_NOTICES: Duration = Duration::from_secs(1);
/// The most refused processes of one service that are remembered.
const MAX_REFUSED: usize = 1024;

/// Where services are looked for on this machine.
#[derive(Debug)]
pub(crate) struct Surroundings {
    cgroups: Option<Cgroups>,
    notices: Option<Notices>,
}

/// One service that is followed.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) watch: Watch,
    finder: Option<Finder>,
    /// The processes that were found and taken up.
    members: HashMap<Pid, Member>,
    refused: HashMap<Pid, Refused>,
    absent: Option<Absent>,
    /// Since when nobody is there, after somebody was.
    absent_since: Option<Instant>,
    /// What has been said of nobody being there.
    absence_said: Option<Absent>,
    looked: bool,
    next_look: Option<Instant>,
    released: bool,
    /// Reports about it.
    pub(crate) reports: u64,
}

#[derive(Debug)]
struct Refused {
    member: Option<Member>,
    reason: String,
    retry: Instant,
}

impl Surroundings {
    pub(crate) fn new() -> Self {
        let notices = Notices::new()
            .inspect_err(|error| log::warn!("cannot watch control groups: {error}; services are found late"));
        Self {
            cgroups: Cgroups::mounted(),
            notices: notices.ok(),
        }
    }

    /// What to wait for.
    pub(crate) fn source(&self) -> Option<BorrowedFd<'_>> {
        self.notices.as_ref().map(AsFd::as_fd)
    }

    /// Makes those services look at once whose places changed.
    pub(crate) fn attend<'s>(&mut self, services: impl Iterator<Item = &'s mut Followed>) {
        let Some(notices) = &mut self.notices else {
            return;
        };
        let changes = notices.pending();
        if !changes.lost && changes.paths.is_empty() {
            return;
        }
        for service in services {
            let concerned = |finder: &Finder| changes.paths.iter().any(|path| finder.concerns(path));
            if !service.released
                && service
                    .finder
                    .as_ref()
                    .is_some_and(|finder| changes.lost || concerned(finder))
            {
                service.next_look = Some(Instant::now());
            }
        }
    }

    /// Watches every slice: a unit's control group may be made in any of them.
    fn watch_slices(&mut self) {
        if let (Some(cgroups), Some(notices)) = (&self.cgroups, &mut self.notices) {
            for slice in cgroups.slices() {
                notices.watch(&slice);
            }
        }
    }
}

impl Followed {
    /// Follows a service by that finder; the first look is due at once. Without a finder nobody is looked for.
    pub(crate) fn new(service: Service, finder: Option<Finder>) -> Self {
        Self {
            watch: Watch::new(service),
            next_look: finder.as_ref().map(|_| Instant::now()),
            finder,
            members: HashMap::new(),
            refused: HashMap::new(),
            absent: None,
            absent_since: None,
            absence_said: None,
            looked: false,
            released: false,
            reports: 0,
        }
    }

    /// The name of the service.
    pub(crate) fn name(&self) -> &str {
        &self.watch.service().name
    }

    /// Whether processes that come later are taken up, too.
    pub(crate) fn is_open(&self) -> bool {
        self.finder.is_some()
    }

    /// When to look again, if ever.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    /// Why there is no process now.
    pub(crate) fn absent(&self) -> Option<&Absent> {
        self.absent.as_ref()
    }

    /// Why there is no process now, if that is worth a line and has not had one. Whoever restarts is back before the
    /// next regular look, and has none.
    pub(crate) fn news_of_absence(&mut self, now: Instant) -> Option<&Absent> {
        let restarts = |since: Instant| now.duration_since(since) < RESTART;
        if self.absent == self.absence_said || self.absent_since.is_some_and(restarts) {
            return None;
        }
        self.absence_said.clone_from(&self.absent);
        self.absent.as_ref()
    }

    /// Whether it was let go on request.
    pub(crate) fn is_released(&self) -> bool {
        self.released
    }

    /// Lets go of everything, and looks for nobody until [`Followed::hold`].
    pub(crate) fn release(&mut self) {
        if !self.released {
            self.released = true;
            self.next_look = None;
            self.watch.let_go();
        }
    }

    /// Takes the service up again.
    pub(crate) fn hold(&mut self, now: Instant) {
        if self.released {
            self.released = false;
            self.next_look = Some(now);
            self.members.clear();
            self.refused.clear();
            self.watch = Watch::new(self.watch.service().clone());
        }
    }

    /// Asks for a report of each process that is held, and returns which.
    pub(crate) fn capture(&mut self) -> Result<Vec<Pid>, String> {
        let roots = self.watch.roots().iter();
        let held: Vec<Pid> = roots.filter(|root| root.attached).map(|root| root.pid).collect();
        if held.is_empty() {
            return Err(self
                .note()
                .unwrap_or_else(|| "none of its processes is held".to_owned()));
        }
        for pid in &held {
            self.watch.capture(*pid).map_err(|error| error.to_string())?;
        }
        Ok(held)
    }

    /// Looks at once, for a process that says it belongs to the service. It must be in the service's control group: that
    /// is not its own to choose.
    pub(crate) fn enroll(
        &mut self,
        surroundings: &mut Surroundings,
        process: Pid,
        now: Instant,
    ) -> Result<(), String> {
        if self.released {
            return Err(format!("the service was released; {}", self.how_to_hold()));
        }
        let target = self.watch.service().target.as_ref();
        if !matches!(target, Some(Target::Unit(_) | Target::Cgroup(_))) {
            return Err("only a service that is named by unit or cgroup can be enrolled for".to_owned());
        }
        let known = self.members.get(&process).copied();
        if known.is_some() && known == Member::read(process) {
            return Ok(());
        }
        self.next_look = Some(now);
        self.look(surroundings, now).map_err(|error| error.to_string())?;
        if self.members.contains_key(&process) {
            Ok(())
        } else {
            Err("it is not in the service's control group".to_owned())
        }
    }

    /// Whether that process is held, or why it cannot be; none while that is not known.
    pub(crate) fn is_held(&self, process: Pid) -> Option<Result<(), String>> {
        if let Some(refused) = self.refused.get(&process) {
            return Some(Err(refused.reason.clone()));
        }
        let mut roots = self.watch.roots().iter();
        roots
            .any(|root| root.pid == process && root.attached)
            .then_some(Ok(()))
    }

    /// Why something is not held, if so.
    pub(crate) fn note(&self) -> Option<String> {
        let refused = || {
            let (pid, refused) = self.refused.iter().next()?;
            Some(format!("cannot attach to {pid}: {}", refused.reason))
        };
        let absent = self.absent.as_ref().map(ToString::to_string);
        let released = self.released.then(|| format!("released; {}", self.how_to_hold()));
        released.or(absent).or_else(refused)
    }

    fn how_to_hold(&self) -> String {
        format!("'sickbay hold {}' takes it up again", self.name())
    }

    /// Whether a look was taken, and every process that it found is held or was refused.
    pub(crate) fn is_settled(&self) -> bool {
        (self.looked || self.released) && self.watch.roots().iter().all(|root| root.attached)
    }

    /// Looks for the service's processes if it is time, and takes up those that are new.
    pub(crate) fn look(&mut self, surroundings: &mut Surroundings, now: Instant) -> Result<(), StartError> {
        let Some(finder) = self
            .finder
            .as_mut()
            .filter(|_| self.next_look.is_some_and(|due| now >= due))
        else {
            return Ok(());
        };
        self.next_look = Some(now + interval(finder, surroundings));
        self.looked = true;
        finder.locate(surroundings.cgroups.as_ref());
        if finder.unit().is_some() && finder.group().is_none() {
            surroundings.watch_slices();
            finder.locate(surroundings.cgroups.as_ref());
        }
        // Watched before it is read: what comes in between is told.
        if let Some(notices) = &mut surroundings.notices {
            for place in finder.places() {
                notices.watch(&place);
            }
        }
        let found = match finder.members(surroundings.cgroups.as_ref()) {
            Ok(members) => {
                self.absent = None;
                self.absent_since = None;
                members
            }
            Err(absent) => {
                if self.absent.is_none() && !self.members.is_empty() {
                    self.absent_since = Some(now);
                }
                self.absent = Some(absent);
                Vec::new()
            }
        };
        self.update(&found, now)
    }

    /// The next piece of news of the watch. A refusal is passed on once for each reason.
    pub(crate) fn hear(&mut self) -> Result<Option<News>, StartError> {
        while let Some(news) = self.watch.hear()? {
            match news {
                News::Refused(refusal) if self.is_open() && !self.note_refusal(&refusal) => {}
                news => return Ok(Some(news)),
            }
        }
        Ok(None)
    }

    fn update(&mut self, found: &[Member], now: Instant) -> Result<(), StartError> {
        self.members.retain(|_, member| found.contains(member));
        let members = &self.members;
        self.watch.retain(|root| members.contains_key(&root.pid));
        self.refused
            .retain(|_, refused| refused.member.is_none_or(|member| found.contains(&member)));
        for member in found {
            let waits = self
                .refused
                .get(&member.pid)
                .is_some_and(|refused| now < refused.retry);
            if !waits && !self.members.contains_key(&member.pid) {
                self.members.insert(member.pid, *member);
                self.watch.take_up(member.pid, None)?;
            }
        }
        if !self.members.is_empty() && self.watch.may_start(now) {
            self.watch.start()?;
        }
        Ok(())
    }

    /// Whether that is news. The process is tried again at the next regular look.
    fn note_refusal(&mut self, refusal: &Refusal) -> bool {
        let pid = refusal.process;
        let member = self.members.remove(&pid);
        self.watch.retain(|root| root.pid != pid);
        if refusal.absent || self.refused.len() >= MAX_REFUSED {
            return false;
        }
        let refused = Refused {
            member,
            reason: refusal.reason.clone(),
            retry: Instant::now() + LOOK_INTERVAL,
        };
        let before = self.refused.insert(pid, refused);
        before.is_none_or(|before| before.reason != refusal.reason)
    }
}

fn interval(finder: &Finder, surroundings: &Surroundings) -> Duration {
    if finder.searches() {
        SEARCH_INTERVAL
    } else if surroundings.notices.is_none() {
        WITHOUT_NOTICES
    } else {
        LOOK_INTERVAL
    }
}
