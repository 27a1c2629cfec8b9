//! The machine that the recorder runs on, which is the machine that the process ran on.

use std::fs;

use jiff::Timestamp;
use nix::sys::utsname::uname;
use nix::unistd::{SysconfVar, sysconf};

use crate::capture::Missing;
use crate::report::model;

/// `USER_HZ`, where sysconf(3) does not say; it is 100 on every architecture that is supported.
const DEFAULT_TICKS: i64 = 100;

/// What a report says about the machine, and what converts the kernel's clocks.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Host {
    /// For the report.
    pub facts: model::Host,
    /// When the machine started, microseconds since 1970 UTC.
    pub booted_us: Option<i64>,
    /// Clock ticks of /proc's times in a second.
    pub ticks_per_second: u64,
}

impl Host {
    /// Asks this machine. What cannot be had is added to `missing`.
    pub fn read(missing: &mut Vec<Missing>) -> Self {
        let mut host = Self {
            ticks_per_second: ticks_per_second(),
            ..Self::default()
        };
        match uname() {
            Ok(names) => {
                let text = |name: &std::ffi::OsStr| Some(name.to_string_lossy().into_owned());
                host.facts.hostname = text(names.nodename());
                host.facts.kernel = text(names.release());
                host.facts.arch = text(names.machine());
            }
            Err(errno) => missing.push(miss("host", format!("uname failed: {}", errno.desc()))),
        }
        match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
            Ok(id) => host.facts.boot_id = Some(id.trim().to_owned()),
            Err(error) => missing.push(miss("boot id", error)),
        }
        match fs::read_to_string("/proc/uptime") {
            Ok(text) => host.booted_us = booted(&text, Timestamp::now().as_microsecond()),
            Err(error) => missing.push(miss("start time", error)),
        }
        host
    }

    /// A time after boot in clock ticks, as microseconds since 1970 UTC.
    pub fn time_of_ticks(&self, ticks: u64) -> Option<i64> {
        self.booted_us?
            .checked_add(i64::try_from(self.ticks_us(ticks)?).ok()?)
    }

    /// Clock ticks in microseconds.
    pub fn ticks_us(&self, ticks: u64) -> Option<u64> {
        let us = u128::from(ticks) * 1_000_000 / u128::from(self.ticks_per_second.max(1));
        u64::try_from(us).ok()
    }
}

fn ticks_per_second() -> u64 {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    u64::try_from(ticks.unwrap_or(DEFAULT_TICKS)).unwrap_or(DEFAULT_TICKS as u64)
}

/// When the machine started, from `/proc/uptime` ("350735.47 234388.90") read at `now`, microseconds.
fn booted(uptime: &str, now: i64) -> Option<i64> {
    let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    now.checked_sub((seconds * 1e6) as i64)
}

fn miss(step: &str, reason: impl ToString) -> Missing {
    Missing {
        step: step.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let mut missing = Vec::new();
        let host = Host::read(&mut missing);
        assert_eq!(missing, []);
        assert_eq!(host.facts.arch.as_deref(), Some(std::env::consts::ARCH));
        assert_eq!(host.facts.boot_id.map(|id| id.len()), Some(36));
    }

    #[test]
    fn ticks_become_times() {
        let host = Host {
            booted_us: booted("100.50 7.00\n", 200_000_000),
            ticks_per_second: 100,
            ..Host::default()
        };
        assert_eq!(host.booted_us, Some(99_500_000));
        assert_eq!(host.time_of_ticks(50), Some(100_000_000));
        assert_eq!(host.time_of_ticks(u64::MAX), None);
        assert_eq!(booted("", 0), None);
    }
}
