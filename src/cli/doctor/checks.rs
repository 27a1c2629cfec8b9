//! What the facts mean, and what to do about them. Pure.

use std::fmt;

use procfs_core::KernelVersion;
use serde::Serialize;

use super::facts::{Facts, Own, Traced};

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it stands in the way.
    pub verdict: Verdict,
    /// What is so, and what follows from it.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Whether something stands in the way of supervising processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does not.
    Ok,
    /// Part of it does not work, or not for everybody.
    Warn,
    /// Nothing works.
    Fail,
}

/// Traced processes past this many are only counted.
const MAX_TRACED_SHOWN: usize = 20;
/// Descriptors that a tracer and its captures need besides one for each process and module file.
const ENOUGH_FILES: u64 = 1024;
/// What `run` and `attach` rest on: `pidfd_open(2)`.
const OLDEST_KERNEL: KernelVersion = KernelVersion {
    major: 5,
    minor: 3,
    patch: 0,
};
/// Since then waiting for one thread does not look at all the others.
const FLAT_WAIT_KERNEL: KernelVersion = KernelVersion {
    major: 5,
    minor: 13,
    patch: 0,
};

const NEED_KERNEL: &str = "use kernel 5.13 or later";
const MOUNT_PROC: &str = "see that /proc is mounted: mount -t proc proc /proc";

/// Every check, in the order in which they matter.
pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![
        privilege(facts),
        yama(facts),
        kernel(&facts.kernel),
        seccomp(facts),
        no_new_privs(facts),
        pid_namespace(facts),
        hidepid(facts),
        state_dir(facts),
        open_files(facts),
        cores(facts),
    ];
    checks.extend(tracers(&facts.traced));
    checks
}

impl Facts {
    fn can_ptrace(&self) -> bool {
        matches!(self.own, Ok(Own { can_ptrace: true, .. }))
    }
}

fn privilege(facts: &Facts) -> Check {
    let name = "privilege";
    match &facts.own {
        Err(error) => fail(
            name,
            format!("/proc/self/status cannot be read: {error}"),
            MOUNT_PROC,
        ),
        Ok(own) if own.can_ptrace => ok(
            name,
            "CAP_SYS_PTRACE is held: processes of every user can be supervised".to_owned(),
        ),
        Ok(_) => warn(
            name,
            format!(
                "without CAP_SYS_PTRACE only processes of user {} can be supervised, and set-user-ID programs that \
                 they start do not gain privileges",
                facts.euid
            ),
            "run as root to supervise processes of other users",
        ),
    }
}

fn yama(facts: &Facts) -> Check {
    let name = "ptrace_scope";
    let privileged = facts.can_ptrace();
    match &facts.yama {
        Err(error) => warn(
            name,
            format!("kernel.yama.ptrace_scope cannot be read: {error}"),
            "run as root",
        ),
        Ok(None) => ok(
            name,
            "the kernel has no Yama: nothing beyond ordinary permissions applies".to_owned(),
        ),
        Ok(Some(0)) => ok(
            name,
            "kernel.yama.ptrace_scope is 0: own processes can be attached".to_owned(),
        ),
        Ok(Some(level @ (1 | 2))) if privileged => ok(
            name,
            format!("kernel.yama.ptrace_scope is {level}: CAP_SYS_PTRACE passes it"),
        ),
        Ok(Some(1)) => warn(
            name,
            "kernel.yama.ptrace_scope is 1: 'sickbay run' works, 'sickbay attach' does not".to_owned(),
            "attach as root, or: sysctl -w kernel.yama.ptrace_scope=0",
        ),
        Ok(Some(2)) => fail(
            name,
            "kernel.yama.ptrace_scope is 2: only CAP_SYS_PTRACE can trace, and it is not held".to_owned(),
            "run as root, or: sysctl -w kernel.yama.ptrace_scope=1",
        ),
        Ok(Some(level)) => fail(
            name,
            format!("kernel.yama.ptrace_scope is {level}: nobody can trace, root included"),
            "it cannot be lowered while the machine runs: set kernel.yama.ptrace_scope=1 in /etc/sysctl.d, reboot",
        ),
    }
}

