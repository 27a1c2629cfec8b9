//! Names and lines for frames, wherever the debug information is, and whatever became of the program's file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Report, Sickbay, dying, fixture, found_in_path, is_root, run, skip};

/// A copy of a fixture, to be taken apart.
struct Copy {
    sickbay: Sickbay,
    program: PathBuf,
}

impl Copy {
    fn new() -> Self {
        let sickbay = Sickbay::new();
        let program = sickbay.scratch().join("server");
        fs::copy(fixture("workers"), &program).unwrap();
        Self { sickbay, program }
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.sickbay.scratch().join(name)
    }

    /// Runs a tool of binutils on files beside the program.
    fn tool(&self, name: &str, arguments: &[&str]) {
        let outcome = run(Command::new(name)
            .args(arguments)
            .current_dir(self.sickbay.scratch()));
        assert_eq!(outcome.code(), 0, "{name} {arguments:?}: {outcome:#?}");
    }

    /// Moves the debug information into a file of its own, to which the program has a link.
    fn split(&self) {
        self.tool("objcopy", &["--only-keep-debug", "server", "server.debug"]);
        self.tool("strip", &["--strip-all", "server"]);
        self.tool("objcopy", &["--add-gnu-debuglink=server.debug", "server"]);
    }

    /// Replaces the debug information of the program.
    fn replace_debug_information(&self, abbreviations: &[u8], entries: &[u8]) {
        fs::write(self.beside("abbreviations"), abbreviations).unwrap();
        fs::write(self.beside("entries"), entries).unwrap();
        self.tool("objcopy", &["--strip-debug", "server"]);
        let sections = [
            "--add-section",
            ".debug_abbrev=abbreviations",
            "--add-section",
            ".debug_info=entries",
        ];
        self.tool("objcopy", &[&sections[..], &["server"]].concat());
    }

    /// Starts the program, does something to its file, lets it fault, and returns the faulting thread's frames.
    fn fault_after(&self, change: impl FnOnce(&Path)) -> (Report, Vec<Value>) {
        let mut running = self.sickbay.start(&self.program, &["3", "2", "stdin"]);
        running.stdout_line("ready");
        change(&self.program);
        running.write("go\n");
        let outcome = running.finish();
        assert_eq!(outcome.code(), 139, "{outcome:#?}");
        let report = self.sickbay.only_report();
        let frames = report.list("threads.0.frames").to_vec();
        (report, frames)
    }

    fn fault(&self) -> (Report, Vec<Value>) {
        self.fault_after(|_| ())
    }
}

/// The innermost frame is in the static function that faults.
#[track_caller]
fn assert_named((report, frames): &(Report, Vec<Value>)) {
    let innermost = &frames[0];
    assert_eq!(innermost["symbol"], "fault_holding", "{report:?} {innermost:#}");
    assert!(innermost["symbol_offset"].is_string(), "{innermost:#}");
    assert_eq!(frames[1]["symbol"], "work", "{report:?} {frames:#?}");
}

#[track_caller]
fn assert_named_with_lines(told: &(Report, Vec<Value>)) {
    assert_named(told);
    let innermost = &told.1[0];
    let file = innermost["file"].as_str();
    assert!(
        file.is_some_and(|file| file.ends_with("/workers.c")),
        "{innermost:#}"
    );
    assert!(
        innermost["line"].as_i64().is_some_and(|line| line > 1),
        "{innermost:#}"
    );
}

#[test]
fn the_program_s_own_debug_information() {
    assert_named_with_lines(&Copy::new().fault());
}

#[test]
fn a_program_that_was_deleted_while_it_ran() {
    let told = Copy::new().fault_after(|program| fs::remove_file(program).unwrap());
    assert_named_with_lines(&told);
    let module = told.1[0]["module"].as_str();
    assert!(
        module.is_some_and(|path| path.ends_with("server (deleted)")),
        "{module:?}"
    );
}

