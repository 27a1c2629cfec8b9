//! `sickbay run`: the program behaves as it does without it, from its first instruction to its status.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{Outcome, Sickbay, fixture, is_root, proc, run, skip, spawn, unprivileged};

/// Runs a shell script plain and supervised, and requires the same end and the same output.
#[track_caller]
fn same_both_ways(script: &str) -> Outcome {
    let plain = run(Command::new("/bin/sh").args(["-c", script, "sh"]));
    let sickbay = Sickbay::new();
    let supervised = sickbay.run("/bin/sh", &["-c", script, "sh"]);
    assert_eq!(supervised.code(), plain.ended.as_exit_code(), "{supervised:#?}");
    assert_eq!(supervised.stdout, plain.stdout);
    assert_eq!(supervised.program_stderr(), plain.stderr);
    supervised
}

#[test]
fn the_status_is_the_programs() {
    for status in [0, 1, 7, 125, 255] {
        let sickbay = Sickbay::new();
        let outcome = sickbay.run(fixture("die"), &["exit".to_owned(), status.to_string()]);
        assert_eq!(outcome.code(), status);
        assert!(outcome.stderr.is_empty(), "nothing to say: {outcome:#?}");
        assert!(sickbay.reports().is_empty());
    }
}

#[test]
fn the_program_is_found_in_path() {
    assert_eq!(Sickbay::new().run("true", &[] as &[&str]).code(), 0);
    assert_eq!(Sickbay::new().run("false", &[] as &[&str]).code(), 1);
}

#[test]
fn streams_pass_through() {
    let sickbay = Sickbay::new();
    let mut cat = sickbay.start("cat", &[] as &[&str]);
    cat.write("one\n");
    cat.stdout_line("one");
    cat.write("two\n");
    let outcome = cat.finish();
    assert_eq!(
        (outcome.code(), outcome.stdout.as_str(), outcome.stderr.as_str()),
        (0, "one\ntwo\n", "")
    );
}

#[test]
fn streams_stay_apart() {
    same_both_ways("echo to stdout; echo to stderr >&2; exit 3");
}

#[test]
fn arguments_environment_and_directory_are_the_callers() {
    let sickbay = Sickbay::new();
    let script = r#"pwd; echo "$GREETING"; printf '<%s>' "$@""#;
    let mut command = sickbay.run_command(
        "/bin/sh",
        &["-c", script, "sh", "--json", "a b", "", "*", "-h", "--"],
    );
    let outcome = run(command.current_dir("/usr").env("GREETING", "good morning"));
    assert_eq!(outcome.stdout, "/usr\ngood morning\n<--json><a b><><*><-h><-->");
}

/// Signal masks and dispositions, limits, descriptors, privileges: all inherited as if by exec alone.
#[test]
fn what_a_program_inherits_is_unchanged() {
    same_both_ways(
        "grep -E '^(SigP|SigB|SigI|SigC|Shd|NoNewPrivs|Seccomp|Cap|Groups|Uid|Gid)' /proc/self/status",
    );
    same_both_ways("ls /proc/self/fd");
    same_both_ways("ulimit -a; umask; nice");
    same_both_ways("cut -d' ' -f7 /proc/self/stat; cat /proc/self/oom_score_adj /proc/self/cgroup");
}

/// Runs a shell script plain and supervised, started with exactly these signals ignored and blocked and these descriptors
/// closed, and requires that it writes the same to the file `$0`.
#[track_caller]
fn same_when_given(ignored: u64, blocked: u64, closed: &str, script: &str) {
    let sickbay = Sickbay::new();
    let given = || {
        let mut command = Command::new(fixture("given"));
        command.args([format!("{ignored:x}"), format!("{blocked:x}"), closed.to_owned()]);
        command
    };
    let said = |name: &str, command: &mut Command| {
        let file = sickbay.scratch().join(name);
        let outcome = run(command.args(["/bin/sh", "-c", script]).arg(&file));
        assert_eq!(outcome.code(), 0, "{outcome:#?}");
        std::fs::read_to_string(file).unwrap()
    };
    let plain = said("plain", &mut given());
    let mut supervised = given();
    supervised.arg(Sickbay::program()).args(["run", "--state-dir"]);
    let supervised = said("supervised", supervised.arg(sickbay.state()).arg("--"));
    assert!(!plain.is_empty());
    assert_eq!(
        supervised, plain,
        "ignored {ignored:x}, blocked {blocked:x}, closed {closed}"
    );
}

