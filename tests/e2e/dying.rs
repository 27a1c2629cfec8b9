//! One program per way to die: each ends as it would unsupervised, and leaves one report that says why.

use libc::{
    SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGPIPE, SIGPOLL, SIGPROF, SIGPWR,
    SIGQUIT, SIGSEGV, SIGSTKFLT, SIGSYS, SIGTERM, SIGTRAP, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Dying, Sickbay, dying, fixture};

/// The text of each cause, as published.
const NULL: &str = "null pointer dereference";
const OVERFLOW: &str = "stack overflow";
const ABORT: &str = "abort";
const SELF: &str = "raised by the process itself";

/// What `ud2`, `int3` and the alignment check flag do is particular to this architecture.
const ON_X86_64: bool = cfg!(target_arch = "x86_64");

fn die(arguments: &[&str]) -> Dying {
    dying("die", arguments)
}

#[test]
fn null_read() {
    die(&["null-read"])
        .by(SIGSEGV)
        .code("SEGV_MAPERR")
        .address(8)
        .cause(&[NULL])
        .access("read")
        .in_program()
        .check();
}

#[test]
fn null_write() {
    die(&["null-write"])
        .by(SIGSEGV)
        .code("SEGV_MAPERR")
        .address(8)
        .cause(&[NULL])
        .access("write")
        .in_program()
        .check();
}

#[test]
fn null_execute() {
    let report = die(&["null-exec"])
        .by(SIGSEGV)
        .code("SEGV_MAPERR")
        .cause(&["jump to null"])
        .access("execute")
        .check();
    assert_eq!(report.address("fault.pc"), 0);
}

#[test]
fn wild_read() {
    let wild = die(&["wild-read"])
        .by(SIGSEGV)
        .code("SEGV_MAPERR")
        .address(0x1234_5678_9000);
    wild.cause(&["unmapped memory access"])
        .access("read")
        .in_program()
        .check();
}

#[test]
fn wild_execute() {
    die(&["wild-exec"])
        .by(SIGSEGV)
        .cause(&["jump to unmapped memory"])
        .access("execute")
        .check();
}

#[test]
fn non_canonical_address() {
    let far = die(&["non-canonical"]).by(SIGSEGV);
    if ON_X86_64 {
        far.code("SI_KERNEL")
            .cause(&["non-canonical address"])
            .in_program()
            .check();
    } else {
        far.in_program().check();
    }
}

#[test]
fn write_to_rodata() {
    let write = die(&["write-rodata"]).by(SIGSEGV).code("SEGV_ACCERR");
    write
        .cause(&["write to read-only memory"])
        .access("write")
        .in_program()
        .check();
}

#[test]
fn jump_to_data() {
    let jump = die(&["jump-data"]).by(SIGSEGV).code("SEGV_ACCERR");
    jump.cause(&["execution of non-executable memory"])
        .access("execute")
        .check();
}

#[test]
fn past_the_end_of_a_mapped_file() {
    let past = die(&["bus-mmap"]).by(SIGBUS).code("BUS_ADRERR");
    past.cause(&["access past the end of a mapped file"])
        .access("read")
        .in_program()
        .check();
}

#[test]
fn misaligned() {
    if ON_X86_64 {
        die(&["misaligned"])
            .by(SIGBUS)
            .code("BUS_ADRALN")
            .cause(&["misaligned access"])
            .in_program()
            .check();
    }
}

#[test]
fn stack_overflow_on_the_main_thread() {
    die(&["stack-overflow-main"])
        .by(SIGSEGV)
        .cause(&[OVERFLOW])
        .in_program()
        .check();
}

#[test]
fn stack_overflow_on_a_small_stack() {
    die(&["stack-overflow-thread"])
        .by(SIGSEGV)
        .cause(&[OVERFLOW])
        .thread("victim")
        .in_program()
        .check();
}

#[test]
fn stack_overflow_with_a_handler_that_raises_again() {
    die(&["stack-overflow-altstack"])
        .by(SIGSEGV)
        .cause(&[OVERFLOW, SELF])
        .check();
}

#[test]
fn stack_overflow_with_a_handler_that_returns() {
    die(&["stack-overflow-altstack-return"])
        .by(SIGSEGV)
        .cause(&[OVERFLOW])
        .in_program()
        .check();
}

#[test]
fn stack_overflow_with_a_handler_that_has_no_stack() {
    die(&["stack-overflow-no-altstack"])
        .by(SIGSEGV)
        .cause(&[OVERFLOW])
        .check();
}

#[test]
fn division() {
    if ON_X86_64 {
        die(&["div-zero"])
            .by(SIGFPE)
            .code("FPE_INTDIV")
            .cause(&["divide by zero"])
            .in_program()
            .check();
        die(&["int-overflow-div"])
            .by(SIGFPE)
            .code("FPE_INTDIV")
            .cause(&["divide overflow"])
            .in_program()
            .check();
    }
}

