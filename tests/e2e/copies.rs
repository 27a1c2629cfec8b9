//! Data and full cores, written from a copy of the process while the original dies.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::{
    Calls, Debugger, Ended, Report, Running, Sickbay, await_that, await_within, debuggers, fixture, is_root,
    proc, run, spawn, unprivileged,
};

pub(crate) const DATA: &str = "[[service]]\nname = \"api\"\n[service.report]\nformats = [\"json\", \"text\", \"html\", \"core\"]\ncore = \"data\"\n";

fn extent(extent: &str) -> Sickbay {
    Sickbay::new().configured(&DATA.replace("\"data\"", &format!("\"{extent}\"")))
}

/// What the report says is missing of its core.
fn reason(report: &Report) -> Option<String> {
    if !report.has("incomplete") {
        return None;
    }
    let mut steps = report.list("incomplete").iter();
    let step = steps.find(|step| step["step"] == "core.zst")?;
    Some(step["reason"].as_str().unwrap().to_owned())
}

/// The only report, once its core is complete.
fn finished(large: &mut Large, sickbay: &Sickbay) -> Report {
    large.supervisor.ended();
    sickbay.only_report()
}

/// The core of the only report, unpacked.
fn core(sickbay: &Sickbay) -> PathBuf {
    let core = sickbay.scratch().join("core");
    let outcome = run(sickbay.verb("export").args(["--format", "core", "-o"]).arg(&core));
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    core
}

/// The program `large`, started by the test, with a supervisor attached.
pub(crate) struct Large {
    /// A file of this test alone, by which its processes are told from those of others.
    path: PathBuf,
    pub(crate) program: Running,
    pub(crate) supervisor: Running,
    port: u16,
    middle: String,
}

impl Large {
    pub(crate) fn attached(sickbay: &Sickbay, mib: &str) -> Self {
        let path = large_for(sickbay);
        let mut program = spawn(Command::new(&path).args([mib, "stdin"]));
        let ready = program.stdout_line("ready pid=");
        let word = |name: &str| {
            let (_, rest) = ready.split_once(name).unwrap();
            rest.split(' ').next().unwrap().to_owned()
        };
        let (supervisor, _) = sickbay.attach(program.pid());
        Self {
            port: word("port=").parse().unwrap(),
            middle: word("middle="),
            path,
            program,
            supervisor,
        }
    }

    #[track_caller]
    pub(crate) fn die(&mut self) {
        self.program.write("go\n");
        assert_eq!(self.program.ended(), Ended::Killed(libc::SIGSEGV, false));
    }

    /// Processes that were made from it and outlive it.
    fn copies(&self) -> Vec<i32> {
        proc::pids_of_program(&self.path)
    }

    #[track_caller]
    pub(crate) fn await_no_copy(&self) {
        await_that("the end of every copy", || self.copies().is_empty().then_some(()));
    }

    /// gdb finds in the core what the program had written.
    fn has_its_memory(&self, core: &Path) {
        if Debugger::installed().contains(&Debugger::Gdb) {
            let shown = debuggers::gdb(&self.path, core, &[&format!("p *(void**){}", self.middle)]);
            assert!(
                shown.contains(&format!("$1 = (void *) {}", self.middle)),
                "{shown}"
            );
        }
    }
}

/// The program `large` as a file beside the state directory.
fn large_for(sickbay: &Sickbay) -> PathBuf {
    let path = sickbay.scratch().join("large");
    std::fs::copy(fixture("large"), &path).unwrap();
    path
}

#[test]
fn data_and_full_cores_hold_memory_and_the_same_calls() {
    for size in ["data", "full"] {
        let sickbay = extent(size);
        let mut large = Large::attached(&sickbay, "24");
        large.die();
        let report = finished(&mut large, &sickbay);
        assert_eq!(reason(&report), None, "{report:?}");
        let core = core(&sickbay);
        large.has_its_memory(&core);
        assert!(std::fs::metadata(&core).unwrap().len() > 24 << 20);
        for debugger in Debugger::installed() {
            let calls = debugger.calls(&large.path, &core);
            assert_eq!(calls[0].functions[0], "main", "{debugger:?}: {calls:#?}");
        }
    }
}

/// Every function of every thread by the name that the report gives it, the faulting thread first, and the signal.
#[test]
fn every_tool_shows_the_report_s_calls_in_a_core_of_any_extent() {
    for size in ["compact", "data", "full"] {
        let sickbay = extent(size);
        sickbay.run(fixture("workers"), &["4", "2"]);
        let report = sickbay.only_report();
        assert_eq!(reason(&report), None, "{report:?}");
        let mut expected: Vec<Calls> = report.list("threads").iter().map(Calls::of_report).collect();
        assert_eq!(expected.len(), 5);
        assert_eq!(
            expected[0].functions[..2],
            ["fault_holding", "work"],
            "{expected:#?}"
        );
        expected[1..].sort_by_key(|thread| thread.tid);
        let core = core(&sickbay);
        for debugger in Debugger::installed() {
            let mut calls = debugger.calls(&fixture("workers"), &core);
            calls[1..].sort_by_key(|thread| thread.tid);
            assert_eq!(calls, expected, "{debugger:?}, {size}");
        }
        if Debugger::installed().contains(&Debugger::Gdb) {
            let commands = [
                "p $_siginfo.si_signo",
                "p $_siginfo.si_code",
                "p $_siginfo._sifields._sigfault.si_addr",
            ];
            let shown = debuggers::gdb(&fixture("workers"), &core, &commands);
            assert!(
                shown.contains("$1 = 11\n$2 = 1\n$3 = (void *) 0x8"),
                "{size}: {shown}"
            );
        }
    }
}

