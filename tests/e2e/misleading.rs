//! Processes and files that lead astray whoever looks at them: there is a report all the same, it names what is sound,
//! and says what was left out.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::support::{Report, Running, Sickbay, await_that, fixture, run, spawn};

/// A hole in a file, bytes.
const SPARSE: u64 = 1 << 40;

/// What is written of a fault of the program `misleading`, in every format; the reports are gone with the first of both.
#[track_caller]
fn fault(way: &str) -> (Sickbay, Report) {
    let sickbay = Sickbay::new().option("--format", "json,text,html,core,minidump");
    let outcome = sickbay.run(fixture("misleading"), &[way]);
    assert_eq!(outcome.code(), 139, "{outcome:#?}");
    let report = sickbay.only_report();
    assert_eq!(report.text("fault.cause"), "null pointer dereference");
    for file in ["report.txt", "report.html", "core.zst", "minidump.dmp"] {
        assert!(report.directory().join(file).exists(), "{file}: {report:?}");
    }
    (sickbay, report)
}

#[track_caller]
fn symbols(report: &Report) -> Vec<&str> {
    let frames = report.list("threads.0.frames").iter();
    frames
        .map(|frame| frame["symbol"].as_str().unwrap_or("?"))
        .collect()
}

#[track_caller]
fn assert_left_out(report: &Report, step: &str, reason: &str) {
    let steps = report.list("incomplete").iter();
    let mut of_step = steps.filter(|told| told["step"] == step);
    let is_told = of_step.any(|told| told["reason"].as_str().unwrap().contains(reason));
    assert!(is_told, "{step}, {reason}: {report:?}");
}

#[test]
fn a_list_of_a_million_libraries() {
    let (_sickbay, report) = fault("libraries");
    assert_eq!(symbols(&report)[..3], ["fault", "libraries", "main"]);
    assert!(!report.has("threads.0.truncated"), "{report:?}");
    assert_left_out(&report, "libraries", "only the first");
    assert!(report.memory("core.zst").len() < 8 << 20);
}

#[test]
fn a_stack_that_leads_back_to_itself() {
    for (way, most) in [("stack-self", 3), ("stack-ring", 200)] {
        let (_sickbay, report) = fault(way);
        let symbols = symbols(&report);
        assert!(
            symbols.iter().all(|symbol| *symbol == "take_frame"),
            "{symbols:?}"
        );
        assert!((2..=most).contains(&symbols.len()), "{way}: {}", symbols.len());
        let reason = report.text("threads.0.truncated");
        assert!(
            reason.contains("the stack leads back to itself"),
            "{way}: {reason}"
        );
    }
}

#[test]
fn an_unwind_table_that_never_ends() {
    let (_sickbay, report) = fault("tables-loop");
    assert_eq!(symbols(&report), ["without_end"]);
    let reason = report.text("threads.0.truncated");
    assert!(reason.contains("cannot be used"), "{reason}");
}

/// Writes another `.eh_frame` into a program.
#[track_caller]
fn change_tables(program: &Path, change: fn(&mut [u8])) {
    let section = program.with_extension("eh_frame");
    let objcopy = |option: &str| {
        let argument = format!(".eh_frame={}", section.display());
        let outcome = run(Command::new("objcopy").args([option, &argument]).arg(program));
        assert_eq!(outcome.code(), 0, "{outcome:#?}");
    };
    objcopy("--dump-section");
    let mut bytes = fs::read(&section).unwrap();
    change(&mut bytes);
    fs::write(&section, bytes).unwrap();
    objcopy("--update-section");
}

/// Does something to every entry: the place of its length, a u32; behind it is that of its common part, or 0.
fn for_each_entry(bytes: &mut [u8], change: impl Fn(&mut [u8], usize)) {
    let mut at = 0;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        if length == 0 {
            break;
        }
        change(bytes, at);
        at += 4 + length;
    }
}

fn put(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
}