#[test]
fn undefined_instruction() {
    if ON_X86_64 {
        die(&["ud2"])
            .by(SIGILL)
            .code("ILL_ILLOPN")
            .cause(&["illegal instruction"])
            .in_program()
            .check();
    }
}

#[test]
fn breakpoint() {
    die(&["int3"])
        .by(SIGTRAP)
        .cause(&["breakpoint"])
        .in_program()
        .check();
}

#[test]
fn abort() {
    die(&["abort"])
        .by(SIGABRT)
        .code("SI_TKILL")
        .cause(&[ABORT])
        .check();
}

#[test]
fn assertion() {
    die(&["assert"])
        .by(SIGABRT)
        .cause(&["assertion failed"])
        .message("balance == 0")
        .check();
}

#[test]
fn double_free() {
    die(&["double-free"])
        .by(SIGABRT)
        .cause(&["heap corruption"])
        .message("double free")
        .check();
}

#[test]
fn invalid_free() {
    die(&["bad-free"])
        .by(SIGABRT)
        .cause(&["heap corruption"])
        .message("invalid pointer")
        .check();
}

#[test]
fn stack_smashing() {
    die(&["stack-smash"])
        .by(SIGABRT)
        .cause(&["stack smashing"])
        .message("stack smashing")
        .check();
}

#[test]
fn fortified_function() {
    let overflow = die(&["fortify"]).by(SIGABRT);
    overflow
        .cause(&["buffer overflow (fortify)"])
        .message("buffer overflow")
        .check();
}

#[test]
fn cxx_terminate() {
    for how in [
        "uncaught",
        "terminate",
        "noexcept",
        "pure-virtual",
        "uncaught-in-thread",
    ] {
        dying("die_cxx", &[how])
            .by(SIGABRT)
            .cause(&["uncaught C++ exception", ABORT])
            .check();
    }
}

#[test]
fn rust_panic() {
    for how in ["panic", "index"] {
        dying("die_rust", &[how])
            .by(SIGABRT)
            .cause(&["Rust panic", ABORT])
            .check();
    }
    dying("die_rust", &["panic-in-thread"])
        .by(SIGABRT)
        .cause(&["Rust panic", ABORT])
        .thread("worker-1")
        .check();
}

/// Rust's handler prints its own message, on an alternate stack, and aborts.
#[test]
fn rust_stack_overflow() {
    dying("die_rust", &["stack-overflow"])
        .by(SIGABRT)
        .cause(&[ABORT, OVERFLOW])
        .check();
}

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

/// The kernel resets the disposition before the stop is seen, and kills.
#[test]
fn faults_that_are_blocked_or_ignored() {
    die(&["blocked-fault"])
        .by(SIGSEGV)
        .cause(&[NULL])
        .access("write")
        .in_program()
        .check();
    die(&["ignored-fault"])
        .by(SIGSEGV)
        .cause(&[NULL])
        .access("write")
        .in_program()
        .check();
}

#[test]
fn a_crash_handler_that_dies_of_the_same_signal_again() {
    die(&["handler-reset-reraise"]).by(SIGSEGV).check();
}

#[test]
fn two_threads_at_once_make_one_report() {
    let report = die(&["two-threads-fault-at-once"])
        .by(SIGSEGV)
        .cause(&[NULL])
        .check();
    assert!(
        report.text("fault.thread_name").starts_with("twin-"),
        "{report:?}"
    );
}

#[test]
fn in_a_thread() {
    let report = die(&["in-thread", "null-read"])
        .by(SIGSEGV)
        .cause(&[NULL])
        .thread("victim")
        .in_program()
        .check();
    assert_ne!(report.at("fault.tid"), report.at("process.pid"), "{report:?}");
}

#[test]
fn after_exec_by_another_thread_than_the_leader() {
    let report = die(&["exec-by-thread", "null-write"])
        .by(SIGSEGV)
        .cause(&[NULL])
        .in_program()
        .check();
    assert_eq!(
        report.at("fault.tid"),
        report.at("process.pid"),
        "the caller of exec became the leader: {report:?}"
    );
    assert_eq!(report.list("threads").len(), 1, "{report:?}");
}

#[test]
fn after_the_leader_exited() {
    die(&["leader-exits-first", "null-write"])
        .by(SIGSEGV)
        .cause(&[NULL])
        .thread("survivor")
        .in_program()
        .check();
}

#[test]
fn a_child_of_the_program() {
    for how in ["fault-in-child", "fault-in-vfork-child"] {
        let sickbay = Sickbay::new();
        let outcome = sickbay.run(fixture("die"), &[how]);
        assert_eq!(outcome.code(), 0, "{outcome:#?}");
        assert_eq!(outcome.stdout, "child killed by 11\n");
        let report = sickbay.only_report();
        assert_eq!(report.text("fault.cause"), NULL);
        assert_eq!(report.list("threads").len(), 1, "{report:?}");
    }
}
