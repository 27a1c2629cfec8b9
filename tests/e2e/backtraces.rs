//! Call stacks, held against gdb's for the same process: every thread, every frame, every name.
//!
//! The programs wait where they are, so that both look at the same stacks: gdb first, then a capture on demand.

mod gdb;
mod names;

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{Report, Running, Sickbay, await_that, fixture, found_in_path, proc, run, skip, spawn};
use gdb::Frame;

/// What both say of one program.
struct Compared {
    report: Report,
    /// Frames that were compared.
    frames: usize,
    /// Those that differ.
    differences: Vec<String>,
}

/// Starts a program and compares its stacks; none where gdb is missing. Names count as equal if `reduce` makes them so.
#[track_caller]
fn compare(program: &mut Command, reduce: fn(&str) -> String) -> Option<Compared> {
    if found_in_path("gdb").is_none() {
        skip("gdb is not installed");
        return None;
    }
    let mut running = spawn(program);
    running.stdout_line("ready");
    Some(compare_running(&running, reduce, || ()))
}

/// [`compare`] for a program that is there already; `between` happens after gdb's look and before ours.
#[track_caller]
fn compare_running(running: &Running, reduce: fn(&str) -> String, between: impl FnOnce()) -> Compared {
    let pid = running.pid();
    await_waiting(pid);
    let theirs = gdb::frames_of(pid);
    between();
    await_waiting(pid);
    let sickbay = Sickbay::new();
    let outcome = run(sickbay.verb("capture").arg("--pid").arg(pid.to_string()));
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    let report = sickbay.only_report();
    let mut compared = Compared {
        frames: 0,
        differences: Vec::new(),
        report,
    };
    let threads = compared.report.list("threads").to_vec();
    assert_eq!(threads.len(), theirs.len());
    for thread in &threads {
        let theirs = &theirs[&thread["tid"].as_i64().unwrap()];
        compared.add(thread, theirs, reduce);
    }
    println!(
        "{} of {} frames in {} threads equal gdb's",
        compared.frames - compared.differences.len(),
        compared.frames,
        threads.len()
    );
    compared
}

impl Compared {
    fn add(&mut self, thread: &Value, theirs: &[Frame], reduce: fn(&str) -> String) {
        let frames = thread["frames"].as_array().unwrap().iter();
        // Python's are gdb's only with a script of Python's own.
        let ours: Vec<&Value> = frames.filter(|frame| frame["kind"] != "python").collect();
        // gdb does not know that nothing calls these, and makes a frame of what lies above.
        let last = ours.last().and_then(|frame| frame["symbol"].as_str());
        let is_first_of_thread = matches!(last, Some("runtime.clone" | "runtime.goexit"));
        let theirs = theirs
            .get(..ours.len())
            .filter(|_| is_first_of_thread)
            .unwrap_or(theirs);
        for at in 0..ours.len().max(theirs.len()) {
            let our = ours.get(at).map(|frame| our_name(frame, reduce));
            let their = theirs.get(at).map(|frame| their_name(frame, reduce));
            self.frames += 1;
            if !is_same(our.as_deref(), their.as_deref()) {
                let place = ours.get(at).map(|frame| &frame["pc"]);
                let name = &thread["name"];
                self.differences
                    .push(format!("{name} #{at} at {place:?}: {our:?}, gdb: {their:?}"));
            }
        }
        if let Some(reason) = thread.get("truncated") {
            self.differences
                .push(format!("{} is truncated: {reason}", thread["name"]));
        }
    }

    #[track_caller]
    fn assert_equal(&self) {
        assert!(self.differences.is_empty(), "{:#?}", self.differences);
    }

    /// The symbols of a thread, innermost first.
    #[track_caller]
    fn symbols_of(&self, thread: &str) -> Vec<&str> {
        let threads = self.report.list("threads");
        let thread = threads
            .iter()
            .find(|candidate| candidate["name"] == thread)
            .unwrap();
        let frames = thread["frames"].as_array().unwrap();
        frames
            .iter()
            .map(|frame| frame["symbol"].as_str().unwrap_or("?"))
            .collect()
    }
}

/// Whether two names are the same, but for the scope of a lambda expression, which gdb leaves out.
fn is_same(our: Option<&str>, their: Option<&str>) -> bool {
    let is_lambda = || Some(our?.ends_with("::operator_call") && their? == "operator_call");
    our == their || is_lambda().unwrap_or(false)
}

fn our_name(frame: &Value, reduce: fn(&str) -> String) -> String {
    match frame["kind"].as_str() {
        Some("signal") => "<signal handler called>".to_owned(),
        _ => frame["symbol"].as_str().map_or("?".to_owned(), reduce),
    }
}

fn their_name(frame: &Frame, reduce: fn(&str) -> String) -> String {
    match &frame.name {
        _ if frame.is_signal => "<signal handler called>".to_owned(),
        Some(name) => reduce(name),
        None => "?".to_owned(),
    }
}

#[track_caller]
fn await_waiting(pid: i32) {
    await_that("every thread to wait", || {
        let tasks = proc::tasks(pid);
        (!tasks.is_empty() && tasks.iter().all(|task| task.state == 'S')).then_some(())
    });
}

