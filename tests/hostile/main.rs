//! Damaged files, captures, cores and reports through the entries of the fuzz targets (`fuzz/`), which need cargo-fuzz.
//!
//! The damage is done to real ones: half of it in the sections that are hardest to read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step of a test is the test's failure, whichever function it is in"
)]
#![cfg(target_arch = "x86_64")]

#[path = "../../fuzz/entries.rs"]
mod entries;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proptest::prelude::*;
use proptest::sample::Index;
use sickbay::diagnose::{Image, InMemory, NoModules};
use sickbay::recorder::{Counted, Format, Job, Outputs, record};

/// Sections in which damage does most.
const INTERESTING: [&str; 8] = [
    ".eh_frame",
    ".eh_frame_hdr",
    ".gcc_except_table",
    ".debug_info",
    ".debug_abbrev",
    ".debug_line",
    ".debug_rnglists",
    ".symtab",
];
/// The most that is read of one.
const MAX_SECTION: u64 = 16 << 20;

/// One change to a file.
#[derive(Clone, Debug)]
enum Damage {
    Byte(Index, u8),
    /// A number that is read as a size, a count or an offset.
    Number(Index, u64),
    /// In an interesting section, by its number.
    Within(usize, Index, u8),
    Repeat(Index, Index),
    Cut(Index),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let number = prop_oneof![
        Just(0),
        Just(u64::MAX),
        Just(1 << 31),
        Just(1 << 63),
        any::<u64>()
    ];
    let one = prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        2 => (any::<Index>(), number).prop_map(|(at, number)| Damage::Number(at, number)),
        8 => (0..INTERESTING.len(), any::<Index>(), any::<u8>())
            .prop_map(|(section, at, byte)| Damage::Within(section, at, byte)),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Damage::Repeat(from, to)),
        1 => any::<Index>().prop_map(Damage::Cut),
    ];
    proptest::collection::vec(one, 1..24)
}

fn damaged(original: &[u8], sections: &[Range<usize>], damage: &[Damage]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for one in damage {
        let size = bytes.len();
        if size < 16 {
            break;
        }
        match one {
            Damage::Byte(at, byte) => bytes[at.index(size)] = *byte,
            Damage::Number(at, number) => {
                let at = at.index(size - 8);
                bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
            }
            Damage::Within(section, at, byte) => {
                let section = sections.get(*section).filter(|range| range.end <= size);
                let range = section
                    .filter(|range| !range.is_empty())
                    .cloned()
                    .unwrap_or(0..size);
                bytes[range.start + at.index(range.len())] = *byte;
            }
            Damage::Repeat(from, to) => {
                let (from, to) = (from.index(size - 8), to.index(size - 8));
                bytes.copy_within(from..(from + 256).min(size - to.max(from) + from), to);
            }
            Damage::Cut(at) => bytes.truncate(at.index(size)),
        }
    }
    bytes
}

/// A program with debug information, and where its interesting sections are.
fn program(name: &str) -> (Vec<u8>, Vec<Range<usize>>) {
    let programs = std::env::var_os("SICKBAY_TEST_PROGRAMS").map(PathBuf::from);
    let programs = programs.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/programs"));
    let bytes = std::fs::read(programs.join(name)).expect("a sample program; run make programs");
    let source = InMemory(&bytes);
    let image = Image::open(&source, 0).unwrap();
    let place = |name: &&str| {
        let section = image.section(name, MAX_SECTION).ok().flatten();
        let content = section.map(|section| section.bytes).unwrap_or_default();
        let found = (!content.is_empty())
            .then(|| memchr::memmem::find(&bytes, &content))
            .flatten();
        found.map_or(0..0, |start| start..start + content.len())
    };
    let sections = INTERESTING.iter().map(place).collect();
    (bytes, sections)
}

/// A capture, the core and the report that a recorder makes of it.
struct Records {
    capture: Vec<u8>,
    core: Vec<u8>,
    report: Vec<u8>,
}