/// The tests' own way of starting programs ignores some signals and resets others, so neither side is started by it.
#[test]
fn a_program_keeps_the_signals_that_it_was_started_with() {
    let bit = |signal: i32| 1_u64 << (signal - 1);
    let unused = bit(libc::SIGKILL) | bit(libc::SIGSTOP);
    let of_the_c_library = bit(32) | bit(33);
    let states = [
        (0, 0),
        (bit(libc::SIGPIPE), 0),
        (bit(libc::SIGHUP) | bit(libc::SIGUSR1), bit(libc::SIGPIPE)),
        (of_the_c_library, of_the_c_library),
        (!unused, 0),
        (bit(libc::SIGXFSZ), !unused),
    ];
    for (ignored, blocked) in states {
        same_when_given(
            ignored,
            blocked,
            "-",
            "exec grep -E '^Sig(Ign|Blk)' /proc/self/status >\"$0\"",
        );
    }
}

#[test]
fn descriptors_that_were_closed_stay_closed_for_the_program() {
    let script = "for number in 0 1 2; do test -e /proc/$$/fd/$number && open=\"$open $number\"; done
                  echo \"open:$open\" >\"$0\"";
    for closed in ["0", "1", "2", "02", "012"] {
        same_when_given(0, 0, closed, script);
    }
}

/// A limit of the size of files is for the program. What it keeps the supervisor from is said.
#[test]
fn a_limit_of_file_sizes_ends_the_program_only() {
    let sickbay = Sickbay::new();
    let supervised = sickbay.run_command(fixture("die"), &["null-write"]);
    let mut command = Command::new("/bin/bash");
    command.args(["-c", "ulimit -f 0; \"$@\"", "bash"]);
    let outcome = run(command.arg(supervised.get_program()).args(supervised.get_args()));
    assert_eq!(outcome.code(), 139, "{outcome:#?}");
    assert!(outcome.stderr.contains("file too large"), "{outcome:#?}");
    assert!(sickbay.reports().is_empty());

    let script = "ulimit -f 0; trap 'echo told; exit 3' XFSZ; echo x >\"$0\"";
    let file = sickbay.scratch().join("file");
    let outcome = sickbay.run("/bin/bash", &["-c", script, file.to_str().unwrap()]);
    assert_eq!(
        (outcome.code(), outcome.stdout.as_str()),
        (3, "told\n"),
        "{outcome:#?}"
    );
}

#[test]
fn the_program_is_traced_from_its_first_instruction() {
    let sickbay = Sickbay::new();
    let outcome = sickbay.run("grep", &["TracerPid", "/proc/self/status"]);
    let tracer: i32 = outcome
        .stdout
        .trim()
        .rsplit('\t')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert_ne!(tracer, 0, "{outcome:#?}");
}

#[test]
fn signals_sent_to_the_supervisor_reach_the_program() {
    let script =
        "trap 'echo got HUP' HUP; trap 'echo got USR1' USR1; trap 'echo got TERM; kill $!; exit 3' TERM
                  sleep 1000 & echo ready; while :; do wait; done";
    let sickbay = Sickbay::new();
    let mut supervisor = sickbay.start("/bin/bash", &["-c", script]);
    supervisor.stdout_line("ready");
    for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGTERM] {
        supervisor.signal(signal);
        supervisor.stdout_line(&format!("got {}", signal.as_str().trim_start_matches("SIG")));
    }
    assert_eq!(supervisor.finish().code(), 3);
    assert!(sickbay.reports().is_empty());
}

