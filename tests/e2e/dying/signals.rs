//! Signals that somebody sends, limits that the kernel enforces, and deaths that nobody sees coming.

use libc::{
    SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGPIPE, SIGPOLL, SIGPROF, SIGPWR,
    SIGQUIT, SIGSEGV, SIGSTKFLT, SIGSYS, SIGTERM, SIGTRAP, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ABORT, SELF, die};
use crate::support::{Sickbay, await_that, fixture, skip};

#[test]
fn every_fatal_signal_raised() {
    let fatal = [
        ("SIGHUP", SIGHUP),
        ("SIGINT", SIGINT),
        ("SIGQUIT", SIGQUIT),
        ("SIGILL", SIGILL),
        ("SIGTRAP", SIGTRAP),
        ("SIGBUS", SIGBUS),
        ("SIGFPE", SIGFPE),
        ("SIGUSR1", SIGUSR1),
        ("SIGSEGV", SIGSEGV),
        ("SIGUSR2", SIGUSR2),
        ("SIGPIPE", SIGPIPE),
        ("SIGALRM", SIGALRM),
        ("SIGTERM", SIGTERM),
        ("SIGSTKFLT", SIGSTKFLT),
        ("SIGXCPU", SIGXCPU),
        ("SIGXFSZ", SIGXFSZ),
        ("SIGVTALRM", SIGVTALRM),
        ("SIGPROF", SIGPROF),
        ("SIGPOLL", SIGPOLL),
        ("SIGPWR", SIGPWR),
        ("SIGSYS", SIGSYS),
        ("SIGRTMIN+1", libc::SIGRTMIN() + 1),
    ];
    for (name, number) in fatal {
        let report = die(&["raise", name])
            .by(number)
            .code("SI_TKILL")
            .cause(&[SELF])
            .check();
        assert_eq!(
            report.at("signal.sender.pid"),
            report.at("process.pid"),
            "{report:?}"
        );
    }
    die(&["raise", "SIGABRT"])
        .by(SIGABRT)
        .code("SI_TKILL")
        .cause(&[SELF, ABORT])
        .check();
}

#[test]
fn sent_by_the_process_to_itself() {
    die(&["kill", "SIGSEGV"])
        .by(SIGSEGV)
        .code("SI_USER")
        .cause(&[SELF])
        .check();
    die(&["tgkill", "SIGBUS"])
        .by(SIGBUS)
        .code("SI_TKILL")
        .cause(&[SELF])
        .check();
    die(&["pthread-kill", "SIGFPE"])
        .by(SIGFPE)
        .code("SI_TKILL")
        .cause(&[SELF])
        .thread("target")
        .check();
}

#[test]
fn sent_by_another_process() {
    for signal in [Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGSEGV] {
        let sickbay = Sickbay::new();
        let mut supervisor = sickbay.start(fixture("die"), &["wait"]);
        let pid: i32 = supervisor.stdout_line("ready").parse().unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
        assert_eq!(supervisor.finish().code(), 128 + signal as i32);

        let report = sickbay.only_report();
        assert_eq!(report.text("signal.name"), signal.as_str());
        assert_eq!(report.text("signal.code_name"), "SI_USER");
        assert_eq!(report.text("fault.cause"), "sent by another process");
        assert_eq!(report.number("signal.sender.pid"), i64::from(std::process::id()));
        assert_eq!(
            report.number("signal.sender.uid"),
            i64::from(nix::unistd::getuid().as_raw())
        );
        let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(report.text("signal.sender.comm"), comm.trim());
    }
}

#[test]
fn resource_limits() {
    die(&["xcpu"]).by(SIGXCPU).cause(&["CPU time limit"]).check();
    die(&["xfsz"]).by(SIGXFSZ).cause(&["file size limit"]).check();
}

#[test]
fn seccomp_trap() {
    let trap = die(&["seccomp-trap"])
        .by(SIGSYS)
        .code("SYS_SECCOMP")
        .cause(&["blocked system call (seccomp)"]);
    assert!(trap.check().text("fault.detail").contains("getppid"));
}

/// No stop is ever seen for these; the exit status tells.
#[test]
fn forced_deaths_leave_exit_records() {
    die(&["seccomp-kill"]).by(SIGSYS).kind("exit").check();
    let killed = die(&["self-kill9"]).by(SIGKILL).kind("exit").check();
    assert_eq!(killed.text("signal.name"), "SIGKILL");
}

/// The kernel limits how often it writes such a line, so that one try may leave none.
#[test]
fn a_seccomp_kill_names_the_call() {
    if !kernel_logs_seccomp() {
        return skip("the kernel's log cannot be read, or tells nothing of seccomp");
    }
    await_that("a record that names the call", || {
        let sickbay = Sickbay::new();
        sickbay.run(fixture("die"), &["seccomp-kill"]);
        let report = sickbay.only_report();
        let told = report.text("fault.detail");
        let named = told.starts_with("killed by seccomp for getppid (");
        assert_ne!(named, report.has("incomplete"), "{report:?}");
        named.then_some(())
    });
}

/// Nobody else says that this thread is gone.
#[test]
fn a_thread_that_seccomp_ends_alone_is_told_of() {
    let sickbay = Sickbay::new();
    let mut supervisor = sickbay.start(fixture("die"), &["seccomp-kill-thread"]);
    supervisor.stdout_line("goes on");
    await_that("a word about the lost thread", || {
        let said = supervisor.stderr_so_far();
        let said = said.lines().find(|line| line.contains("SECCOMP_RET_KILL_THREAD"));
        said.map(|line| assert!(line.contains("ended a thread of die ("), "{line}"))
    });
    supervisor.close_stdin();
    assert_eq!(supervisor.finish().code(), 0);
    assert!(sickbay.reports().is_empty());
    // A filter that ends the process is told of by its record alone.
    let sickbay = Sickbay::new();
    let outcome = sickbay.run(fixture("die"), &["seccomp-kill"]);
    assert!(!outcome.stderr.contains("KILL_THREAD"), "{outcome:#?}");
}

fn kernel_logs_seccomp() -> bool {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    std::fs::File::open("/dev/kmsg").is_ok()
        && read("/proc/sys/kernel/seccomp/actions_logged").contains("kill_process")
        && !read("/proc/cmdline").contains("audit=0")
        && !std::path::Path::new("/run/auditd.pid").exists()
}

#[test]
fn a_crash_handler_that_dies_of_the_same_signal_again() {
    die(&["handler-reset-reraise"]).by(SIGSEGV).check();
}