#[test]
fn a_program_that_was_replaced_while_it_ran() {
    let told = Copy::new().fault_after(|program| {
        fs::remove_file(program).unwrap();
        fs::copy(fixture("storm"), program).unwrap();
    });
    assert_named_with_lines(&told);
}

/// The recorder drops root's rights; what was opened at the fault it reads all the same.
#[test]
fn a_program_that_only_its_owner_may_read() {
    let copy = Copy::new();
    fs::set_permissions(&copy.program, fs::Permissions::from_mode(0o700)).unwrap();
    assert_named_with_lines(&copy.fault());
}

#[test]
fn a_debug_file_by_link_beside_the_program() {
    let copy = Copy::new();
    copy.split();
    open_to_all(&copy);
    assert_named_with_lines(&copy.fault());
}

#[test]
fn a_debug_file_by_link_in_its_own_directory() {
    let copy = Copy::new();
    copy.split();
    fs::create_dir(copy.beside(".debug")).unwrap();
    fs::rename(copy.beside("server.debug"), copy.beside(".debug/server.debug")).unwrap();
    open_to_all(&copy);
    assert_named_with_lines(&copy.fault());
}

#[test]
fn a_debug_file_of_another_build_is_refused() {
    let copy = Copy::new();
    copy.split();
    let other = fixture("storm");
    copy.tool(
        "objcopy",
        &["--only-keep-debug", other.to_str().unwrap(), "server.debug"],
    );
    open_to_all(&copy);
    let (report, frames) = copy.fault();
    assert_eq!(frames[0].get("symbol"), None, "{report:?} {:#}", frames[0]);
    assert_eq!(
        frames.last().unwrap()["symbol"],
        "clone3",
        "libraries keep their names"
    );
}

#[test]
fn a_symbol_table_inside_the_program() {
    let copy = Copy::new();
    copy.tool("objcopy", &["--strip-debug", "server", "mini"]);
    copy.tool("xz", &["mini"]);
    copy.tool("strip", &["--strip-all", "server"]);
    copy.tool("objcopy", &["--add-section", ".gnu_debugdata=mini.xz", "server"]);
    let told = copy.fault();
    assert_named(&told);
    assert_eq!(told.1[0].get("line"), None);
}

#[test]
fn compressed_debug_information() {
    for format in ["zlib", "zstd"] {
        let copy = Copy::new();
        let option = format!("--compress-debug-sections={format}");
        let outcome = run(Command::new("objcopy").arg(option).arg(&copy.program));
        if outcome.code() == 0 {
            assert_named_with_lines(&copy.fault());
        } else {
            assert_ne!(format, "zlib", "{outcome:#?}");
        }
    }
}

/// Whoever wrote the program chose what its link leads to.
#[test]
fn a_link_to_a_fifo_holds_nobody_up() {
    let copy = Copy::new();
    copy.split();
    fs::remove_file(copy.beside("server.debug")).unwrap();
    nix::unistd::mkfifo(&copy.beside("server.debug"), nix::sys::stat::Mode::all()).unwrap();
    open_to_all(&copy);
    let (report, frames) = copy.fault();
    assert_eq!(frames.len(), 4, "{frames:#?}");
    assert!(!report.has("incomplete"), "{report:?}");
}

/// The debug file lies on a file system that only the process sees, and that is gone when the process is.
#[test]
fn a_process_in_another_mount_namespace() {
    if !is_root() || found_in_path("unshare").is_none() {
        return skip("another mount namespace takes root and unshare(1)");
    }
    let copy = Copy::new();
    copy.split();
    let script = "mount -t tmpfs none /mnt && mkdir /mnt/app && cp \"$0\" \"$0.debug\" /mnt/app && exec /mnt/app/server 3 2";
    let outcome = copy.sickbay.run(
        "unshare",
        &["--mount", "sh", "-c", script, copy.program.to_str().unwrap()],
    );
    assert_eq!(outcome.code(), 139, "{outcome:#?}");
    let report = copy.sickbay.only_report();
    let frames = report.list("threads.0.frames").to_vec();
    assert_eq!(frames[0]["module"], "/mnt/app/server");
    assert_named_with_lines(&(report, frames));
}

