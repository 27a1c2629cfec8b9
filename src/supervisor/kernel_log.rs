//! What the kernel's log tells of a process that it has just ended. `/dev/kmsg` is read with a limit; without the right to
//! read it nothing is found.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The most records that are read; the kernel's buffer holds a few thousand.
const MAX_RECORDS: usize = 100_000;
/// The longest record (`CONSOLE_EXT_LOG_MAX`).
const MAX_RECORD: usize = 8192;
/// How old a record may be: ids are reused.
const RECENT: Duration = Duration::from_secs(30);

/// The last recent message in which `find` finds something. Where there is none yet, waits as long as `patience` for one.
pub(super) fn search<T>(patience: Duration, find: impl Fn(&str) -> Option<T>) -> Option<T> {
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")
        .ok()?;
    let until = Instant::now() + patience;
    loop {
        let found = search_to_end(&mut log, &find);
        let left = until.saturating_duration_since(Instant::now());
        if found.is_some() || left.is_zero() {
            return found;
        }
        let mut sources = [PollFd::new(log.as_fd(), PollFlags::POLLIN)];
        poll(
            &mut sources,
            PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO),
        )
        .ok()?;
    }
}

fn search_to_end<T>(log: &mut File, find: &impl Fn(&str) -> Option<T>) -> Option<T> {
    let now = uptime()?;
    let mut record = [0; MAX_RECORD];
    let mut found = None;
    for _ in 0..MAX_RECORDS {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(size) => {
                let record = String::from_utf8_lossy(record.get(..size).unwrap_or_default());
                found = recent(&record, now).and_then(find).or(found);
            }
            // Records that were overwritten meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(_) => break,
        }
    }
    found
}

/// The message of a record "priority,sequence,microseconds,flags;message", if it is not old.
fn recent(record: &str, now: Duration) -> Option<&str> {
    let (head, message) = record.split_once(';')?;
    let at = Duration::from_micros(head.split(',').nth(2)?.parse().ok()?);
    (now.saturating_sub(at) <= RECENT).then(|| message.lines().next())?
}

/// Time since boot, by the clock of the kernel's log.
fn uptime() -> Option<Duration> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    Duration::try_from_secs_f64(text.split_whitespace().next()?.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_its_message_while_it_is_new() {
        let record = "3,1234,100000000,-;Memory cgroup out of memory\n SUBSYSTEM=x\n";
        let message = Some("Memory cgroup out of memory");
        assert_eq!(recent(record, Duration::from_secs(101)), message);
        assert_eq!(recent(record, Duration::from_secs(99)), message);
        assert_eq!(recent(record, Duration::from_secs(200)), None);
        for record in ["", ";", "3,1,x,-;out of memory"] {
            assert_eq!(recent(record, Duration::ZERO), None);
        }
    }
}