fn kernel((release, version): &(String, Option<KernelVersion>)) -> Check {
    let name = "kernel";
    match version {
        None => warn(
            name,
            format!("kernel release '{}' is not understood", release.escape_debug()),
            NEED_KERNEL,
        ),
        Some(version) if *version < OLDEST_KERNEL => fail(
            name,
            format!("kernel {release} has no pidfd_open(2)"),
            NEED_KERNEL,
        ),
        Some(version) if *version < FLAT_WAIT_KERNEL => warn(
            name,
            format!("kernel {release} looks at every thread in each wait: slow with thousands of threads"),
            NEED_KERNEL,
        ),
        Some(_) => ok(name, format!("kernel {release} has all that is needed")),
    }
}

fn seccomp(facts: &Facts) -> Check {
    let name = "seccomp";
    match &facts.own {
        Err(_) => warn(
            name,
            "whether a filter is active is unknown".to_owned(),
            MOUNT_PROC,
        ),
        Ok(own) if own.seccomp_filter => warn(
            name,
            "a filter is active, as in a container; if it forbids ptrace(2), nothing works".to_owned(),
            "if attaching is refused: start the container with --cap-add SYS_PTRACE, or allow ptrace in its profile",
        ),
        Ok(_) => ok(name, "no filter is active".to_owned()),
    }
}

fn no_new_privs(facts: &Facts) -> Check {
    let name = "no_new_privs";
    match &facts.own {
        Err(_) => warn(name, "whether it is set is unknown".to_owned(), MOUNT_PROC),
        Ok(own) if own.no_new_privs => warn(
            name,
            "it is set: set-user-ID programs under 'sickbay run' do not gain privileges".to_owned(),
            "start sickbay where it is not set (under systemd: NoNewPrivileges=no)",
        ),
        Ok(_) => ok(name, "it is not set".to_owned()),
    }
}

fn pid_namespace(facts: &Facts) -> Check {
    let name = "pid namespace";
    match facts.first_pid_namespace {
        Some(true) => ok(name, "the machine's own: every process is visible".to_owned()),
        Some(false) => ok(
            name,
            "one of its own: only the processes in it can be supervised".to_owned(),
        ),
        None => warn(name, "/proc/self/ns/pid cannot be read".to_owned(), MOUNT_PROC),
    }
}

fn hidepid(facts: &Facts) -> Check {
    let name = "hidepid";
    match &facts.hidepid {
        None => ok(name, "/proc shows the processes of all users".to_owned()),
        Some(value) if facts.can_ptrace() => ok(
            name,
            format!("/proc is mounted with hidepid={value}; CAP_SYS_PTRACE passes it"),
        ),
        Some(value) => warn(
            name,
            format!(
                "/proc is mounted with hidepid={value}: who traces processes of other users is out of sight"
            ),
            "run as root, or: mount -o remount,hidepid=0 /proc",
        ),
    }
}

fn state_dir(facts: &Facts) -> Check {
    let name = "state directory";
    let state = &facts.state_dir;
    let (path, existing) = (state.path.display(), state.existing.display());
    match &state.obstacle {
        Some(why) => fail(
            name,
            format!("no reports can be written to {path}: {existing}: {why}"),
            "use --state-dir with a directory of your own, or correct its owner and mode",
        ),
        None if state.path == state.existing => ok(name, format!("{path} is writable")),
        None => ok(name, format!("{path} does not exist yet; it can be created")),
    }
}