#[track_caller]
fn assert_equal(program: &str) {
    if let Some(compared) = compare(&mut Command::new(fixture(program)), names::path_of) {
        compared.assert_equal();
    }
}

#[test]
fn optimised_c() {
    assert_equal("frames");
}

#[test]
fn without_frame_pointers() {
    assert_equal("frames_bare");
}

#[test]
fn without_unwind_tables() {
    assert_equal("frames_tableless");
}

/// Two names of one address are both right.
#[test]
fn static_pie() {
    let reduce = |name: &str| names::path_of(name).trim_end_matches("_impl").to_owned();
    if let Some(compared) = compare(&mut Command::new(fixture("frames_static")), reduce) {
        compared.assert_equal();
    }
}

#[test]
fn tail_calls() {
    assert_equal("tail_calls");
}

/// On the interrupted stack, on an alternate one, within each other, in the vdso, after a jump to null.
#[test]
fn signal_handlers() {
    assert_equal("handlers");
}

#[test]
fn cxx_exceptions_templates_and_inlining() {
    assert_equal("templates");
}

#[test]
fn rust_release() {
    if let Some(compared) = compare(&mut Command::new(fixture("release")), names::last_of) {
        compared.assert_equal();
    }
}

/// Its file is there while gdb looks, and gone while we do.
#[test]
fn a_library_that_was_deleted() {
    if found_in_path("gdb").is_none() {
        return skip("gdb is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    let library = directory.path().join("plugin.so");
    let kept = directory.path().join("kept");
    fs::copy(fixture("plugin.so"), &library).unwrap();
    fs::hard_link(&library, &kept).unwrap();
    let mut running = spawn(Command::new(fixture("plugin_host")).arg(&library));
    running.stdout_line("ready");
    fs::hard_link(&kept, &library).unwrap();
    let compared = compare_running(&running, names::path_of, || {
        fs::remove_file(&library).unwrap();
        fs::remove_file(&kept).unwrap();
    });
    compared.assert_equal();
    assert!(compared.symbols_of("plugin_host").contains(&"serve"));
}

#[test]
fn go() {
    if found_in_path("go").is_none() {
        return skip("Go is not installed");
    }
    if let Some(mut compared) = compare(&mut Command::new(fixture("goroutines")), names::path_of) {
        // A thread that is between goroutines runs on a stack of the runtime's own, which ends in a zero.
        compared
            .differences
            .retain(|difference| !difference.contains("truncated: \"the return address 0x0 is"));
        compared.assert_equal();
    }
}

#[test]
fn python_with_extensions() {
    let program = Command::new("/usr/bin/python3")
        .arg(fixture("blocking.py"))
        .get_program()
        .to_owned();
    if let Some(compared) = compare(Command::new(program).arg(fixture("blocking.py")), names::path_of) {
        compared.assert_equal();
    }
}

/// gdb gets lost in the generated code of the main thread; up to there and in the other threads it is the judge.
/// Behind it the functions of the script must be there, in their order, and the program's first one at the end.
#[test]
fn just_in_time_compiled() {
    let Some(node) = found_in_path("node") else {
        return skip("node is not installed");
    };
    // V8 leaves logs where it runs.
    let directory = tempfile::tempdir().unwrap();
    let mut program = Command::new(node);
    program
        .current_dir(directory.path())
        .args(["--perf-basic-prof", "--always-sparkplug", "--no-opt"])
        .arg(fixture("jit.js"));
    let Some(compared) = compare(&mut program, names::path_of) else {
        return;
    };
    std::fs::remove_file(format!("/tmp/perf-{}.map", compared.report.number("process.pid"))).unwrap();
    let main = compared.symbols_of("node");
    let generated = main.iter().position(|name| name.starts_with("JS:")).unwrap();
    let is_behind = |difference: &&String| {
        let number = difference
            .split(['#', ' '])
            .find_map(|word| word.parse::<usize>().ok());
        difference.starts_with("\"node\"") && number.is_some_and(|number| number + 1 >= generated)
    };
    let others: Vec<_> = compared
        .differences
        .iter()
        .filter(|difference| !is_behind(difference))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
    let mut script = main.iter().filter(|name| name.starts_with("JS:"));
    for function in ["innermostWait", "middleLayer", "outermostLayer"] {
        assert!(
            script.any(|name| name.contains(function)),
            "{function} is not in {main:#?}"
        );
    }
    assert_eq!(main.last(), Some(&"_start"));
}

#[test]
fn redis() {
    let Some(redis) = found_in_path("redis-server") else {
        return skip("redis-server is not installed");
    };
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let mut program = Command::new(redis);
    program
        .args(["--port", "0", "--save", "", "--io-threads", "4", "--unixsocket"])
        .arg(&socket);
    if found_in_path("gdb").is_some() {
        let running = spawn(&mut program);
        await_that("redis to listen", || socket.exists().then_some(()));
        compare_running(&running, names::path_of, || ()).assert_equal();
    }
}
