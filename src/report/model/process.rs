//! The machine, the service and the process as a whole.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::value::Address;
use crate::sys::Pid;

/// The machine.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// `uname(2)`, nodename.
    pub hostname: Option<String>,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Option<String>,
    /// `uname(2)`, release.
    pub kernel: Option<String>,
    /// `uname(2)`, machine, for example `x86_64`.
    pub arch: Option<String>,
}

/// The service that a process belongs to.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Its configured name.
    pub name: Option<String>,
    /// Its systemd unit.
    pub unit: Option<String>,
    /// That unit's `InvocationID` (systemd.exec(5)).
    pub invocation_id: Option<String>,
    /// Its control group, as a path below the cgroup file system's root.
    pub cgroup: Option<String>,
}

/// The process.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its id as the supervisor sees it.
    pub pid: Pid,
    /// Its id in its own pid namespace, if that is another one.
    pub tgid_ns: Option<Pid>,
    /// Its parent.
    pub ppid: Option<Pid>,
    /// Its real user id.
    pub uid: Option<u32>,
    /// Its real group id.
    pub gid: Option<u32>,
    /// The name of its first thread.
    pub comm: Option<String>,
    /// The program's path.
    pub exe: Option<String>,
    /// The program's build id, in hexadecimal.
    pub build_id: Option<String>,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmdline: Vec<String>,
    /// When it started.
    pub start_time: Option<Timestamp>,
    /// How long it had run, in microseconds.
    pub uptime_us: Option<u64>,
    /// How many threads it had.
    pub threads: Option<u64>,
}

/// The program or a library, as it was mapped.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Module {
    /// The file's path, or a name in brackets such as `[vdso]`.
    pub path: String,
    /// The GNU build id, in hexadecimal.
    pub build_id: Option<String>,
    /// The first address of its first mapping.
    pub low: Address,
    /// The first address after its last mapping.
    pub high: Address,
}

/// One line of `/proc/PID/maps`.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Map {
    /// The first address.
    pub low: Address,
    /// The first address after it.
    pub high: Address,
    /// The permissions as proc(5) writes them, for example `r-xp`.
    pub perms: String,
    /// The offset in the mapped file, in bytes.
    pub offset: Option<u64>,
    /// The device of the mapped file, as `major:minor` in hexadecimal.
    pub device: Option<String>,
    /// The inode of the mapped file.
    pub inode: Option<u64>,
    /// The file's path, or a name in brackets such as `[stack]`.
    pub path: Option<String>,
}

/// One entry of `/proc/PID/fd`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OpenFile {
    /// The descriptor.
    pub fd: i32,
    /// What it refers to: a path, `socket:[40012]`, `anon_inode:[eventpoll]`.
    pub target: String,
}

/// One resource limit (getrlimit(2)); an absent value means unlimited.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limit {
    /// What the kernel enforces.
    pub soft: Option<u64>,
    /// How far the process may raise it.
    pub hard: Option<u64>,
    /// The unit as `/proc/PID/limits` names it, for example `bytes`.
    pub unit: Option<String>,
}

/// One line of the service's logs: data from the service, never trusted.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogLine {
    /// When it was written.
    pub time: Option<Timestamp>,
    /// Where it was read: `journal`, `stderr`, or a file's path.
    pub source: Option<String>,
    /// Its priority as in syslog(3): 0 (emergency) to 7 (debug).
    pub priority: Option<u8>,
    /// The line, without its line feed.
    pub text: String,
}

impl Process {
    /// A process of which nothing but its id is known.
    pub fn new(pid: Pid) -> Self {
        Self {
            pid,
            tgid_ns: None,
            ppid: None,
            uid: None,
            gid: None,
            comm: None,
            exe: None,
            build_id: None,
            cmdline: Vec::new(),
            start_time: None,
            uptime_us: None,
            threads: None,
        }
    }
}

impl Module {
    /// Whether the address lies between the module's ends.
    pub fn contains(&self, address: Address) -> bool {
        self.low <= address && address < self.high
    }

    /// The last component of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

impl Map {
    /// Whether the address is mapped by it.
    pub fn contains(&self, address: Address) -> bool {
        self.low <= address && address < self.high
    }
}