#[test]
fn a_signal_that_ends_the_program_is_its_status() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        let sickbay = Sickbay::new();
        let mut supervisor = sickbay.start(fixture("die"), &["wait"]);
        supervisor.stdout_line("ready");
        supervisor.signal(signal);
        assert_eq!(supervisor.finish().code(), 128 + signal as i32);
        let report = sickbay.only_report();
        let sender = report.model()["signal"]["sender"]["pid"].as_u64();
        assert_eq!(
            sender,
            Some(u64::from(std::process::id())),
            "passed on in the name of its sender"
        );
    }
}

#[test]
fn a_service_that_ends_its_own_processes_makes_no_reports() {
    let sickbay = Sickbay::new();
    let script = "sleep 1000 & kill $!; wait $!; yes | head -n 1; exit 4";
    let outcome = sickbay.run("/bin/bash", &["-c", script]);
    assert_eq!(
        (outcome.code(), outcome.stdout.as_str()),
        (4, "y\n"),
        "{outcome:#?}"
    );
    assert!(sickbay.reports().is_empty());
}

#[test]
fn every_kind_of_child_is_supervised() {
    let die = fixture("die");
    let die = die.to_str().unwrap();
    for how in ["fork", "vfork", "spawn"] {
        let sickbay = Sickbay::new();
        let outcome = sickbay.run(fixture("forker"), &[how, "--", die, "null-write"]);
        assert_eq!(
            (outcome.code(), outcome.stdout.as_str()),
            (0, "child killed by 11\n"),
            "{how}: {outcome:#?}"
        );
        assert_eq!(sickbay.only_report().text("process.comm"), "die", "{how}");
    }
    let sickbay = Sickbay::new();
    let outcome = sickbay.run(fixture("forker"), &["double", "--", die, "null-write"]);
    assert_eq!(outcome.stdout, "child exited with 0\ngrandchild ended\n");
    assert_eq!(sickbay.awaited_report().text("process.comm"), "die");
}

#[test]
fn many_short_children() {
    let die = fixture("die");
    for how in ["fork", "vfork", "spawn", "double"] {
        let sickbay = Sickbay::new();
        let outcome = sickbay.run(
            fixture("forker"),
            &[how, "100", "--", die.to_str().unwrap(), "exit", "0"],
        );
        assert_eq!(outcome.code(), 0, "{how}: {outcome:#?}");
        assert_eq!(
            outcome
                .stdout
                .lines()
                .filter(|line| *line == "child exited with 0")
                .count(),
            100,
            "{how}"
        );
        assert!(sickbay.reports().is_empty());
    }
}

#[test]
fn exec_by_another_thread_than_the_leader() {
    let sickbay = Sickbay::new();
    assert_eq!(sickbay.run(fixture("die"), &["exec-by-thread"]).code(), 7);
    assert!(sickbay.reports().is_empty());
}

#[test]
fn signals_that_the_c_library_keeps_for_itself() {
    let outcome = Sickbay::new().run(fixture("sigclasses"), &[] as &[&str]);
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    assert_eq!(outcome.stdout, "setuid reached 16 threads\ncancelled 16\n");
}

#[test]
fn each_report_is_one_line_with_its_path() {
    let sickbay = Sickbay::new();
    let outcome = sickbay.run(fixture("die"), &["null-write"]);
    let report = sickbay.only_report();
    let path = report.directory().to_str().unwrap();
    assert_eq!(
        outcome
            .messages()
            .iter()
            .filter(|line| line.contains(path))
            .count(),
        1,
        "{outcome:#?}"
    );
    assert!(report.directory().join("report.txt").exists());
}

#[test]
fn quiet_says_nothing() {
    let sickbay = Sickbay::new();
    let mut command = sickbay.verb("run");
    let outcome = run(command
        .arg("--quiet")
        .arg("--")
        .arg(fixture("die"))
        .arg("null-write"));
    assert_eq!((outcome.code(), outcome.stderr.as_str()), (139, ""));
    sickbay.only_report();
}

