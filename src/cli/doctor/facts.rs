//! What is so on this machine, as far as it can be read. What cannot is an error in its own field.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{AccessFlags, Uid, faccessat};
use procfs_core::process::{MountInfos, Status};
use procfs_core::{FromRead, KernelVersion};

use crate::sys::Pid;

/// Everything that the checks look at.
#[derive(Debug)]
pub(super) struct Facts {
    /// Our effective user.
    pub(super) euid: u32,
    /// What /proc/self/status says of us, or why it cannot be read.
    pub(super) own: Result<Own, String>,
    /// `kernel.yama.ptrace_scope`; None where the kernel has no Yama.
    pub(super) yama: Result<Option<u32>, String>,
    /// The running kernel's release, and its number if the release begins with one.
    pub(super) kernel: (String, Option<KernelVersion>),
    /// Whether our pid namespace is the machine's first one.
    pub(super) first_pid_namespace: Option<bool>,
    /// The `hidepid=` option of /proc, if it is not off.
    pub(super) hidepid: Option<String>,
    /// `kernel.core_pattern`.
    pub(super) core_pattern: Option<String>,
    /// The soft limit of RLIMIT_CORE, in bytes.
    pub(super) core_limit: Option<u64>,
    /// The soft and hard limits of RLIMIT_NOFILE.
    pub(super) file_limit: Option<(u64, u64)>,
    /// The state directory.
    pub(super) state_dir: StateDir,
    /// Every process that is traced, in order of pid.
    pub(super) traced: Vec<Traced>,
}

/// What /proc/self/status says of us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// Whether CAP_SYS_PTRACE is in the effective set.
    pub(super) can_ptrace: bool,
    /// Whether `no_new_privs` is set (prctl(2)).
    pub(super) no_new_privs: bool,
    /// Whether a seccomp filter is active.
    pub(super) seccomp_filter: bool,
}

/// The state directory, or what stands in its place.
#[derive(Debug)]
pub(super) struct StateDir {
    /// As it would be used.
    pub(super) path: PathBuf,
    /// The directory itself, or the nearest one above it that exists.
    pub(super) existing: PathBuf,
    /// Why nothing can be written to `existing`.
    pub(super) obstacle: Option<String>,
}

/// A process that somebody traces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Traced {
    pub(super) pid: Pid,
    pub(super) name: String,
    pub(super) tracer: Pid,
    /// None if the tracer is out of sight.
    pub(super) tracer_name: Option<String>,
}

impl Traced {
    /// Whether its tracer is one of ours.
    pub(super) fn is_supervised(&self) -> bool {
        self.tracer_name.as_deref() == Some("sickbay")
    }
}

/// The bit of CAP_SYS_PTRACE in a capability set (capability.h).
const CAP_SYS_PTRACE: u32 = 19;
/// `SECCOMP_MODE_FILTER` (seccomp(2)).
const SECCOMP_MODE_FILTER: u32 = 2;
/// The inode of the first pid namespace: `PROC_PID_INIT_INO` of the kernel.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

impl Facts {
    /// Reads what `proc` (the mount point of /proc) and the system calls tell.
    pub(super) fn collect(proc: &Path, state_dir: &Path) -> Self {
        let release = read_line(&proc.join("sys/kernel/osrelease")).unwrap_or_default();
        let version = KernelVersion::from_str(&release).ok();
        Self {
            euid: Uid::effective().as_raw(),
            own: own(proc),
            yama: yama(proc),
            kernel: (release, version),
            first_pid_namespace: fs::read_link(proc.join("self/ns/pid"))
                .ok()
                .map(|link| link == Path::new(FIRST_PID_NAMESPACE)),
            hidepid: hidepid(proc),
            core_pattern: read_line(&proc.join("sys/kernel/core_pattern")).ok(),
            core_limit: getrlimit(Resource::RLIMIT_CORE).ok().map(|(soft, _)| soft),
            file_limit: getrlimit(Resource::RLIMIT_NOFILE).ok(),
            state_dir: StateDir::look(state_dir),
            traced: traced(proc),
        }
    }
}

impl StateDir {
    fn look(path: &Path) -> Self {
        let mut ancestors = path.ancestors().map(|a| {
            if a.as_os_str().is_empty() {
                Path::new(".")
            } else {
                a
            }
        });
        let existing = ancestors
            .find(|ancestor| ancestor.symlink_metadata().is_ok())
            .unwrap_or(path);
        Self {
            path: path.to_owned(),
            existing: existing.to_owned(),
            obstacle: obstacle(existing),
        }
    }
}

/// Why a directory takes no files.
fn obstacle(directory: &Path) -> Option<String> {
    match directory.metadata() {
        Err(error) => return Some(error.to_string()),
        Ok(metadata) if !metadata.is_dir() => return Some("not a directory".to_owned()),
        Ok(_) => {}
    }
    let write = AccessFlags::W_OK | AccessFlags::X_OK;
    faccessat(AT_FDCWD, directory, write, AtFlags::AT_EACCESS)
        .err()
        .map(|errno| errno.desc().to_lowercase())
}

fn own(proc: &Path) -> Result<Own, String> {
    let status = Status::from_file(proc.join("self/status")).map_err(|error| error.to_string())?;
    Ok(Own {
        can_ptrace: status.capeff & (1 << CAP_SYS_PTRACE) != 0,
        no_new_privs: status.nonewprivs == Some(1),
        seccomp_filter: status.seccomp == Some(SECCOMP_MODE_FILTER),
    })
}

