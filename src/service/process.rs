//! What /proc says about one process, as far as it decides whether the process belongs to a service.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, geteuid, sysconf};

use crate::sys::status::Status;
use crate::sys::{Pid, StartTime};
use crate::trace::attach::start_time;

/// What the kernel appends to the path of an executable that was replaced (fs/d_path.c).
const DELETED: &str = " (deleted)";

/// What is read of a pid file, bytes.
const MAX_PID_FILE: u64 = 64;

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

/// The process id in a file, or why there is none. Services write such files themselves: one that belongs to a user names
/// processes of that user alone, and what is no plain file is not waited for.
pub fn in_pid_file(path: &Path) -> Result<Pid, String> {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    };
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(told)?;
    let meta = file.metadata().map_err(told)?;
    if !meta.is_file() {
        return Err("it is not a plain file".to_owned());
    }
    let mut text = String::new();
    let no_id = || "it does not hold a process id".to_owned();
    file.take(MAX_PID_FILE)
        .read_to_string(&mut text)
        .map_err(|_| no_id())?;
    let pid = match text.trim().parse() {
        Ok(pid @ 1..) => Pid(pid),
        _ => return Err(no_id()),
    };
    let owner = meta.uid();
    let ours = owner == 0 || owner == geteuid().as_raw();
    if !ours && user_of(pid).is_some_and(|user| user != owner) {
        return Err(format!(
            "it belongs to user {owner} and names process {pid} of another user; let root write it, or name the unit"
        ));
    }
    Ok(pid)
}

/// The real user id of a process.
fn user_of(pid: Pid) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().next()?.parse().ok()
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
            ("\u{fffd}", None),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(in_pid_file(&path).ok(), pid.map(Pid), "{text:?}");
        }
    }

    /// A service that may write its pid file makes something of it that has no end.
    #[test]
    fn nobody_waits_for_a_pid_file_that_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pid");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(in_pid_file(&path), Err("it is not a plain file".into()));
        assert!(in_pid_file(Path::new("/dev/zero")).is_err());
        fs::remove_file(&path).unwrap();
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(in_pid_file(&path), Err("it does not hold a process id".into()));
    }

    /// It names the process of another, which would be supervised by the rules of that service.
    #[test]
    fn a_users_pid_file_names_no_process_of_another() {
        if !geteuid().is_root() {
            eprintln!("skipped: only root can give a file away");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pid");
        let own = Pid(std::process::id().cast_signed());
        fs::write(&path, own.to_string()).unwrap();
        assert_eq!(in_pid_file(&path), Ok(own));
        std::os::unix::fs::chown(&path, Some(54_321), None).unwrap();
        let refused = in_pid_file(&path).unwrap_err();
        assert!(
            refused.starts_with("it belongs to user 54321 and names process"),
            "{refused}"
        );
    }
}
