//! Whether the kernel killed a process because memory ran out.
//!
//! No stop announces that kill, and the exit status says only SIGKILL. The kernel's log names the process
//! (`mm/oom_kill.c`, `__oom_kill_process`); `/dev/kmsg` is read without waiting, and with a limit. Without the right
//! to read it nothing is found.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use crate::sys::Pid;

/// The most records that are read; the kernel's buffer holds a few thousand.
const MAX_RECORDS: usize = 100_000;
/// The longest record (`CONSOLE_EXT_LOG_MAX`).
const MAX_RECORD: usize = 8192;
/// How old a record may be: ids are reused.
const RECENT: Duration = Duration::from_secs(30);

/// The kernel's line about that process, if it was killed for memory just now.
pub(super) fn evidence(process: Pid) -> Option<String> {
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")
        .ok()?;
    let now = uptime()?;
    let mut record = [0; MAX_RECORD];
    let mut found = None;
    for _ in 0..MAX_RECORDS {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(size) => {
                let line = String::from_utf8_lossy(record.get(..size).unwrap_or_default());
                found = kill_of(&line, process, now).map(str::to_owned).or(found);
            }
            // Records that were overwritten meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(_) => break,
        }
    }
    found
}

/// The message of a record "priority,sequence,microseconds,flags;message" that tells of that kill.
fn kill_of(record: &str, process: Pid, now: Duration) -> Option<&str> {
    let (head, message) = record.split_once(';')?;
    let message = message.lines().next()?;
    let at = Duration::from_micros(head.split(',').nth(2)?.parse().ok()?);
    let told = message.contains(&format!("Killed process {process} ("));
    (told && message.to_ascii_lowercase().contains("out of memory") && now.saturating_sub(at) <= RECENT)
        .then_some(message)
}

/// Time since boot, by the clock of the kernel's log.
fn uptime() -> Option<Duration> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    Duration::try_from_secs_f64(text.split_whitespace().next()?.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "3,1234,100000000,-;Memory cgroup out of memory: Killed process 4711 (api) total-vm:1kB\n SUBSYSTEM=x\n";

    #[test]
    fn a_kill_is_known_by_id_and_age() {
        let now = Duration::from_secs(101);
        assert!(kill_of(LINE, Pid(4711), now).is_some_and(|line| line.ends_with("total-vm:1kB")));
        assert_eq!(kill_of(LINE, Pid(471), now), None);
        assert_eq!(kill_of(LINE, Pid(4711), Duration::from_secs(200)), None);
    }

    #[test]
    fn anything_else_is_no_kill() {
        for record in [
            "",
            ";",
            "3,1,x,-;out of memory: Killed process 1 (",
            "6,2,5,-;usb 1-1: new device",
        ] {
            assert_eq!(kill_of(record, Pid(1), Duration::ZERO), None);
        }
    }
}
