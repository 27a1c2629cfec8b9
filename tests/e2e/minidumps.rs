//! Minidumps: read back by another implementation of the format, and by lldb.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use minidump::format::MINIDUMP_STREAM_TYPE as Kind;
use minidump::{
    Minidump, MinidumpCrashpadInfo, MinidumpLinuxMaps, MinidumpMemoryInfoList, MinidumpMiscInfo,
    MinidumpModuleList, Module,
};
use minidump_unwind::{Symbolizer, simple_symbol_supplier};
use serde_json::Value;

use crate::support::{Calls, Debugger, Report, Sickbay, debuggers, fixture, run};

/// A report with a minidump in it.
fn death(program: &str, arguments: &[&str]) -> (Sickbay, Report, PathBuf) {
    let sickbay = Sickbay::new().option("--format", "json,minidump");
    sickbay.run(fixture(program), arguments);
    let report = sickbay.only_report();
    let file = report.directory().join("minidump.dmp");
    (sickbay, report, file)
}

/// What `minidump-stackwalk --json` would print.
fn processed(file: &PathBuf) -> Value {
    let dump = Minidump::read_path(file).unwrap();
    let symbols = Symbolizer::new(simple_symbol_supplier(Vec::new()));
    let state = finished(minidump_processor::process_minidump(&dump, &symbols)).unwrap();
    let mut json = Vec::new();
    state.print_json(&mut json, false).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// Runs a future that waits for nobody.
fn finished<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

#[test]
fn the_crash_is_told() {
    let (_sickbay, report, file) = death("workers", &["4", "2"]);
    let state = processed(&file);
    assert_eq!(state["status"], "OK");
    assert_eq!(state["system_info"]["os"], "Linux");
    assert_eq!(state["pid"], report.number("process.pid"));
    assert_eq!(state["crash_info"]["type"], "SIGSEGV / SEGV_MAPERR");
    assert_eq!(state["crash_info"]["address"], "0x0000000000000008");
    let crashing = state["crash_info"]["crashing_thread"].as_u64().unwrap() as usize;
    let thread = &state["threads"][crashing];
    assert_eq!(thread["thread_id"], report.number("fault.tid"));
    assert_eq!(thread["thread_name"], "worker-2");
    assert_eq!(
        state["thread_count"].as_u64(),
        Some(report.list("threads").len() as u64)
    );
    let frame = &state["crashing_thread"]["frames"][0];
    assert_eq!(frame["module"], "workers");
    assert_eq!(
        frame["offset"]
            .as_str()
            .unwrap()
            .trim_start_matches("0x")
            .trim_start_matches('0'),
        format!("{:x}", report.address("fault.pc"))
    );
    for thread in state["threads"].as_array().unwrap() {
        let modules: Vec<_> = thread["frames"]
            .as_array()
            .unwrap()
            .iter()
            .map(|frame| &frame["module"])
            .collect();
        assert!(
            modules.contains(&&Value::from("libc.so.6")),
            "its callers lie on its stack: {thread:#}"
        );
    }
}

#[test]
fn modules_maps_and_annotations_are_the_reports() {
    let (_sickbay, report, file) = death("workers", &["2", "1"]);
    let dump = Minidump::read_path(&file).unwrap();
    let modules = dump.get_stream::<MinidumpModuleList>().unwrap();
    let program = modules.main_module().unwrap();
    assert_eq!(program.code_file(), report.text("process.exe"));
    assert_eq!(
        program.code_identifier().unwrap().to_string(),
        report.text("process.build_id")
    );
    assert_eq!(modules.iter().count(), report.list("modules").len());

    let maps = dump.get_stream::<MinidumpLinuxMaps<'_>>().unwrap();
    assert_eq!(maps.iter().count(), report.list("maps").len());
    let info = dump.get_stream::<MinidumpMemoryInfoList<'_>>().unwrap();
    assert_eq!(info.iter().count(), report.list("maps").len());
    let pc = info.memory_info_at_address(report.address("fault.pc")).unwrap();
    assert!(pc.is_executable() && !pc.is_writable());

    let misc = dump.get_stream::<MinidumpMiscInfo>().unwrap();
    let created = misc.process_create_time().unwrap();
    let age = created.elapsed().unwrap();
    assert!(age.as_secs() < 3600, "{age:?}");

    let annotations = dump
        .get_stream::<MinidumpCrashpadInfo>()
        .unwrap()
        .simple_annotations;
    assert_eq!(annotations["sickbay.report"], report.text("id"));
    assert_eq!(annotations["sickbay.cause"], "null pointer dereference");
    assert_eq!(annotations["sickbay.action"], "deliver");
}

#[test]
fn what_may_hold_secrets_has_no_stream() {
    let (_sickbay, _report, file) = death("die", &["null-write"]);
    let dump = Minidump::read_path(&file).unwrap();
    let kinds: Vec<u32> = dump.all_streams().map(|stream| stream.stream_type).collect();
    assert!(kinds.len() > 9, "{kinds:?}");
    for unwanted in [Kind::LinuxEnviron, Kind::LinuxCmdLine, Kind::HandleDataStream] {
        assert!(!kinds.contains(&(unwanted as u32)), "{unwanted:?}");
    }
}

#[test]
fn an_exported_one_is_the_same() {
    let (sickbay, _report, file) = death("workers", &["2", "1"]);
    let exported = sickbay.scratch().join("exported.dmp");
    let mut export = sickbay.verb("export");
    let outcome = run(export.args(["--format", "minidump", "-o"]).arg(&exported));
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    assert_eq!(processed(&exported), processed(&file));
    assert_eq!(std::fs::read(exported).unwrap(), std::fs::read(file).unwrap());
}

#[test]
fn lldb_shows_the_same_calls_as_for_the_core() {
    if !Debugger::installed().contains(&Debugger::Lldb) {
        return;
    }
    let (sickbay, report, file) = death("workers", &["3", "2"]);
    let core = sickbay.scratch().join("core");
    assert_eq!(
        run(sickbay.verb("export").args(["--format", "core", "-o"]).arg(&core)).code(),
        0
    );
    let program = fixture("workers");
    let calls = Debugger::Lldb.calls(&program, &file);
    assert_eq!(calls, Debugger::Lldb.calls(&program, &core));
    assert_eq!(calls[0].tid, report.number("fault.tid"));
    assert_eq!(
        calls[0].functions,
        ["fault_holding", "work", "start_thread", "clone3"]
    );
    let of_report = report.list("threads").iter().map(Calls::of_report);
    let of_report = of_report
        .map(|thread| (thread.tid, thread.functions))
        .collect::<BTreeMap<_, _>>();
    let of_lldb = calls.into_iter().map(|thread| (thread.tid, thread.functions));
    assert_eq!(of_lldb.collect::<BTreeMap<_, _>>(), of_report);
    let shown = debuggers::lldb(&program, &file, &["thread list", "image list"]);
    for expected in ["stop reason = signal SIGSEGV", "/workers", "libc.so.6"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}
