//! What goes wrong is said by name, with the reason and the next step; the service is never affected.

use std::path::Path;
use std::process::Command;

use crate::support::{
    Outcome, Sickbay, await_that, fixture, found_in_path, is_root, proc, run, skip, spawn, unprivileged,
};

/// Exit statuses of the program, from its table.
const FAILURE: i32 = 1;
const USAGE: i32 = 2;
const NOT_PERMITTED: i32 = 5;
const BAD_CONFIGURATION: i32 = 78;

/// Above every id that a kernel hands out.
const NO_SUCH_PID: i32 = 4_194_305;

/// Requires a status and, on stderr, every one of the given texts.
#[track_caller]
fn refused(outcome: &Outcome, code: i32, texts: &[&str]) {
    assert_eq!(outcome.code(), code, "{outcome:#?}");
    for text in texts {
        assert!(outcome.stderr.contains(text), "{text:?} is missing: {outcome:#?}");
    }
    assert!(!outcome.stderr.contains("panicked"), "{outcome:#?}");
}

#[test]
fn no_such_process() {
    let sickbay = Sickbay::new();
    refused(
        &run(&mut sickbay.attach_command(NO_SUCH_PID)),
        FAILURE,
        &["cannot attach to 4194305", "no such process"],
    );
}

#[test]
fn a_pid_that_is_none() {
    for pid in ["0", "-1", "abc", ""] {
        let sickbay = Sickbay::new();
        let outcome = run(sickbay.verb("attach").arg(format!("--pid={pid}")));
        assert_eq!(outcome.code(), USAGE, "{outcome:#?}");
    }
}

#[test]
fn itself_and_its_ancestors() {
    let sickbay = Sickbay::new();
    let script = "exec \"$0\" attach --state-dir \"$1\" --pid $$";
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script])
        .arg(Sickbay::program())
        .arg(sickbay.state());
    refused(&run(&mut command), FAILURE, &["cannot attach to"]);

    let own_parent = i32::try_from(std::process::id()).unwrap();
    refused(
        &run(&mut sickbay.attach_command(own_parent)),
        FAILURE,
        &[&format!("cannot attach to {own_parent}")],
    );
    refused(
        &run(&mut sickbay.attach_command(1)),
        FAILURE,
        &["cannot attach to 1"],
    );
}

#[test]
fn traced_by_a_debugger() {
    let Some(gdb) = found_in_path("gdb") else {
        return skip("gdb is not installed");
    };
    let mut program = spawn(Command::new(fixture("die")).arg("wait"));
    program.stdout_line("ready");
    let debugger = spawn(Command::new(gdb).args(["-q", "-nx", "-p", &program.pid().to_string()]));
    await_that("gdb to trace the program", || {
        proc::tasks(program.pid())
            .iter()
            .all(|task| task.tracer == debugger.pid())
            .then_some(())
    });
    let sickbay = Sickbay::new();
    let by_whom = format!("already traced by gdb (pid {})", debugger.pid());
    refused(
        &run(&mut sickbay.attach_command(program.pid())),
        FAILURE,
        &[&by_whom],
    );
    let explained = run(Command::new(Sickbay::program()).arg("doctor")).stdout;
    let by_whom = format!(
        "die (pid {}) is traced by gdb (pid {})",
        program.pid(),
        debugger.pid()
    );
    assert!(explained.contains(&by_whom), "{explained}");
    assert!(
        proc::tasks(program.pid())
            .iter()
            .all(|task| task.tracer == debugger.pid())
    );
}

#[test]
fn two_supervisors() {
    let mut program = spawn(Command::new(fixture("die")).arg("wait"));
    program.stdout_line("ready");
    let (first, second) = (Sickbay::new(), Sickbay::new());
    let (_supervisor, _) = first.attach(program.pid());
    refused(
        &run(&mut second.attach_command(program.pid())),
        FAILURE,
        &["already traced by sickbay (pid "],
    );
    assert_ne!(proc::await_all_traced(program.pid()), 0);
}