fn open_files(facts: &Facts) -> Check {
    let name = "open files";
    match facts.file_limit {
        None => warn(
            name,
            "RLIMIT_NOFILE cannot be read".to_owned(),
            "see it with: prlimit --nofile",
        ),
        Some((soft, hard)) if soft < ENOUGH_FILES => {
            let fix = if hard < ENOUGH_FILES {
                "raise the hard limit: LimitNOFILE= of the unit, or /etc/security/limits.conf"
            } else {
                "ulimit -n 4096"
            };
            warn(
                name,
                format!("RLIMIT_NOFILE is {soft}: too few for services with many modules"),
                fix,
            )
        }
        Some((u64::MAX, _)) => ok(name, "RLIMIT_NOFILE is unlimited".to_owned()),
        Some((soft, _)) => ok(name, format!("RLIMIT_NOFILE is {soft}")),
    }
}

/// What becomes of the kernel's own cores. Reports do not depend on it.
fn cores(facts: &Facts) -> Check {
    let name = "cores";
    let limit = facts.core_limit;
    let found = match facts.core_pattern.as_deref() {
        None => "kernel.core_pattern cannot be read".to_owned(),
        Some(pattern) if pattern.starts_with('|') => {
            let program = pattern
                .trim_start_matches('|')
                .split_whitespace()
                .next()
                .unwrap_or_default();
            format!("the kernel hands cores to {}", program.escape_debug())
        }
        Some(_) if limit == Some(0) => "the kernel writes no cores: RLIMIT_CORE is 0".to_owned(),
        Some("") => "the kernel writes no cores: kernel.core_pattern is empty".to_owned(),
        Some(pattern) => format!("the kernel writes cores to '{}'", pattern.escape_debug()),
    };
    ok(name, format!("{found}; reports do not depend on it"))
}

fn tracers(traced: &[Traced]) -> Vec<Check> {
    let name = "tracers";
    if traced.is_empty() {
        return vec![ok(name, "no process is traced".to_owned())];
    }
    let mut checks: Vec<Check> = traced.iter().take(MAX_TRACED_SHOWN).map(tracer).collect();
    let rest = traced.len().saturating_sub(MAX_TRACED_SHOWN);
    if rest > 0 {
        checks.push(warn(
            name,
            format!("{rest} more processes are traced"),
            "see TracerPid in /proc/PID/status",
        ));
    }
    checks
}

/// A process has one tracer at a time.
fn tracer(
    Traced {
        pid,
        name,
        tracer,
        tracer_name,
    }: &Traced,
) -> Check {
    let check = "tracers";
    match tracer_name.as_deref() {
        Some("sickbay") => ok(
            check,
            format!("{name} (pid {pid}) is supervised by sickbay (pid {tracer})"),
        ),
        tracer_name => {
            let by = tracer_name.unwrap_or("a process out of sight");
            let fix = format!("end that session before 'sickbay attach --pid {pid}'");
            warn(
                check,
                format!("{name} (pid {pid}) is traced by {by} (pid {tracer})"),
                fix,
            )
        }
    }
}

fn ok(name: &'static str, found: String) -> Check {
    Check {
        name,
        verdict: Verdict::Ok,
        found,
        fix: None,
    }
}

fn warn(name: &'static str, found: String, fix: impl Into<String>) -> Check {
    Check {
        name,
        verdict: Verdict::Warn,
        found,
        fix: Some(fix.into()),
    }
}

