//! What /proc says about one process, as far as it decides whether the process belongs to a service.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

use crate::sys::{Pid, StartTime};
use crate::trace::attach::start_time;
use crate::trace::status::Status;

/// What the kernel appends to the path of an executable that was replaced (fs/d_path.c).
const DELETED: &str = " (deleted)";

/// A process, known for good by its start time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Member {
    /// Its id.
    pub pid: Pid,
    /// When it started.
    pub start: StartTime,
}

impl Member {
    /// The process that has that id now; none if there is none, or if it is one of our own.
    ///
    /// Our own are this process and its children: tracers and recorders.
    pub fn read(pid: Pid) -> Option<Self> {
        let own = std::process::id() as i32;
        let status = Status::read(pid.leader()).ok()?;
        if pid.0 == own || status.parent == own || status.process() != pid {
            return None;
        }
        start_time(pid.leader()).map(|start| Self { pid, start })
    }
}

/// Every process of this pid namespace, in no order.
pub fn all() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .map(Pid)
        .collect()
}

/// When a process started, microseconds since 1970 UTC, if it still exists. To a clock tick, which is 10 ms.
pub fn started_us(pid: Pid) -> Option<u64> {
    let ticks = start_time(pid.leader())?.0;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten()?;
    let after_boot = Duration::from_secs_f64(ticks as f64 / per_second as f64);
    let uptime = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).ok()?;
    let age = uptime.checked_sub(after_boot)?;
    let started = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?
        .checked_sub(age)?;
    u64::try_from(started.as_micros()).ok()
}

/// The executable, as it was called when the process started it. None for kernel threads, and where we may not look.
pub fn executable(pid: Pid) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let bytes = path.into_os_string().into_vec();
    let name = bytes.strip_suffix(DELETED.as_bytes()).unwrap_or(&bytes);
    Some(OsString::from_vec(name.to_vec()).into())
}

/// The command line with one space between its arguments. None for kernel threads and zombies.
pub fn command_line(pid: Pid) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    let words: Vec<_> = text
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .collect();
    (!bytes.is_empty()).then(|| words.join(" "))
}

/// The process id in a file, or why there is none.
pub fn in_pid_file(path: &Path) -> Result<Pid, String> {
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    })?;
    match text.trim().parse() {
        Ok(pid @ 1..) => Ok(Pid(pid)),
        _ => Err("it does not hold a process id".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_of_ours_is_no_member() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid(child.id() as i32);
        let found = (Member::read(pid), all().contains(&pid));
        // In the middle of exec(2) there is no command line.
        while command_line(pid).is_none() {
            std::thread::yield_now();
        }
        let line = command_line(pid);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((found, line), ((None, true), Some("sleep 60".to_owned())));
        assert_eq!(Member::read(Pid(std::process::id() as i32)), None);
        assert!(Member::read(Pid(std::os::unix::process::parent_id() as i32)).is_some());
    }

    #[test]
    fn a_pid_file_holds_one_number() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pid");
        assert_eq!(in_pid_file(&path), Err("there is no such file".into()));
        for (text, pid) in [
            ("4711\n", Some(4711)),
            (" 12", Some(12)),
            ("", None),
            ("0", None),
            ("-1", None),
            ("1 2", None),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(in_pid_file(&path).ok(), pid.map(Pid), "{text:?}");
        }
    }
}
