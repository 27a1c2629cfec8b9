//! `sickbay show` on a terminal and off it: pager, colour, chosen threads.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use crate::support::{Sickbay, await_that, fixture, proc, run};

/// A state directory with the report of a faulting worker among four, the others of which are in pause(2).
fn with_report() -> Sickbay {
    let sickbay = Sickbay::new();
    let mut supervisor = sickbay.start(fixture("workers"), &["4", "2", "stdin"]);
    let ready = supervisor.stdout_line("ready pid=");
    let program: i32 = ready.split(' ').next().unwrap().parse().unwrap();
    await_that("three workers in pause", || {
        let tasks = proc::tasks(program).into_iter();
        let paused = tasks.filter(|task| proc::system_call(task.tid) == Some(libc::SYS_pause));
        (paused.count() == 3).then_some(())
    });
    supervisor.write("go\n");
    assert_eq!(supervisor.finish().code(), 139);
    sickbay
}

/// What a command writes to a terminal.
#[track_caller]
fn on_terminal(command: &mut Command) -> String {
    let pair = nix::pty::openpty(None, None).expect("a pseudoterminal");
    let screen = std::thread::spawn(move || {
        let mut seen = Vec::new();
        // The last process that closes the terminal ends this with EIO.
        let _ = File::from(pair.master).read_to_end(&mut seen);
        String::from_utf8_lossy(&seen).into_owned()
    });
    let status = command
        .stdin(Stdio::null())
        .stdout(pair.slave.try_clone().expect("the terminal twice"))
        .stderr(Stdio::null())
        .status()
        .expect("run");
    assert!(status.success(), "{command:?}: {status:?}");
    // The command keeps a copy of its own standard output.
    command.stdout(Stdio::null());
    drop(pair.slave);
    screen.join().expect("read the terminal")
}

#[test]
fn a_terminal_gets_colour_and_the_pager() {
    let sickbay = with_report();
    let shown = |pager: &str, no_color: &str| {
        let mut command = sickbay.verb("show");
        on_terminal(command.env("PAGER", pager).env("NO_COLOR", no_color))
    };
    let paged = shown("sed -e s/^/paged:/", "");
    assert!(paged.starts_with("paged:\u{1b}[1mworkers: "), "{paged}");
    let bare = shown("", "");
    assert!(
        bare.starts_with("\u{1b}[1mworkers: ") && bare.contains("\u{1b}[1;31m"),
        "{bare}"
    );
    let absent = shown("no-such-pager -x", "");
    assert_eq!(absent, bare, "without a pager the text is printed all the same");
    let plain = shown("cat", "1");
    assert!(
        !plain.contains('\u{1b}') && plain.starts_with("workers: "),
        "{plain}"
    );
    let left_early = shown("true", "");
    assert_eq!(left_early, "");

    let piped = run(sickbay.verb("show").env("PAGER", "sed -e s/^/paged:/"));
    assert!(
        piped.stdout.starts_with("workers: ") && !piped.stdout.contains('\u{1b}'),
        "{piped:#?}"
    );
}

#[test]
fn threads_registers_and_maps_are_shown_on_demand() {
    let sickbay = with_report();
    let show = |options: &[&str]| run(sickbay.verb("show").args(options));
    let default = show(&[]).stdout;
    assert!(default.contains("3 threads like this: asleep in pause") && !default.contains("\n  Map, "));
    let whole = show(&["--all"]).stdout;
    for name in ["worker-1", "worker-3", "worker-4"] {
        assert!(whole.contains(&format!(" {name}: asleep in pause\n")), "{whole}");
    }
    let one = show(&["--thread", "worker-3", "--registers"]).stdout;
    assert!(
        one.contains(" worker-3: asleep in pause") && !one.contains(" worker-1: "),
        "{one}"
    );
    assert!(one.contains(" r12 51c4ba0000000003"), "{one}");
    let mappings = |text: &str| {
        let (_, map) = text.split_once("\nMap ").unwrap();
        let (map, _) = map.split_once("\n\n").unwrap();
        map.lines().filter(|line| line.starts_with("     ")).count()
    };
    let (some, every) = (mappings(&default), mappings(&show(&["--maps"]).stdout));
    assert_eq!(every, sickbay.only_report().list("maps").len());
    assert!(some < every, "{some} of {every}");

    let none = show(&["--thread", "nobody"]);
    assert_eq!((none.code(), none.stdout.as_str()), (4, ""), "{none:#?}");
    assert!(none.stderr.contains("its threads are worker-2, "), "{none:#?}");
    assert_eq!(show(&["--json", "--all"]).code(), 2, "they exclude each other");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let sickbay = with_report();
    let script = "\"$0\" show --state-dir \"$1\" --all | head -n 1; echo \"${PIPESTATUS[0]}\"";
    let mut command = Command::new("bash");
    let outcome = run(command
        .args(["-c", script])
        .arg(Sickbay::program())
        .arg(sickbay.state()));
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!((lines.len(), lines[1]), (2, "0"), "{outcome:#?}");
}