fn records() -> &'static Records {
    static RECORDS: OnceLock<Records> = OnceLock::new();
    RECORDS.get_or_init(|| {
        let process = entries::process(&program("workers").0);
        let mut capture = Vec::new();
        process.write_to(&mut capture).unwrap();
        let file = |content: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, content).unwrap();
            file
        };
        let (json, memory) = (file(b""), file(b""));
        let outputs = Outputs {
            json: json.try_clone().unwrap(),
            text: None,
            html: None,
            memory: Some(memory.try_clone().unwrap()),
            core: None,
            minidump: None,
        };
        let job = Job {
            formats: vec![Format::Json, Format::Memory],
            ..Job::default()
        };
        let outcome = record(&job, file(&capture), Vec::new(), &outputs, &mut |_| {
            Ok(Counted::default())
        })
        .0;
        assert_eq!(outcome.failure, None);
        let read = |mut file: std::fs::File| {
            let mut content = Vec::new();
            std::io::Seek::rewind(&mut file).unwrap();
            std::io::Read::read_to_end(&mut file, &mut content).unwrap();
            content
        };
        Records {
            capture,
            core: zstd::decode_all(read(memory).as_slice()).unwrap(),
            report: read(json),
        }
    })
}

#[test]
fn undamaged_ones_are_read() {
    let (bytes, sections) = program("workers");
    assert!(
        sections.iter().filter(|range| !range.is_empty()).count() >= 6,
        "{sections:?}"
    );
    let report = entries::report(&entries::process(&bytes), &InMemory(&bytes));
    let named = report.threads.iter().flat_map(|thread| &thread.frames);
    assert!(
        named.filter(|frame| frame.line.is_some()).count() > 4,
        "{report:#?}"
    );
    let Records {
        capture,
        core,
        report,
    } = records();
    let capture = sickbay::capture::Capture::read_from(capture.as_slice()).unwrap();
    assert_eq!(entries::report(&capture, &NoModules).threads.len(), 16);
    assert!(sickbay::report::core::read(core).is_ok());
    assert!(serde_json::from_slice::<sickbay::report::Report>(report).is_ok());
}

/// For the fuzz targets: what they begin with.
#[test]
#[ignore = "writes files: fuzz/run"]
fn seeds_are_written() {
    let Some(directory) = std::env::var_os("SICKBAY_SEEDS").map(PathBuf::from) else {
        return;
    };
    let write = |target: &str, name: &str, content: &[u8]| {
        let directory = directory.join(target);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(name), content).unwrap();
    };
    for name in ["workers", "frames_bare", "frames_static", "thrower"] {
        write("module", name, &program(name).0);
    }
    let Records {
        capture,
        core,
        report,
    } = records();
    write("capture", "abort", capture);
    write("stored_core", "abort", core);
    write("stored_report", "abort", report);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_program_has_a_report(damage in damage()) {
        static PROGRAM: OnceLock<(Vec<u8>, Vec<Range<usize>>)> = OnceLock::new();
        let (bytes, sections) = PROGRAM.get_or_init(|| program("workers"));
        entries::module(&damaged(bytes, sections, &damage));
    }

    #[test]
    fn a_damaged_program_with_exceptions_has_a_report(damage in damage()) {
        static PROGRAM: OnceLock<(Vec<u8>, Vec<Range<usize>>)> = OnceLock::new();
        let (bytes, sections) = PROGRAM.get_or_init(|| program("die_cxx"));
        entries::module(&damaged(bytes, sections, &damage));
    }

    #[test]
    fn a_damaged_capture_is_answered(damage in damage()) {
        entries::capture(&damaged(&records().capture, &[], &damage));
    }

    #[test]
    fn a_damaged_core_is_answered(damage in damage()) {
        entries::stored_core(&damaged(&records().core, &[], &damage));
    }

    #[test]
    fn a_damaged_report_is_answered(damage in damage()) {
        entries::stored_report(&damaged(&records().report, &[], &damage));
    }
}