#[test]
fn not_permitted() {
    use std::os::unix::fs::PermissionsExt;
    if !is_root() {
        return skip("needs a process of another user");
    }
    let mut program = spawn(Command::new(fixture("die")).arg("wait"));
    program.stdout_line("ready");
    let scene = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scene.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let copy = scene.path().join("sickbay");
    std::fs::copy(Sickbay::program(), &copy).unwrap();
    let mut command = unprivileged(&copy);
    command
        .arg("attach")
        .arg("--state-dir")
        .arg(scene.path().join("state"));
    command
        .args(["--pid", &program.pid().to_string()])
        .current_dir("/");
    let outcome = run(&mut command);
    refused(
        &outcome,
        NOT_PERMITTED,
        &[&format!("cannot attach to {}", program.pid()), "CAP_SYS_PTRACE"],
    );
    proc::assert_let_go(program.pid());
}

#[test]
fn a_command_that_cannot_be_started() {
    let sickbay = Sickbay::new();
    refused(
        &sickbay.run("/nonexistent/program", &[] as &[&str]),
        127,
        &["/nonexistent/program"],
    );
    refused(
        &sickbay.run("no-such-command-anywhere", &[] as &[&str]),
        127,
        &["no-such-command-anywhere"],
    );
    let plain_file = sickbay.scratch().join("plain");
    std::fs::write(&plain_file, "not a program").unwrap();
    refused(
        &sickbay.run(&plain_file, &[] as &[&str]),
        126,
        &[plain_file.to_str().unwrap()],
    );
    refused(
        &sickbay.run(sickbay.scratch(), &[] as &[&str]),
        126,
        &[sickbay.scratch().to_str().unwrap()],
    );
    assert!(sickbay.reports().is_empty());
}

#[test]
fn usage() {
    let sickbay = Sickbay::new();
    assert_eq!(
        run(Command::new(Sickbay::program()).arg("no-such-verb")).code(),
        USAGE
    );
    assert_eq!(run(&mut sickbay.verb("run")).code(), USAGE, "no command to run");
    assert_eq!(
        run(&mut sickbay.verb("attach")).code(),
        USAGE,
        "nothing to attach to"
    );
}

/// Checks one configuration file and, if it must not be accepted, tries to run with it too.
#[track_caller]
fn bad_configuration(text: &str, expected: &[&str]) {
    let sickbay = Sickbay::new();
    let file = sickbay.scratch().join("bad.toml");
    std::fs::write(&file, text).unwrap();
    let outcome = run(Command::new(Sickbay::program()).arg("check").arg(&file));
    assert_eq!(outcome.code(), BAD_CONFIGURATION, "{outcome:#?}");
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    for text in expected.iter().chain(&["bad.toml:"]) {
        assert!(said.contains(text), "{text:?} is missing: {outcome:#?}");
    }
}

#[test]
fn configurations_with_mistakes() {
    bad_configuration(
        "[[service]]\nname = \"api\"\nunitt = \"api.service\"\n",
        &[":3:1", "unitt"],
    );
    bad_configuration("[[service]]\nname = \"api\"\nchildren = \"maybe\"\n", &[":3:12"]);
    let rule = "[[service]]\nname = \"api\"\npid = 1\n[[service.rule]]\nsignals = [\"SIGSEGFAULT\"]\naction = \"deliver\"\n";
    bad_configuration(rule, &[":5:", "SIGSEGFAULT"]);
    bad_configuration("[[service]\n", &[":1:"]);
}