/// What becomes of a section, and its description.
type Change = (&'static str, fn(&mut [u8]));

#[test]
fn unwind_tables_with_absurd_sizes_and_circles() {
    let changes: [Change; 5] = [
        ("all ones", |bytes| bytes.fill(0xff)),
        ("all zeros", |bytes| bytes.fill(0)),
        ("entries of four gigabytes", |bytes| {
            for_each_entry(bytes, |bytes, at| put(bytes, at, 0xffff_fff0));
        }),
        ("entries that are their own common part", |bytes| {
            for_each_entry(bytes, |bytes, at| put(bytes, at + 4, 4));
        }),
        ("instructions that remember without end", |bytes| {
            for_each_entry(bytes, |bytes, at| {
                let is_common = bytes[at + 4..at + 8] == [0; 4];
                let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
                if !is_common && length > 13 {
                    bytes[at + 17..at + 4 + length].fill(0x0a);
                }
            });
        }),
    ];
    for (name, change) in changes {
        let sickbay = Sickbay::new();
        let program = sickbay.scratch().join("server");
        fs::copy(fixture("workers"), &program).unwrap();
        change_tables(&program, change);
        let outcome = sickbay.run(&program, &["3", "2"]);
        assert_eq!(outcome.code(), 139, "{name}: {outcome:#?}");
        let report = sickbay.only_report();
        // It has frame pointers too.
        assert_eq!(
            symbols(&report)[..2],
            ["fault_holding", "work"],
            "{name}: {report:?}"
        );
        assert_eq!(
            report.text("threads.0.frames.1.found_by"),
            "frame pointer",
            "{name}"
        );
    }
}

/// No character that a terminal would obey, and no byte that is no text.
#[track_caller]
fn assert_plain(what: &str, text: &[u8]) {
    let text = std::str::from_utf8(text).unwrap_or_else(|error| panic!("{what}: {error}"));
    let obeyed = text
        .chars()
        .find(|character| character.is_control() && *character != '\n');
    assert_eq!(obeyed, None, "{what}: {text}");
}

#[test]
fn names_that_are_no_text() {
    let sickbay = Sickbay::new().option("--format", "json,text");
    let program = sickbay
        .scratch()
        .join(OsStr::from_bytes(b"a\x1b]0;b\x07\xff\xfe\nc"));
    fs::copy(fixture("misleading"), &program).unwrap();
    let outcome = sickbay.run(&program, &["names"]);
    assert_eq!(outcome.code(), 139, "{outcome:#?}");
    assert_plain("stderr", outcome.stderr.as_bytes());
    let report = sickbay.only_report();
    assert_eq!(symbols(&report)[..3], ["fault", "names", "main"]);
    assert_plain(
        "report.txt",
        &fs::read(report.directory().join("report.txt")).unwrap(),
    );
    for verb in ["show", "list"] {
        assert_plain(verb, run(&mut sickbay.verb(verb)).stdout.as_bytes());
    }
}

/// A process that waits in a function of a library, after something was done to the library's file; its report.
#[track_caller]
fn captured_after(prepare: impl FnOnce(&Path), change: impl FnOnce(&Path)) -> (Report, Running) {
    let directory = tempfile::tempdir().unwrap();
    let library = directory.path().join("plugin.so");
    let kept = directory.path().join("kept.so");
    fs::copy(fixture("plugin.so"), &library).unwrap();
    prepare(&library);
    fs::hard_link(&library, &kept).unwrap();
    let mut running = spawn(Command::new(fixture("plugin_host")).arg(&library));
    running.stdout_line("ready");
    await_that("the library to wait for its pipe", || {
        let call = fs::read_to_string(format!("/proc/{}/syscall", running.pid())).ok()?;
        call.starts_with(&format!("{} ", nix::libc::SYS_read))
            .then_some(())
    });
    fs::rename(&kept, &library).unwrap();
    change(&library);
    let sickbay = Sickbay::new().option("--format", "json,text,html,core,minidump");
    let (report, outcome) = sickbay.capture(running.pid());
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    (report, running)
}

#[test]
fn a_library_replaced_by_a_fifo_or_a_hole() {
    let into_fifo = |library: &Path| {
        fs::remove_file(library).unwrap();
        mkfifo(library, Mode::S_IRWXU).unwrap();
    };
    let into_hole = |library: &Path| {
        fs::remove_file(library).unwrap();
        fs::File::create(library).unwrap().set_len(SPARSE).unwrap();
    };
    let changes: [&dyn Fn(&Path); 2] = [&into_fifo, &into_hole];
    for change in changes {
        let (report, _running) = captured_after(|_| (), change);
        let symbols = symbols(&report);
        assert!(
            symbols.contains(&"serve") && symbols.last() == Some(&"_start"),
            "{symbols:?}"
        );
    }
}

/// Its tables are said to lie at the far end of the hole.
#[test]
fn a_library_that_is_a_hole_for_the_most_part() {
    let stretch = |library: &Path| {
        use std::os::unix::fs::FileExt;
        let file = fs::File::options().write(true).open(library).unwrap();
        file.set_len(SPARSE).unwrap();
        // Where the section headers are, and their number (elf(5)).
        file.write_all_at(&(SPARSE / 2).to_le_bytes(), 0x28).unwrap();
        file.write_all_at(&u16::MAX.to_le_bytes(), 0x3c).unwrap();
    };
    let (report, _running) = captured_after(stretch, |_| ());
    let symbols = symbols(&report);
    assert!(
        symbols.contains(&"main") && symbols.last() == Some(&"_start"),
        "{symbols:?}"
    );
}

#[test]
fn a_library_that_was_cut_off() {
    for size in [0, 100, 5000] {
        let cut = |library: &Path| {
            let file = fs::File::options().write(true).open(library).unwrap();
            file.set_len(size).unwrap();
        };
        let (report, _running) = captured_after(|_| (), cut);
        let symbols = symbols(&report);
        assert!(symbols[0].ends_with("read"), "{symbols:?}");
        let steps = report.list("incomplete").iter();
        let mut of_library = steps.filter(|told| told["step"].as_str().unwrap().contains("plugin.so"));
        assert!(
            of_library.any(|told| told["reason"].as_str().unwrap().contains("failed to parse")),
            "{report:?}"
        );
        assert!(report.has("threads.0.truncated"), "{report:?}");
    }
}