/// The copy shares nothing with the process: what it held is free as soon as its parent knows of its end, although
/// the copy is there for as long as its core is being written.
#[test]
fn nothing_of_the_process_outlives_it() {
    let sickbay = extent("data");
    let mut large = Large::attached(&sickbay, "200");
    large.die();
    drop(TcpListener::bind(("127.0.0.1", large.port)).expect("the port is free"));
    for copy in large.copies() {
        let descriptors = std::fs::read_dir(format!("/proc/{copy}/fd")).map_or(0, Iterator::count);
        assert_eq!(descriptors, 0, "descriptors of the copy {copy}");
    }
    assert_eq!(reason(&finished(&mut large, &sickbay)), None);
    large.await_no_copy();
}

#[test]
fn the_report_is_in_place_before_its_core() {
    let sickbay = extent("data");
    let mut large = Large::attached(&sickbay, "200");
    large.die();
    let first = await_that("a whole report", || {
        let report = sickbay.reports().into_iter().next()?;
        report.has("attachments").then_some(report)
    });
    let early = reason(&first).is_some_and(|reason| reason.starts_with("it is being written"));
    let last = finished(&mut large, &sickbay);
    assert!(early || first.directory().join("core.zst").exists(), "{first:?}");
    assert_eq!(reason(&last), None);
    for file in ["report.txt", "report.html"] {
        let text = std::fs::read_to_string(last.directory().join(file)).unwrap();
        assert!(
            text.contains("core.zst") && !text.contains("it is being written"),
            "{text}"
        );
    }
}

#[test]
fn what_cannot_be_copied_has_a_compact_core_and_the_reason() {
    for (arguments, expected) in [
        (&["stack-overflow-main"][..], "no room below the thread's stack"),
        (&["seccomp-trap"], "a seccomp filter is installed"),
    ] {
        let sickbay = extent("full");
        sickbay.run(fixture("die"), arguments);
        let report = sickbay.only_report();
        let reason = reason(&report).unwrap_or_default();
        assert!(
            reason.contains(expected) && reason.ends_with("it is compact"),
            "{arguments:?}: {reason}"
        );
        assert!(report.memory("core.zst").starts_with(b"\x7fELF"));
    }
}

#[test]
fn a_user_without_privileges_gets_one_too() {
    if !is_root() {
        return;
    }
    let sickbay = extent("data");
    let state = sickbay.scratch().join("theirs");
    std::fs::create_dir(&state).unwrap();
    std::os::unix::fs::chown(&state, Some(65534), Some(65534)).unwrap();
    for path in [sickbay.scratch(), &sickbay.scratch().join("sickbay.toml")] {
        let mut permissions = std::fs::metadata(path).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        std::fs::set_permissions(path, permissions).unwrap();
    }
    let mut command = unprivileged(Sickbay::program());
    command.arg("run").arg("--state-dir").arg(&state);
    command
        .arg("--config")
        .arg(sickbay.scratch().join("sickbay.toml"))
        .args(["--name", "api", "--"]);
    // Where the project lies is nobody else's business, perhaps.
    let outcome = run(command.arg(large_for(&sickbay)).arg("16"));
    assert!(
        outcome
            .messages()
            .iter()
            .any(|line| line.contains("core complete")),
        "{outcome:#?}"
    );
}

#[test]
fn a_core_of_a_service_that_ends_its_supervision_is_finished() {
    // The supervisor is the parent and ends when its program has; the core is complete before that.
    let sickbay = extent("full");
    let program = large_for(&sickbay);
    let outcome = sickbay.run(&program, &["100"]);
    assert_eq!(outcome.code(), 139);
    assert!(
        outcome
            .messages()
            .iter()
            .any(|line| line.contains("core complete")),
        "{outcome:#?}"
    );
    assert_eq!(reason(&sickbay.only_report()), None);
    await_that("the end of every copy", || {
        proc::pids_of_program(&program).is_empty().then_some(())
    });
}

/// A process of 4 GB has ended long before its core is complete, and gdb finds all of it there.
#[test]
#[ignore = "long: make soak"]
fn four_gigabytes() {
    let sickbay = extent("full");
    let mut large = Large::attached(&sickbay, "4096");
    large.die();
    await_within(Duration::from_secs(600), "the complete core", || {
        large.supervisor.has_ended().then_some(())
    });
    large.await_no_copy();
    let report = sickbay.only_report();
    assert_eq!(reason(&report), None, "{report:?}");
    assert!(report.number("pause.faulting_us") > 0);
    eprintln!("pause: {}", report.model()["pause"]);
    let core = core(&sickbay);
    assert!(std::fs::metadata(&core).unwrap().len() > 4 << 30);
    large.has_its_memory(&core);
}