#[test]
fn a_bad_configuration_starts_nothing() {
    let sickbay = Sickbay::new();
    let file = sickbay.scratch().join("bad.toml");
    std::fs::write(&file, "service = 3\n").unwrap();
    let sickbay = sickbay.option("--config", &file);
    let outcome = sickbay.run("echo", &["started"]);
    refused(&outcome, BAD_CONFIGURATION, &["bad.toml:1:"]);
    assert_eq!(outcome.stdout, "");

    let sickbay = Sickbay::new().option("--config", "/nonexistent/sickbay.toml");
    let outcome = sickbay.run("echo", &["started"]);
    refused(&outcome, BAD_CONFIGURATION, &["/nonexistent/sickbay.toml"]);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn an_empty_configuration_is_none() {
    let sickbay = Sickbay::new();
    let file = sickbay.scratch().join("empty.toml");
    std::fs::write(&file, "").unwrap();
    assert_eq!(
        run(Command::new(Sickbay::program()).arg("check").arg(&file)).code(),
        0
    );
    let sickbay = sickbay.option("--config", &file);
    assert_eq!(sickbay.run(fixture("die"), &["null-write"]).code(), 139);
    sickbay.only_report();
}

/// Supervises a fault with a state directory that cannot be used: the program runs all the same, and what is lost is
/// said, once at the start and once for the fault.
#[track_caller]
fn unusable_state(state: &Path, reason: &str) {
    let mut command = Command::new(Sickbay::program());
    command.arg("run").arg("--state-dir").arg(state);
    let outcome = run(command.arg("--").arg(fixture("workers")).args(["4", "2"]));
    assert_eq!(outcome.code(), 139, "{outcome:#?}");
    assert!(outcome.stdout.starts_with("ready"), "{outcome:#?}");
    let [warned, fault] = outcome.messages()[..] else {
        panic!("two messages: {outcome:#?}");
    };
    for text in ["no report can be kept", state.to_str().unwrap(), reason] {
        assert!(warned.contains(text), "{text:?} is missing: {outcome:#?}");
    }
    told_without_report(fault);
    assert!(fault.contains(reason), "{outcome:#?}");
}

/// What the front knows of a fault is in its line, where no report can tell.
#[track_caller]
fn told_without_report(line: &str) {
    for text in [
        "took SIGSEGV (SEGV_MAPERR) at address 0x",
        "pc 0x",
        "/workers+0x",
        "delivered",
        "no report: ",
    ] {
        assert!(line.contains(text), "{text:?} is missing: {line}");
    }
}

/// Whoever attaches can mend it first: nothing waits for that.
#[test]
fn attaching_without_a_state_directory() {
    let mut program = spawn(Command::new(fixture("die")).arg("wait"));
    program.stdout_line("ready");
    let mut command = Command::new(Sickbay::program());
    command.args(["attach", "--state-dir", "/proc/sickbay-state"]);
    let outcome = run(command.args(["--pid", &program.pid().to_string()]));
    refused(&outcome, FAILURE, &["/proc/sickbay-state"]);
}

#[test]
fn a_state_directory_that_is_missing_is_made() {
    let sickbay = Sickbay::new();
    assert!(!sickbay.state().exists());
    sickbay.run(fixture("die"), &["null-write"]);
    sickbay.only_report();
}

#[test]
fn a_state_directory_that_is_a_file() {
    let scene = tempfile::tempdir().unwrap();
    let file = scene.path().join("state");
    std::fs::write(&file, "").unwrap();
    unusable_state(&file, "not a directory");
}

#[test]
fn a_state_directory_that_is_unwritable() {
    // Even root writes nothing here.
    unusable_state(Path::new("/proc/sickbay-state"), "no such file or directory");
}

/// A small file system that is full; unmounted when dropped.
struct FullDisk(tempfile::TempDir);

impl FullDisk {
    fn mount() -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=64k,mode=700", "sickbay-test"])
            .arg(disk.0.path());
        if run(&mut mount).code() != 0 {
            return None;
        }
        let _ = std::fs::write(disk.0.path().join("filler"), vec![0; 60 * 1024]);
        Some(disk)
    }

    fn fill(&self) {
        let _ = std::fs::write(self.0.path().join("rest"), vec![0; 64 * 1024]);
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_state_directory_that_is_full() {
    if !is_root() {
        return skip("mounting needs root");
    }
    let Some(disk) = FullDisk::mount() else {
        return skip("this machine does not let root mount a tmpfs");
    };
    let mut command = Command::new(Sickbay::program());
    command
        .arg("run")
        .arg("--state-dir")
        .arg(disk.0.path())
        .arg("--")
        .arg(fixture("workers"))
        .args(["100", "2"]);
    let outcome = run(&mut command);
    assert_eq!(outcome.code(), 139, "{outcome:#?}");
    let told = outcome.messages().concat();
    assert!(told.contains("no space left on device"), "{outcome:#?}");
}

/// Without room for the small record the line on stderr is all there is.
#[test]
fn a_disk_that_fills_up_while_the_program_runs() {
    if !is_root() {
        return skip("mounting needs root");
    }
    let Some(disk) = FullDisk::mount() else {
        return skip("this machine does not let root mount a tmpfs");
    };
    let mut command = Command::new(Sickbay::program());
    command.arg("run").arg("--state-dir").arg(disk.0.path());
    let mut supervisor = spawn(
        command
            .arg("--")
            .arg(fixture("workers"))
            .args(["4", "2", "stdin"]),
    );
    supervisor.stdout_line("ready");
    disk.fill();
    supervisor.write("go\n");
    let outcome = supervisor.finish();
    assert_eq!(outcome.code(), 139, "{outcome:#?}");
    let [fault] = outcome.messages()[..] else {
        panic!("one message: {outcome:#?}");
    };
    told_without_report(fault);
    assert!(fault.contains("no space left on device"), "{outcome:#?}");
}

/// Its parent, this test, has not collected its status yet.
#[test]
fn a_process_that_has_ended() {
    let ended = spawn(&mut Command::new("/bin/true"));
    let pid = ended.pid();
    await_that("a zombie", || {
        let tasks = proc::tasks(pid);
        tasks.iter().any(|task| task.state == 'Z').then_some(())
    });
    let parent = format!("(pid {})", std::process::id());
    for verb in ["attach", "capture"] {
        let outcome = run(Sickbay::new().verb(verb).args(["--pid", &pid.to_string()]));
        let named = format!("cannot attach to {pid}");
        refused(&outcome, FAILURE, &[&named, "it has ended", &parent]);
        assert!(!outcome.stderr.contains("attached:"), "{outcome:#?}");
    }
}

/// What is no regular file is named, and not waited for.
#[test]
fn a_configuration_that_is_no_file() {
    let sickbay = Sickbay::new();
    let pipe = sickbay.scratch().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [pipe.as_path(), sickbay.scratch()] {
        let named = path.to_str().unwrap();
        let checked = run(Command::new(Sickbay::program()).arg("check").arg(path));
        refused(&checked, BAD_CONFIGURATION, &[named, "no regular file"]);
        let mut command = sickbay.verb("run");
        let started = run(command.arg("--config").arg(path).args(["--", "echo", "started"]));
        refused(&started, BAD_CONFIGURATION, &[named, "no regular file"]);
        assert_eq!(started.stdout, "");
    }
    assert_eq!(
        run(Command::new(Sickbay::program()).args(["check", "/dev/null"])).code(),
        0
    );
}

#[test]
fn too_few_descriptors_are_said_once() {
    let sickbay = Sickbay::new();
    let supervised = sickbay.run_command("echo", &["started"]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -n 6; exec \"$@\"", "sh"]);
    let outcome = run(command.arg(supervised.get_program()).args(supervised.get_args()));
    refused(&outcome, FAILURE, &["Too many open files", "ulimit -n"]);
    assert_eq!(
        outcome.stderr.matches("Too many open files").count(),
        1,
        "{outcome:#?}"
    );
}
