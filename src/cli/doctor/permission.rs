//! What allows or forbids ptrace: capabilities, Yama, seccomp, namespaces, and other tracers.

use super::facts::{Facts, Own, Traced};
use super::verdict::{Check, fail, ok, warn};

/// Traced processes past this many are only counted.
const MAX_TRACED_SHOWN: usize = 20;
const MOUNT_PROC: &str = "see that /proc is mounted: mount -t proc proc /proc";

pub(super) fn privilege(facts: &Facts) -> Check {
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

pub(super) fn yama(facts: &Facts) -> Check {
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

pub(super) fn seccomp(facts: &Facts) -> Check {
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

pub(super) fn no_new_privs(facts: &Facts) -> Check {
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

pub(super) fn pid_namespace(facts: &Facts) -> Check {
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

pub(super) fn hidepid(facts: &Facts) -> Check {
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

pub(super) fn tracers(traced: &[Traced]) -> Vec<Check> {
    let name = "tracers";
    if traced.is_empty() {
        return vec![ok(name, "no process is traced".to_owned())];
    }
    // Those that keep us out come first.
    let mut shown: Vec<&Traced> = traced.iter().collect();
    shown.sort_by_key(|traced| traced.is_supervised());
    let mut checks: Vec<Check> = shown.into_iter().take(MAX_TRACED_SHOWN).map(tracer).collect();
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
fn tracer(traced: &Traced) -> Check {
    let Traced {
        pid,
        name,
        tracer,
        tracer_name,
    } = traced;
    let check = "tracers";
    if traced.is_supervised() {
        let found = format!("{name} (pid {pid}) is supervised by sickbay (pid {tracer})");
        return ok(check, found);
    }
    let by = tracer_name.as_deref().unwrap_or("a process out of sight");
    let fix = format!("end that session before 'sickbay attach --pid {pid}'");
    warn(
        check,
        format!("{name} (pid {pid}) is traced by {by} (pid {tracer})"),
        fix,
    )
}

impl Facts {
    fn can_ptrace(&self) -> bool {
        matches!(self.own, Ok(Own { can_ptrace: true, .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::samples::{healthy, unprivileged};
    use super::super::verdict::Verdict;
    use super::*;
    use crate::sys::Pid;

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
    fn who_traces_whom_is_named() {
        let traced = |pid, name: &str, tracer, by: Option<&str>| Traced {
            pid: Pid(pid),
            name: name.into(),
            tracer: Pid(tracer),
            tracer_name: by.map(str::to_owned),
        };
        let checks = tracers(&[
            traced(811, "api", 40, Some("sickbay")),
            traced(812, "redis-server", 977, Some("gdb")),
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
        assert!(checks[1].found.contains("out of sight"));
        assert_eq!(checks[2].verdict, Verdict::Ok);
        let many: Vec<Traced> = (0..50).map(|pid| traced(pid, "x", 1, None)).collect();
        assert_eq!(
            tracers(&many).last().unwrap().found,
            "30 more processes are traced"
        );
    }
}