/// What is said of a fault says where, in the program's own function.
#[test]
fn the_sentence_names_the_place() {
    for (how, signal, place) in [
        ("null-write", 11, ", in `null_write` at memory.c:"),
        ("null-exec", 11, ", in `null_exec` at memory.c:"),
        ("abort", 6, ", in `by_abort` at library.c:"),
        ("stack-smash", 6, ", in `overrun` at library.c:"),
    ] {
        let report = dying("die", &[how]).by(signal).check();
        let detail = report.text("fault.detail");
        assert!(detail.contains(place), "{how}: {detail}");
    }
}

/// 1 MiB of stack in frames of little more than 1 KiB.
#[test]
fn a_recursion_is_named_and_counted() {
    for (how, least, suffix) in [
        ("stack-overflow-main", 900, ""),
        ("stack-overflow-thread", 50, ""),
        (
            "stack-overflow-altstack",
            900,
            "; the program's own handler ran first",
        ),
    ] {
        let report = dying("die", &[how]).by(11).check();
        let detail = report.text("fault.detail");
        let (_, counted) = detail
            .split_once("; `recurse` called itself ")
            .unwrap_or_else(|| panic!("{how}: {detail}"));
        let (times, rest) = counted.split_once(" times").unwrap();
        let times: usize = times.replace(',', "").parse().unwrap();
        assert!((least..1100).contains(&times), "{how}: {detail}");
        assert_eq!(rest, suffix, "{how}");
    }
}

/// Lets the recorder, which is another user where the tests run as root, into the directory.
fn open_to_all(copy: &Copy) {
    if is_root() {
        fs::set_permissions(copy.sickbay.scratch(), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Abbreviations (DWARF 4): a unit, a named function, a function that was inlined; all have children.
const ABBREVIATIONS: &[u8] = &[
    1, 0x11, 1, 0x11, 0x01, 0x12, 0x07, 0, 0, // DW_TAG_compile_unit: low_pc, high_pc
    2, 0x2e, 1, 0x11, 0x01, 0x12, 0x07, 0x03, 0x08, 0, 0, // DW_TAG_subprogram: the same, name
    3, 0x1d, 1, 0, 0, // DW_TAG_inlined_subroutine
    0,
];

/// One function `deep` that is all of the program, and so many that are inlined into each other there.
fn nested(depth: usize) -> Vec<u8> {
    let everywhere = [[0; 8], (1_u64 << 40).to_le_bytes()].concat();
    let mut entries = vec![4, 0, 0, 0, 0, 0, 8, 1];
    entries.extend(&everywhere);
    entries.push(2);
    entries.extend(&everywhere);
    entries.extend(b"deep\0");
    entries.resize(entries.len() + depth, 3);
    entries.resize(entries.len() + depth + 2, 0);
    let length = u32::try_from(entries.len()).unwrap().to_le_bytes();
    // The first of them is the unit's version.
    [&length[..], &entries].concat()
}

#[test]
fn debug_information_that_is_nested_deeply_is_read() {
    let copy = Copy::new();
    copy.replace_debug_information(ABBREVIATIONS, &nested(50_000));
    let (report, frames) = copy.fault();
    assert_eq!(frames[0]["symbol"], "deep", "{report:?}");
    assert!(!report.has("incomplete"), "{report:?}");
}

/// A recorder that runs out of its stack is followed by one that leaves debug information alone.
#[test]
fn debug_information_that_is_nested_without_end_costs_the_lines_alone() {
    let copy = Copy::new();
    copy.replace_debug_information(ABBREVIATIONS, &nested(4_000_000));
    let (report, frames) = copy.fault();
    assert_eq!(frames[0]["symbol"], "fault_holding", "{report:?}");
    assert_eq!(report.number("occurrences"), 1);
    let told = &report.list("incomplete")[0];
    assert_eq!(told["step"], "debug information");
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.starts_with("the recorder died of SIG"), "{reason}");
}
