//! Core files: what gdb, lldb and eu-stack make of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Calls, Debugger, Report, Sickbay, debuggers, fixture, found_in_path, run, skip};

/// A death, and its core exported as a plain ELF file.
struct Death {
    sickbay: Sickbay,
    program: PathBuf,
}

impl Death {
    #[track_caller]
    fn of(program: &str, arguments: &[&str]) -> Self {
        let program = fixture(program);
        let sickbay = Sickbay::new();
        sickbay.run(&program, arguments);
        Self { sickbay, program }
    }

    fn report(&self) -> Report {
        self.sickbay.only_report()
    }

    #[track_caller]
    fn core(&self) -> PathBuf {
        let core = self.sickbay.scratch().join("core");
        let mut export = self.sickbay.verb("export");
        let outcome = run(export.args(["--format", "core", "-o"]).arg(&core));
        assert_eq!(outcome.code(), 0, "{outcome:#?}");
        core
    }

    /// Every installed tool shows the same calls; returns them.
    #[track_caller]
    fn calls_agreed_on(&self, core: &Path) -> Vec<Calls> {
        let mut agreed: Option<(Debugger, Vec<Calls>)> = None;
        for debugger in Debugger::installed() {
            let mut calls = debugger.calls(&self.program, core);
            let current = calls.first().map(|thread| thread.tid);
            assert_eq!(current, Some(self.report().number("fault.tid")), "{debugger:?}");
            calls.sort_by_key(|thread| thread.tid);
            match &agreed {
                Some((other, expected)) => assert_eq!(&calls, expected, "{debugger:?} and {other:?}"),
                None => agreed = Some((debugger, calls)),
            }
        }
        agreed.map(|(_, calls)| calls).unwrap_or_default()
    }
}

#[test]
fn every_tool_shows_the_calls_of_every_thread() {
    let death = Death::of("workers", &["4", "2"]);
    let calls = death.calls_agreed_on(&death.core());
    let report = death.report();
    assert_eq!(calls.len(), report.list("threads").len());
    let faulting = report.number("fault.tid");
    for thread in &calls {
        let expected: &[&str] = if thread.tid == faulting {
            &["fault_holding", "work", "start_thread", "clone3"]
        } else if thread.tid == report.number("process.pid") {
            &["main", "libc_start_call_main", "libc_start_main_impl", "start"]
        } else {
            &["work", "start_thread", "clone3"]
        };
        // The others may still be on their way into their loops.
        let outermost = &thread.functions[thread.functions.len().saturating_sub(expected.len())..];
        assert_eq!(outermost, expected, "{thread:?}");
    }
}

#[test]
fn every_tool_follows_other_deaths_too() {
    for (program, arguments) in [
        ("die", &["abort"][..]),
        ("die", &["handler-reset-reraise"]),
        ("die", &["div-zero"]),
        ("die", &["bus-mmap"]),
        ("die_cxx", &["uncaught"]),
    ] {
        let death = Death::of(program, arguments);
        let calls = death.calls_agreed_on(&death.core());
        assert!(
            calls.iter().all(|thread| thread.functions.len() > 2),
            "{program} {arguments:?}: {calls:#?}"
        );
    }
}

#[test]
fn gdb_knows_the_signal_and_its_address() {
    if !Debugger::installed().contains(&Debugger::Gdb) {
        return;
    }
    let death = Death::of("workers", &["2", "1"]);
    let commands = [
        "p $_siginfo.si_signo",
        "p $_siginfo._sifields._sigfault.si_addr",
        "p $mxcsr",
    ];
    let shown = debuggers::gdb(&death.program, &death.core(), &commands);
    assert!(
        shown.contains("$1 = 11\n$2 = (void *) 0x8\n$3 = [ IM DM ZM OM UM PM ]"),
        "{shown}"
    );
}

#[test]
fn gdb_finds_nothing_wrong_with_a_core() {
    if found_in_path("gdb").is_none() {
        return skip("gdb is not installed");
    }
    let death = Death::of("die", &["in-thread", "null-read"]);
    let outcome = run(Command::new("gdb")
        .args(["-nx", "-batch", "-iex", "set debuginfod enabled off"])
        .args(["-ex", "thread apply all info registers rip"])
        .arg(fixture("die"))
        .arg(death.core()));
    assert_eq!(outcome.stdout.matches("rip ").count(), 2, "{outcome:#?}");
    let said = [outcome.stdout.as_str(), outcome.stderr.as_str()].concat();
    assert!(!said.to_lowercase().contains("warning"), "{said}");
}

#[test]
fn gdb_knows_the_threads_by_libthread_db() {
    if !Debugger::installed().contains(&Debugger::Gdb) {
        return;
    }
    let death = Death::of("workers", &["2", "1"]);
    let shown = debuggers::gdb(&death.program, &death.core(), &["info threads"]);
    assert!(
        shown.contains("[Thread debugging using libthread_db enabled]"),
        "{shown}"
    );
    assert_eq!(
        shown.matches("    Thread 0x").count(),
        3,
        "each in the list: {shown}"
    );
}

