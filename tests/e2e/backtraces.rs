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
    differences: Vec<Difference>,
    /// Those that may differ, each with the reason.
    excused: Vec<Difference>,
}

/// A frame of which both do not say the same.
#[derive(Debug)]
struct Difference {
    thread: String,
    /// Frames that are further in.
    depth: usize,
    /// Whether gdb has a frame there, and a name for it.
    is_known: bool,
    text: String,
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
        excused: Vec::new(),
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
        let name = thread["name"].as_str().unwrap_or("?");
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
                self.differences.push(Difference {
                    thread: name.to_owned(),
                    depth: at,
                    is_known: their.as_deref().is_some_and(|their| their != "?"),
                    text: format!("{name} #{at} at {place:?}: {our:?}, gdb: {their:?}"),
                });
            }
        }
        if let Some(reason) = thread.get("truncated") {
            self.differences.push(Difference {
                thread: name.to_owned(),
                depth: ours.len(),
                is_known: true,
                text: format!("{name} is truncated: {reason}"),
            });
        }
    }

    /// Lets those differ for a reason.
    fn excuse(&mut self, reason: &str, is_excused: impl Fn(&Difference) -> bool) {
        let excused = self
            .differences
            .extract_if(.., |difference| is_excused(difference));
        self.excused.extend(excused.map(|difference| Difference {
            text: format!("{} ({reason})", difference.text),
            ..difference
        }));
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

/// Where gdb is installed, the stacks of a program of ours.
#[track_caller]
fn of(program: &str) -> Option<Compared> {
    compare(&mut Command::new(fixture(program)), names::path_of)
}

/// Two names of one address are both right.
fn of_static_pie() -> Option<Compared> {
    let reduce = |name: &str| names::path_of(name).trim_end_matches("_impl").to_owned();
    compare(&mut Command::new(fixture("frames_static")), reduce)
}

fn of_rust() -> Option<Compared> {
    compare(&mut Command::new(fixture("release")), names::last_of)
}

/// Its file is there while gdb looks, and gone while we do.
fn of_a_deleted_library() -> Option<Compared> {
    if found_in_path("gdb").is_none() {
        skip("gdb is not installed");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let library = directory.path().join("plugin.so");
    let kept = directory.path().join("kept");
    fs::copy(fixture("plugin.so"), &library).unwrap();
    fs::hard_link(&library, &kept).unwrap();
    let mut running = spawn(Command::new(fixture("plugin_host")).arg(&library));
    running.stdout_line("ready");
    fs::hard_link(&kept, &library).unwrap();
    Some(compare_running(&running, names::path_of, || {
        fs::remove_file(&library).unwrap();
        fs::remove_file(&kept).unwrap();
    }))
}

fn of_go() -> Option<Compared> {
    if found_in_path("go").is_none() {
        skip("Go is not installed");
        return None;
    }
    let mut compared = of("goroutines")?;
    compared.excuse(
        "a thread that is between goroutines runs on a stack of the runtime's own, which ends in a zero",
        |difference| difference.text.contains("truncated: \"the return address 0x0 is"),
    );
    Some(compared)
}

fn of_python() -> Option<Compared> {
    compare(
        Command::new("/usr/bin/python3").arg(fixture("blocking.py")),
        names::path_of,
    )
}

/// gdb gets lost in the generated code of the main thread; up to there and in the other threads it is the judge.
fn of_node() -> Option<Compared> {
    let Some(node) = found_in_path("node") else {
        skip("node is not installed");
        return None;
    };
    // V8 leaves logs where it runs.
    let directory = tempfile::tempdir().unwrap();
    let mut program = Command::new(node);
    program
        .current_dir(directory.path())
        .args(["--perf-basic-prof", "--always-sparkplug", "--no-opt"])
        .arg(fixture("jit.js"));
    let mut compared = compare(&mut program, names::path_of)?;
    fs::remove_file(format!("/tmp/perf-{}.map", compared.report.number("process.pid"))).unwrap();
    let main = compared.symbols_of("node");
    let generated = main.iter().position(|name| name.starts_with("JS:")).unwrap();
    compared.excuse("gdb gets lost in generated code", |difference| {
        difference.thread == "node" && difference.depth + 1 >= generated
    });
    Some(compared)
}

fn of_redis() -> Option<Compared> {
    let Some(redis) = found_in_path("redis-server") else {
        skip("redis-server is not installed");
        return None;
    };
    if found_in_path("gdb").is_none() {
        skip("gdb is not installed");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let mut program = Command::new(redis);
    program
        .args(["--port", "0", "--save", "", "--io-threads", "4", "--unixsocket"])
        .arg(&socket);
    let running = spawn(&mut program);
    await_that("redis to listen", || socket.exists().then_some(()));
    Some(compare_running(&running, names::path_of, || ()))
}

/// A name for it, and the comparison: none where it is not installed.
type Case = (&'static str, fn() -> Option<Compared>);

/// What is compared.
const PROGRAMS: [Case; 13] = [
    ("optimised C", || of("frames")),
    ("without frame pointers", || of("frames_bare")),
    ("without unwind tables", || of("frames_tableless")),
    ("static-pie", of_static_pie),
    ("tail calls", || of("tail_calls")),
    // On the interrupted stack, on an alternate one, within each other, in the vdso, after a jump to null.
    ("signal handlers and the vdso", || of("handlers")),
    ("C++ exceptions, templates and inlining", || of("templates")),
    ("Rust", of_rust),
    ("a deleted library", of_a_deleted_library),
    ("Go", of_go),
    ("Python with extensions", of_python),
    ("node with generated code", of_node),
    ("redis", of_redis),
];

/// Where gdb has no name, a frame counts for neither of the two: at and behind generated code, which
/// [`just_in_time_compiled`] holds against the script.
#[test]
fn every_frame_of_every_program_is_gdbs() {
    let (mut frames, mut programs) = (0, 0);
    let (mut excused, mut wrong) = (Vec::new(), Vec::new());
    for (name, compare) in PROGRAMS {
        let Some(compared) = compare() else { continue };
        frames += compared.frames;
        programs += 1;
        println!("{name}: {} frames", compared.frames);
        wrong.extend(
            compared
                .differences
                .into_iter()
                .map(|difference| (name, difference)),
        );
        excused.extend(compared.excused.into_iter().map(|difference| (name, difference)));
    }
    for (name, difference) in &excused {
        println!("{name}: {}", difference.text);
    }
    let (known, unknown): (Vec<_>, Vec<_>) = excused
        .iter()
        .partition::<Vec<&(_, Difference)>, _>(|(_, difference)| difference.is_known);
    let judged = frames - unknown.len();
    let equal = judged.saturating_sub(known.len() + wrong.len());
    println!(
        "{equal} of {judged} frames of {programs} programs equal gdb's, which has no name for {} more",
        unknown.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(equal * 100 >= judged * 99, "{equal} of {judged}: {known:#?}");
    assert!(unknown.len() * 20 <= frames, "{unknown:#?}");
}

/// The library's functions have their names although its file is gone.
#[test]
fn a_library_that_was_deleted() {
    if let Some(compared) = of_a_deleted_library() {
        assert!(compared.symbols_of("plugin_host").contains(&"serve"));
    }
}

/// Behind the generated code, where gdb does not get, the functions of the script must be there, in their order, and the
/// program's first one at the end.
#[test]
fn just_in_time_compiled() {
    let Some(compared) = of_node() else { return };
    let main = compared.symbols_of("node");
    let mut script = main.iter().filter(|name| name.starts_with("JS:"));
    for function in ["innermostWait", "middleLayer", "outermostLayer"] {
        assert!(
            script.any(|name| name.contains(function)),
            "{function} is not in {main:#?}"
        );
    }
    assert_eq!(main.last(), Some(&"_start"));
}