fn fail(name: &'static str, found: String, fix: impl Into<String>) -> Check {
    Check {
        name,
        verdict: Verdict::Fail,
        found,
        fix: Some(fix.into()),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<4}  {:<15}  {}", self.verdict, self.name, self.found)?;
        self.fix
            .as_ref()
            .map_or(Ok(()), |fix| write!(f, "\n{:23}fix: {fix}", ""))
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::StateDir;
    use super::*;
    use crate::sys::Pid;

    /// A machine on which everything works.
    fn healthy() -> Facts {
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
    fn unprivileged() -> Facts {
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

    fn release(text: &str) -> (String, Option<KernelVersion>) {
        (text.to_owned(), KernelVersion::from_str(text).ok())
    }

    #[test]
    fn where_everything_works_nothing_is_to_be_done() {
        for check in judge(&healthy()) {
            assert_eq!((check.verdict, &check.fix), (Verdict::Ok, &None), "{check}");
        }
    }

    #[test]
    fn whatever_is_not_ok_has_a_fix() {
        let facts = Facts {
            own: Err("permission denied".into()),
            yama: Err("permission denied".into()),
            kernel: release("x"),
            first_pid_namespace: None,
            hidepid: Some("2".into()),
            file_limit: None,
            core_pattern: None,
            ..healthy()
        };
        for check in judge(&facts) {
            assert_eq!(check.verdict == Verdict::Ok, check.fix.is_none(), "{check}");
        }
    }

    #[test]
    fn yama_is_judged_with_the_privilege_at_hand() {
        let verdict = |scope, facts: Facts| {
            yama(&Facts {
                yama: Ok(scope),
                ..facts
            })
            .verdict
        };
        for (scope, root, user) in [
            (None, Verdict::Ok, Verdict::Ok),
            (Some(0), Verdict::Ok, Verdict::Ok),
            (Some(1), Verdict::Ok, Verdict::Warn),
            (Some(2), Verdict::Ok, Verdict::Fail),
            (Some(3), Verdict::Fail, Verdict::Fail),
        ] {
            assert_eq!(
                (verdict(scope, healthy()), verdict(scope, unprivileged())),
                (root, user),
                "{scope:?}"
            );
        }
    }

    #[test]
    fn kernels_are_told_apart_by_what_they_lack() {
        let verdict = |text| kernel(&release(text)).verdict;
        assert_eq!(verdict("4.19.0-26-amd64"), Verdict::Fail);
        assert_eq!(verdict("5.10.0-28-amd64"), Verdict::Warn);
        assert_eq!(verdict("5.13.0"), Verdict::Ok);
        assert_eq!(verdict("unknown"), Verdict::Warn);
    }

    #[test]
    fn who_traces_whom_is_named() {
        let traced = |pid, name: &str, tracer, by: Option<&str>| Traced {
            pid: Pid(pid),
            name: name.into(),
            tracer: Pid(tracer),
            tracer_name: by.map(str::to_owned),
        };
        let checks = tracers(&[
            traced(812, "redis-server", 977, Some("gdb")),
            traced(813, "api", 40, Some("sickbay")),
            traced(814, "x", 41, None),
        ]);
        assert_eq!(
            checks[0].found,
            "redis-server (pid 812) is traced by gdb (pid 977)"
        );
        assert_eq!(
            checks[0].fix.as_deref(),
            Some("end that session before 'sickbay attach --pid 812'")
        );
        assert_eq!(checks[1].verdict, Verdict::Ok);
        assert!(checks[2].found.contains("out of sight"));
        let many: Vec<Traced> = (0..50).map(|pid| traced(pid, "x", 1, None)).collect();
        assert_eq!(
            tracers(&many).last().unwrap().found,
            "30 more processes are traced"
        );
    }

    #[test]
    fn a_state_directory_that_takes_no_reports_fails() {
        let state_dir = StateDir {
            path: "/var/lib/sickbay".into(),
            existing: "/var/lib".into(),
            obstacle: Some("permission denied".into()),
        };
        let check = state_dir_check(state_dir);
        assert_eq!(check.verdict, Verdict::Fail);
        assert!(check.found.contains("/var/lib: permission denied"), "{check}");
    }

    fn state_dir_check(state: StateDir) -> Check {
        state_dir(&Facts {
            state_dir: state,
            ..healthy()
        })
    }

    #[test]
    fn verdicts_line_up() {
        let check = warn("kernel", "old".to_owned(), "newer");
        assert_eq!(
            check.to_string(),
            format!("warn  kernel           old\n{:23}fix: newer", "")
        );
    }
}