#[test]
fn a_core_that_is_asked_for_lies_in_the_report() {
    let sickbay = Sickbay::new().option("--format", "json,core");
    sickbay.run(fixture("workers"), &["2", "1"]);
    let report = sickbay.only_report();
    let core = report.memory("core.zst");
    assert!(core.starts_with(b"\x7fELF"));
    let kinds: Vec<_> = report
        .list("attachments")
        .iter()
        .map(|attachment| attachment["kind"].clone())
        .collect();
    assert_eq!(kinds, ["memory", "core"]);

    let exported = sickbay.scratch().join("core");
    let compressed = sickbay.scratch().join("core.zst");
    for path in [&exported, &compressed] {
        let mut export = sickbay.verb("export");
        assert_eq!(
            run(export.args(["latest", "--format", "core", "-o"]).arg(path)).code(),
            0
        );
    }
    assert_eq!(std::fs::read(exported).unwrap(), core);
    let compressed = std::fs::read(compressed).unwrap();
    assert_eq!(zstd::decode_all(compressed.as_slice()).unwrap(), core);
}

#[test]
fn debug_opens_the_core_with_its_program() {
    if !Debugger::installed().contains(&Debugger::Gdb) {
        return;
    }
    let death = Death::of("workers", &["2", "1"]);
    let mut debug = death.sickbay.verb("debug");
    let outcome = run(debug.args(["latest", "--", "-nx", "-batch", "-ex", "bt"]));
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    assert!(outcome.stdout.contains("fault_holding (magic="), "{outcome:#?}");
    let mut debug = death.sickbay.verb("debug");
    let outcome = run(debug.args(["latest", "--debugger", "false"]));
    assert_eq!(outcome.code(), 1, "the debugger's status: {outcome:#?}");
}

#[test]
fn debug_says_what_it_lacks() {
    let death = Death::of("workers", &["2", "1"]);
    let outcome = run(death.sickbay.verb("debug").env("PATH", "/nonexistent"));
    assert_eq!(outcome.code(), 1);
    assert!(
        outcome.stderr.contains("neither gdb nor lldb is installed"),
        "{outcome:#?}"
    );

    let killed = Death::of("die", &["self-kill9"]);
    for verb in ["debug", "export"] {
        let mut command = killed.sickbay.verb(verb);
        let outcome = run(if verb == "export" {
            command.args(["--format", "core"])
        } else {
            &mut command
        });
        assert_eq!(outcome.code(), 1);
        assert!(outcome.stderr.contains("holds no memory"), "{outcome:#?}");
    }
    let outcome = run(killed.sickbay.verb("debug").arg("nothing"));
    assert_eq!(outcome.code(), 4, "{outcome:#?}");
}

#[test]
fn debug_does_not_take_another_build_for_the_program() {
    let sickbay = Sickbay::new();
    let program = sickbay.scratch().join("program");
    std::fs::copy(fixture("workers"), &program).unwrap();
    sickbay.run(&program, &["2", "1"]);
    std::fs::remove_file(&program).unwrap();
    std::fs::copy(fixture("die"), &program).unwrap();
    // A debugger that shows what it is started with.
    let debug = |name: &str| {
        let mut debug = sickbay.verb("debug");
        debug.args(["--debugger", "echo"]);
        if !name.is_empty() {
            debug.arg("--program").arg(fixture(name));
        }
        run(&mut debug)
    };
    let outcome = debug("");
    assert!(
        outcome.stderr.contains("another build than the one that crashed"),
        "{outcome:#?}"
    );
    assert!(!outcome.stdout.contains("program"), "{outcome:#?}");
    assert!(debug("workers").stdout.contains("/workers"));
}

/// Every file of a report, with what is compressed in it unpacked.
fn everything_in(report: &Report) -> Vec<u8> {
    let names = std::fs::read_dir(report.directory()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut all = Vec::new();
    for name in names {
        all.extend(report.memory(&name));
    }
    all
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|at| at == text.as_bytes())
}

#[test]
fn memory_that_the_program_keeps_out_of_cores_is_in_no_file() {
    let sickbay = Sickbay::new().option("--format", "json,text,core,minidump");
    sickbay.run(fixture("undumped"), &[""; 0]);
    let report = sickbay.only_report();
    let all = everything_in(&report);
    assert!(holds(&all, "public"), "what it does not keep out is there");
    assert!(!holds(&all, "secret"));
    let hexadecimal = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(holds(&all, &hexadecimal("public")) && !holds(&all, &hexadecimal("secret")));
    let told = report.list("incomplete").iter().any(|step| {
        step["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("MADV_DONTDUMP"))
    });
    assert!(told, "{report:?}");
}

#[test]
fn the_environment_is_in_no_file() {
    let sickbay = Sickbay::new().option("--format", "json,text,core,minidump");
    let mut command = sickbay.run_command(fixture("die"), &["null-write"]);
    run(command.env("TOKEN", "a-secret-of-the-environment"));
    let all = everything_in(&sickbay.only_report());
    assert!(holds(&all, "null-write") && !holds(&all, "secret-of"));
}