fn yama(proc: &Path) -> Result<Option<u32>, String> {
    match read_line(&proc.join("sys/kernel/yama/ptrace_scope")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
        Ok(text) => text
            .parse()
            .map(Some)
            .map_err(|_| format!("unexpected value '{}'", text.escape_debug())),
    }
}

fn hidepid(proc: &Path) -> Option<String> {
    let mounts = MountInfos::from_file(proc.join("self/mountinfo")).ok()?;
    let mount = mounts
        .iter()
        .rfind(|mount| mount.fs_type == "proc" && mount.mount_point == proc)?;
    let value = mount.super_options.get("hidepid").cloned().flatten()?;
    (value != "0" && value != "off").then_some(value)
}

/// Every process with a tracer. What vanishes or cannot be read meanwhile is left out.
fn traced(proc: &Path) -> Vec<Traced> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let statuses: HashMap<i32, Status> = pids
        .filter_map(|pid| {
            Some((
                pid,
                Status::from_file(proc.join(pid.to_string()).join("status")).ok()?,
            ))
        })
        .collect();
    let name = |status: &Status| status.name.escape_debug().to_string();
    let mut traced: Vec<Traced> = statuses
        .values()
        .filter(|status| status.tracerpid > 0)
        .map(|status| Traced {
            pid: Pid(status.tgid),
            name: name(status),
            tracer: Pid(status.tracerpid),
            tracer_name: statuses.get(&status.tracerpid).map(name),
        })
        .collect();
    traced.sort_by_key(|process| process.pid);
    traced
}

fn read_line(file: &Path) -> io::Result<String> {
    fs::read_to_string(file).map(|text| text.trim_end().to_owned())
}

/// Machines for the tests of the checks.
#[cfg(test)]
pub(super) mod samples {
    use super::*;

    /// A machine on which everything works.
    pub(in super::super) fn healthy() -> Facts {
        Facts {
            euid: 0,
            own: Ok(Own {
                can_ptrace: true,
                no_new_privs: false,
                seccomp_filter: false,
            }),
            yama: Ok(Some(1)),
            kernel: release("6.1.0-18-amd64"),
            first_pid_namespace: Some(true),
            hidepid: None,
            core_pattern: Some("core".into()),
            core_limit: Some(0),
            file_limit: Some((1024, 4096)),
            state_dir: StateDir {
                path: "/s".into(),
                existing: "/s".into(),
                obstacle: None,
            },
            traced: Vec::new(),
        }
    }

    /// The same for a user without privileges.
    pub(in super::super) fn unprivileged() -> Facts {
        let own = Own {
            can_ptrace: false,
            no_new_privs: false,
            seccomp_filter: false,
        };
        Facts {
            euid: 1000,
            own: Ok(own),
            ..healthy()
        }
    }

    pub(in super::super) fn release(text: &str) -> (String, Option<KernelVersion>) {
        (text.to_owned(), KernelVersion::from_str(text).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let facts = Facts::collect(Path::new("/proc"), directory.path());
        assert!(facts.own.is_ok(), "{:?}", facts.own);
        assert!(facts.kernel.1.is_some(), "{:?}", facts.kernel);
        assert!(facts.file_limit.is_some());
        assert_eq!(facts.state_dir.obstacle, None);
    }

    #[test]
    fn a_traced_process_is_found_with_its_tracer() {
        let proc = tempfile::tempdir().unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let with = |pid: i32, name: &str, tracer: i32| {
            let lines = status.lines().map(|line| match line.split(':').next() {
                Some("Name") => format!("Name:\t{name}"),
                Some("Tgid") => format!("Tgid:\t{pid}"),
                Some("TracerPid") => format!("TracerPid:\t{tracer}"),
                _ => line.to_owned(),
            });
            let directory = proc.path().join(pid.to_string());
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join("status"), lines.collect::<Vec<_>>().join("\n")).unwrap();
        };
        with(812, "redis-server", 977);
        with(977, "gdb", 0);
        with(90, "x", 5);
        fs::create_dir(proc.path().join("4")).unwrap();
        let expected = |pid, name: &str, tracer, tracer_name: Option<&str>| Traced {
            pid: Pid(pid),
            name: name.to_owned(),
            tracer: Pid(tracer),
            tracer_name: tracer_name.map(str::to_owned),
        };
        assert_eq!(
            traced(proc.path()),
            [
                expected(90, "x", 5, None),
                expected(812, "redis-server", 977, Some("gdb"))
            ]
        );
    }

    #[test]
    fn a_state_directory_may_still_be_to_come() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::look(&root.path().join("a/b"));
        assert_eq!((state.existing.as_path(), state.obstacle), (root.path(), None));
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(
            StateDir::look(&file.join("x")).obstacle.as_deref(),
            Some("not a directory")
        );
    }

    #[test]
    fn a_kernel_without_yama_is_no_error() {
        let proc = tempfile::tempdir().unwrap();
        assert_eq!(yama(proc.path()), Ok(None));
        fs::create_dir_all(proc.path().join("sys/kernel/yama")).unwrap();
        fs::write(proc.path().join("sys/kernel/yama/ptrace_scope"), "2\n").unwrap();
        assert_eq!(yama(proc.path()), Ok(Some(2)));
    }
}