#[test]
fn reports_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let sickbay = Sickbay::new();
    sickbay.run(fixture("die"), &["null-write"]);
    let report = sickbay.only_report();
    for path in [
        report.directory().to_owned(),
        report.directory().join("report.json"),
    ] {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{} has mode {mode:o}", path.display());
    }
}

#[test]
fn works_without_root_and_without_configuration() {
    use std::os::unix::fs::PermissionsExt;
    if !is_root() {
        return skip("every other test already runs without root");
    }
    let scene = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scene.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let [program, victim] = [
        ("sickbay", Sickbay::program().to_owned()),
        ("workers", fixture("workers")),
    ]
    .map(|(name, from)| {
        let to = scene.path().join(name);
        std::fs::copy(from, &to).unwrap();
        to
    });
    let mut command = unprivileged(&program);
    command
        .arg("run")
        .arg("--")
        .arg(&victim)
        .args(["10", "3"])
        .current_dir("/");
    command
        .env_remove("STATE_DIRECTORY")
        .env("HOME", scene.path())
        .env("XDG_STATE_HOME", scene.path().join("home"));
    let outcome = run(&mut command);
    assert_eq!(outcome.code(), 139, "{outcome:#?}");
    let reports = scene.path().join("home/sickbay/reports");
    let report = std::fs::read_dir(&reports)
        .unwrap()
        .next()
        .expect("a report")
        .unwrap()
        .path()
        .join("report.json");
    assert!(std::fs::read_to_string(report).unwrap().contains("worker-3"));
}

/// What a service manager says to the process that it starts is said to the program (sd_listen_fds(3)).
#[test]
fn a_program_is_given_the_descriptors_of_a_service_manager() {
    let sickbay = Sickbay::new();
    let program = r#"test $LISTEN_PID = $$ && test $WATCHDOG_PID = $$ && test -z "$LISTEN_PIDFDID" &&
                     echo "$LISTEN_FDS $OTHER_PID" "$(cat <&3)""#;
    let supervised = sickbay.run_command("/bin/bash", &["-c", program]);
    let manager = r#"echo from descriptor 3 >"$0"; exec 3<"$0"
                     export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_PIDFDID=1 WATCHDOG_PID=$$ OTHER_PID=7; exec "$@""#;
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", manager])
        .arg(sickbay.scratch().join("passed"));
    command.arg(supervised.get_program()).args(supervised.get_args());
    let outcome = run(&mut command);
    assert_eq!(
        (outcome.code(), outcome.stdout.as_str()),
        (0, "1 7 from descriptor 3\n"),
        "{outcome:#?}"
    );
}

#[test]
fn what_was_said_to_another_process_stays_as_it_was() {
    same_both_ways(
        "LISTEN_PID=1 WATCHDOG_PID=1; export LISTEN_PID WATCHDOG_PID; echo $LISTEN_PID $WATCHDOG_PID",
    );
    let sickbay = Sickbay::new();
    let mut command = sickbay.run_command("sh", &["-c", "echo $LISTEN_PID"]);
    assert_eq!(run(command.env("LISTEN_PID", "1")).stdout, "1\n");
}

#[test]
fn nothing_is_left_behind() {
    let sickbay = Sickbay::new();
    let mut supervisor = spawn(&mut sickbay.run_command(fixture("die"), &["wait"]));
    let program: i32 = supervisor.stdout_line("ready").parse().unwrap();
    let helpers = proc::children(supervisor.pid());
    assert!(
        helpers.contains(&program),
        "{program} is not a child of the supervisor: {helpers:?}"
    );
    supervisor.signal(Signal::SIGTERM);
    supervisor.finish();
    for pid in helpers {
        assert!(
            !proc::is_alive(pid),
            "{pid} outlived the supervisor: {:?}",
            proc::tasks(pid)
        );
    }
}
