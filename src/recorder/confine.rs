//! What a recorder gives up before it reads what a crashed program left.
//!
//! Each step stands for itself: where one is refused (a container without the right to unshare, no such user), the
//! rest still holds and the report says what was refused. Descriptors that are open already are not touched.

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, User, geteuid, setgroups, setresgid, setresuid};

use crate::capture::Missing;

/// CPU time, seconds; the largest captures take a few.
const CPU_SECONDS: u64 = 60;
/// Address space, bytes: a capture, its report and the symbol tables of large programs at once.
const ADDRESS_SPACE: u64 = 8 << 30;
/// Size of a file that is written, bytes.
const FILE_SIZE: u64 = 4 << 30;
/// The same two where the core of a whole process is written.
const CORE_CPU_SECONDS: u64 = 3600;
const CORE_FILE_SIZE: u64 = 1 << 40;
/// Open descriptors: one for each mapped file, and some more.
const OPEN_FILES: u64 = 16_384;
/// Who a recorder becomes where it started as root, best first.
const USERS: [&str; 2] = ["sickbay", "nobody"];

/// Confines the calling process for good; returns the steps that were refused, for the report's `incomplete`.
///
/// Resource limits, no core, no new processes, no new privileges, not dumpable; and where it runs as root: a network
/// namespace without a network, and another user. Call it in a process of its own. `core` says that it is to write the
/// core of a whole process.
pub fn confine(core: bool) -> Vec<Missing> {
    let (cpu_seconds, file_size) = if core {
        (CORE_CPU_SECONDS, CORE_FILE_SIZE)
    } else {
        (CPU_SECONDS, FILE_SIZE)
    };
    let mut refused = Vec::new();
    let mut step = |name: &str, result: Result<(), Errno>| {
        if let Err(errno) = result {
            refused.push(Missing {
                step: format!("confinement: {name}"),
                reason: errno.desc().to_owned(),
            });
        }
    };
    for (name, resource, limit) in [
        ("CPU time", Resource::RLIMIT_CPU, cpu_seconds),
        ("address space", Resource::RLIMIT_AS, ADDRESS_SPACE),
        ("file size", Resource::RLIMIT_FSIZE, file_size),
        ("open files", Resource::RLIMIT_NOFILE, OPEN_FILES),
        ("core size", Resource::RLIMIT_CORE, 0),
    ] {
        step(name, lower(resource, limit));
    }
    if geteuid().is_root() {
        step("network", leave_network());
        step("user", drop_user());
    }
    // Behind the change of user: it is counted against a user's processes.
    step("processes", lower(Resource::RLIMIT_NPROC, 0));
    step("new privileges", prctl::set_no_new_privs());
    // Behind the change of user, which sets it anew (setresuid(2)).
    step("dumpable", prctl::set_dumpable(false));
    refused
}

/// Leaves the network behind. Where that is refused and there is none but the loopback, as in a hardened unit, nothing
/// is lost.
fn leave_network() -> Result<(), Errno> {
    unshare(CloneFlags::CLONE_NEWNET).or_else(|errno| {
        let devices = std::fs::read_to_string("/proc/self/net/dev").map_err(|_| errno)?;
        let mut names = devices.lines().filter_map(|line| line.split_once(':'));
        if names.all(|(name, _)| name.trim() == "lo") {
            Ok(())
        } else {
            Err(errno)
        }
    })
}

/// Lowers a limit, soft and hard; one that is lower already stays.
fn lower(resource: Resource, limit: u64) -> Result<(), Errno> {
    let (_, hard) = nix::sys::resource::getrlimit(resource)?;
    let limit = limit.min(hard);
    setrlimit(resource, limit, limit)
}

/// Becomes the first of [`USERS`] that exists.
fn drop_user() -> Result<(), Errno> {
    let user = USERS.iter().find_map(|name| User::from_name(name).ok().flatten());
    let (uid, gid): (Uid, Gid) = user.map(|user| (user.uid, user.gid)).ok_or(Errno::ENOENT)?;
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const CONFINED: &str = "SICKBAY_TEST_CONFINED";

    #[test]
    fn a_confined_process_can_do_little() {
        // Confinement is for good, so the test runs itself once more and confines that process.
        let run = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "recorder::confine::tests::in_a_process_of_its_own",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(CONFINED, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&run.stdout);
        assert!(
            run.status.success() && told.contains("1 passed"),
            "{told}{}",
            String::from_utf8_lossy(&run.stderr)
        );
    }

    #[test]
    fn in_a_process_of_its_own() {
        if std::env::var_os(CONFINED).is_none() {
            return;
        }
        let root = geteuid().is_root();
        let open = std::fs::File::open("/proc/self/status").unwrap();
        assert_eq!(confine(false), []);
        if root {
            assert!(!geteuid().is_root());
            assert!(
                std::net::TcpStream::connect("127.0.0.1:9")
                    .is_err_and(|error| { error.raw_os_error() == Some(Errno::ENETUNREACH as i32) })
            );
            assert!(std::fs::File::create("/etc/sickbay-must-not-exist").is_err());
        }
        assert!(
            std::thread::Builder::new().spawn(|| ()).is_err() || !root,
            "no new threads"
        );
        assert_eq!(prctl::get_no_new_privs(), Ok(true));
        assert_eq!(prctl::get_dumpable(), Ok(false));
        assert!(
            std::io::read_to_string(open).unwrap().contains("NoNewPrivs"),
            "open descriptors keep working"
        );
    }
}
