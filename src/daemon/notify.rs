//! What the service manager is told (sd_notify(3)). Without the feature `systemd`, or outside of it, nobody is.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// How much longer a start or a stop that goes on may take, from now on.
const EXTENSION: Duration = Duration::from_secs(20);

/// The service manager's end of the protocol.
#[derive(Debug)]
pub(super) struct Notifier {
    status: String,
    /// How often it wants a sign of life; half of what it allows.
    watchdog: Option<Duration>,
    next_sign: Instant,
    next_extension: Instant,
}

impl Notifier {
    pub(super) fn new() -> Self {
        Self {
            status: String::new(),
            watchdog: manager::watchdog().map(|limit| limit / 2),
            next_sign: Instant::now(),
            next_extension: Instant::now(),
        }
    }

    /// The service is up, or has read its configuration again.
    pub(super) fn ready(&self) {
        manager::tell(&[("READY", "1")]);
    }

    /// It reads its configuration again; [`Notifier::ready`] ends that.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        let now = now.unwrap_or_default().as_micros().to_string();
        manager::tell(&[("RELOADING", "1"), ("MONOTONIC_USEC", &now)]);
    }

    /// It lets go of everything, and ends.
    pub(super) fn stopping(&self) {
        manager::tell(&[("STOPPING", "1")]);
    }

    /// A start or a stop goes on: a report that is being written is no reason to be ended.
    pub(super) fn extend(&mut self, now: Instant) {
        if now >= self.next_extension {
            self.next_extension = now + EXTENSION / 2;
            let extension = EXTENSION.as_micros().to_string();
            manager::tell(&[("EXTEND_TIMEOUT_USEC", &extension)]);
        }
    }

    /// When to say so again, if it still goes on.
    pub(super) fn next_extension(&self) -> Instant {
        self.next_extension
    }

    /// One line for `systemctl status`; said when it changes.
    pub(super) fn status(&mut self, status: &str) {
        if self.status != status {
            status.clone_into(&mut self.status);
            manager::tell(&[("STATUS", status)]);
        }
    }

    /// How often the manager wants a sign of life, if it does.
    pub(super) fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog
    }

    /// A sign of life, if it is time for one.
    pub(super) fn watchdog(&mut self, now: Instant) {
        if let Some(interval) = self.watchdog.filter(|_| now >= self.next_sign) {
            self.next_sign = now + interval / 2;
            manager::tell(&[("WATCHDOG", "1")]);
        }
    }
}

#[cfg(feature = "systemd")]
mod manager {
    use std::time::Duration;

    pub(super) fn tell(state: &[(&str, &str)]) {
        if let Err(error) = systemd::daemon::notify(state.iter()) {
            log::debug!("failed to notify the service manager: {error}");
        }
    }

    pub(super) fn watchdog() -> Option<Duration> {
        let limit = systemd::daemon::watchdog_enabled().unwrap_or_default();
        (limit > 0).then(|| Duration::from_micros(limit))
    }
}

#[cfg(not(feature = "systemd"))]
mod manager {
    use std::time::Duration;

    pub(super) fn tell(_: &[(&str, &str)]) {}

    pub(super) fn watchdog() -> Option<Duration> {
        None
    }
}
