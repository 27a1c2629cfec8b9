//! Whole records: a capture goes in, files come out.

use std::fs;
use std::io::Seek;

use serde_json::Value;

use super::*;
use crate::capture::{
    FaultFacts, Kind, MemoryRange, Pause, Phase, ProcessFacts, Purpose, StackRange, ThreadFacts,
};
use crate::config::{CoreExtent, Size};
use crate::diagnose::{Cause, Ended};
use crate::sys::regs::{GeneralRegisters, MACHINE};
use crate::sys::signal::SigInfo;
use crate::sys::{SigNo, Tid};

const MAPS: &[u8] = b"\
00401000-00402000 r-xp 00001000 fe:00 1234 /usr/bin/prog
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]
";
const SP: u64 = 0x7ffc_0001_0000;
const OTHER_SP: u64 = 0x7ffc_0000_8000;

/// A thread that wrote through a null pointer, and one that sleeps.
fn capture() -> Capture {
    let mut capture = Capture::default();
    let siginfo = Some(capture.keep(SigInfo::new(SigNo::SEGV, 1, 8).as_bytes()));
    capture.facts.kind = Kind::Fault;
    capture.facts.time_us = 1_700_000_000_000_000;
    capture.facts.process = ProcessFacts {
        pid: 4711,
        maps: Some(capture.keep(MAPS)),
        cmdline: Some(capture.keep(b"prog\0--flag\0\0")),
        environment: Some(capture.keep(b"LANG=C\0")),
        ..ProcessFacts::default()
    };
    capture.facts.fault = Some(FaultFacts {
        tid: Tid(4728),
        signal: SigNo::SEGV,
        siginfo,
        precursor: None,
        sender_comm: None,
        abort_message: None,
        exception: None,
        panic: None,
    });
    for (tid, sp, registers, bytes) in [
        (
            4711,
            OTHER_SP,
            vec![
                ("rip", 0x40_1800),
                ("rsp", OTHER_SP),
                ("orig_rax", 202),
                ("rax", -512_i64 as u64),
            ],
            b"sleeping stack.",
        ),
        (
            4728,
            SP,
            vec![("rip", 0x40_1100), ("rsp", SP), ("rdi", 0)],
            b"faulting stack.",
        ),
    ] {
        let general = capture.keep(&GeneralRegisters::from_named(&registers).to_bytes());
        let stat =
            capture.keep(format!("{tid} (w) t 1 1 1 0 -1 0 0 0 0 0 20 5 0 0 20 0 2 0 77 0 0\n").as_bytes());
        let stack = capture.keep(bytes);
        let fp = capture.keep(&[7; 512]);
        capture.facts.threads.push(ThreadFacts {
            name: Some(format!("worker-{tid}")),
            stat: Some(stat),
            general: Some(general),
            fp: Some(fp),
            stack: Some(StackRange {
                pointer: sp,
                low: sp,
                high: sp + 0x1000,
                start: sp,
                data: stack,
            }),
            ..ThreadFacts::new(Tid(tid))
        });
    }
    let code = capture.keep(&[0xc7, 0x47, 0x08, 0x2a, 0, 0, 0]);
    capture.facts.memory = vec![MemoryRange {
        purpose: Purpose::Code,
        start: 0x40_1100,
        data: code,
    }];
    capture.facts.pause = Pause {
        faulting_us: 90,
        others_us: 0,
        phases: vec![Phase {
            name: "registers".into(),
            us: 30,
        }],
    };
    capture.miss("environment", "masked");
    capture
}

struct Files {
    json: File,
    text: File,
    memory: File,
}

impl Files {
    fn new() -> Self {
        let file = || tempfile::tempfile().unwrap();
        Self {
            json: file(),
            text: file(),
            memory: file(),
        }
    }

    fn outputs(&self) -> Outputs {
        Outputs {
            json: self.json.try_clone().unwrap(),
            text: Some(self.text.try_clone().unwrap()),
            html: None,
            memory: Some(self.memory.try_clone().unwrap()),
            core: None,
            minidump: None,
        }
    }

    fn report(&mut self) -> Value {
        serde_json::from_slice(&content(&mut self.json)).unwrap()
    }
}

fn content(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn wire(capture: &Capture) -> File {
    let mut file = tempfile::tempfile().unwrap();
    capture.write_to(&mut file).unwrap();
    file
}

/// Every fault has happened twice before.
fn third(_: &str) -> Result<Counted, String> {
    Ok(Counted {
        occurrences: 3,
        dumped_by: None,
    })
}

fn job() -> Job {
    Job {
        id: "20231114T221320Z-api-4711-7f3a".into(),
        action: Some(Action {
            requested: vec!["suppress".into(), "deliver".into()],
            taken: "deliver".into(),
            ..Action::default()
        }),
        ..Job::default()
    }
}

#[test]
fn a_fault_becomes_three_files() {
    // The capture holds x86-64 code and register names.
    if MACHINE != "x86_64" {
        return;
    }
    let capture = capture();
    let mut files = Files::new();
    let outcome = record(&job(), wire(&capture), Vec::new(), &files.outputs(), &mut third).0;
    assert_eq!(outcome.failure, None);
    assert_eq!(
        (outcome.cause, outcome.readable_by),
        (Some(Cause::NullDereference), None)
    );
    let written: Vec<_> = outcome.written.iter().map(|written| written.format).collect();
    assert_eq!(written, [Format::Memory, Format::Text, Format::Json]);

    let report = files.report();
    assert_eq!(report["schema"], "sickbay.report/1");
    assert_eq!(report["id"], job().id);
    assert_eq!(report["time"], "2023-11-14T22:13:20Z");
    assert_eq!(
        report["process"]["cmdline"],
        serde_json::json!(["prog", "--flag", ""])
    );
    assert_eq!(report["environment"]["LANG"], "C");
    assert_eq!(report["signal"]["name"], "SIGSEGV");
    assert_eq!(report["signal"]["code_name"], "SEGV_MAPERR");
    assert_eq!(report["signal"]["address"], "0x8");
    assert_eq!(report["fault"]["cause"], "null pointer dereference");
    assert_eq!(report["fault"]["access"], "write");
    assert_eq!(report["fault"]["thread_name"], "worker-4728");
    assert_eq!(report["fault"]["instruction"]["bytes"], "c747082a000000");
    assert_eq!(report["fault"]["instruction"]["operands"][0]["register"], "rdi");
    assert_eq!(report["action"]["requested"], "suppress, deliver");
    assert_eq!(report["occurrences"], 3);
    assert_eq!(report["pause"]["phases"]["registers"], 30);
    assert_eq!(report["memory"][0]["register"], "rip");
    assert_eq!(report["maps"][1]["path"], "[stack]");
    assert_eq!(report["incomplete"][0]["step"], "environment");
    assert_eq!(report["fingerprint"].as_str(), outcome.fingerprint.as_deref());

    let faulting = &report["threads"][0];
    let sleeping = &report["threads"][1];
    assert_eq!(
        (&faulting["tid"], &faulting["faulting"]),
        (&Value::from(4728), &Value::from(true))
    );
    assert_eq!(
        (&faulting["state"], &sleeping["state"]),
        (&Value::from("R"), &Value::from("S"))
    );
    assert_eq!(sleeping["syscall"]["name"], "futex");
    assert_eq!(sleeping["waiting"]["kind"], "futex");
    assert_eq!(faulting["cpu_us"], 250_000);
    assert_eq!(faulting["registers"]["rip"], "0x401100");
    assert_eq!(faulting["vector"]["mxcsr"], "07070707");
    assert!(sleeping["vector"].is_null());

    let memory = zstd::decode_all(content(&mut files.memory).as_slice()).unwrap();
    for (thread, bytes) in [(faulting, b"faulting stack."), (sleeping, b"sleeping stack.")] {
        let stack = &thread["stack"];
        assert_eq!(stack["file"], "memory.zst");
        let offset = stack["offset"].as_u64().unwrap() as usize;
        let captured = stack["captured"].as_u64().unwrap() as usize;
        assert_eq!(&memory[offset..offset + captured], bytes);
    }
    assert_eq!(
        report["attachments"][0]["bytes"],
        files.memory.metadata().unwrap().len()
    );
    let text = String::from_utf8(content(&mut files.text)).unwrap();
    assert!(
        text.contains("null pointer write: `mov dword ptr [rdi+8], 2ah`, rdi = 0x0"),
        "{text}"
    );
}

#[test]
fn a_fault_that_cannot_be_counted_says_so() {
    let mut files = Files::new();
    let mut full = |_: &str| Err("no space left on device".to_owned());
    let outcome = record(&job(), wire(&capture()), Vec::new(), &files.outputs(), &mut full).0;
    assert_eq!((outcome.failure, outcome.occurrences), (None, None));
    let report = files.report();
    assert!(report["occurrences"].is_null());
    let steps = report["incomplete"].as_array().unwrap();
    assert!(steps.contains(&serde_json::json!({"step": "occurrences", "reason": "no space left on device"})));
}

#[test]
fn nothing_of_the_mapped_files_is_read_on_request() {
    let mut files = Files::new();
    let job = Job {
        reading: Reading::Nothing,
        counted: Some(Counted {
            occurrences: 7,
            dumped_by: None,
        }),
        ..job()
    };
    let mut asked = |_: &str| panic!("it has been counted");
    let outcome = record(&job, wire(&capture()), Vec::new(), &files.outputs(), &mut asked).0;
    assert_eq!((outcome.failure, outcome.occurrences), (None, Some(7)));
    assert_eq!(files.report()["fault"]["cause"], "null pointer dereference");
}

#[test]
fn a_fingerprint_survives_address_randomisation() {
    let moved = |by: u64| {
        let mut capture = capture();
        let maps = format!(
            "{:x}-{:x} r-xp 00001000 fe:00 1234 /usr/bin/prog\n",
            0x40_1000 + by,
            0x40_2000 + by
        );
        capture.facts.process.maps = Some(capture.keep(maps.as_bytes()));
        capture.facts.modules = vec![crate::capture::ModuleFile {
            path: "/usr/bin/prog".into(),
            low: 0x40_1000 + by,
            high: 0x40_2000 + by,
            offset: 0x1000,
            device: (0xfe, 0),
            inode: 1234,
            descriptor: None,
        }];
        let registers = [
            ("rip", 0x40_1100 + by),
            ("pc", 0x40_1100 + by),
            ("rsp", SP),
            ("sp", SP),
        ];
        let general = capture.keep(&GeneralRegisters::from_named(&registers).to_bytes());
        capture.facts.threads[1].general = Some(general);
        record(
            &job(),
            wire(&capture),
            Vec::new(),
            &Files::new().outputs(),
            &mut third,
        )
        .0
        .fingerprint
        .unwrap()
    };
    assert_eq!(moved(0), moved(0x1000_0000));
}

#[test]
fn an_end_becomes_a_record() {
    let mut capture = Capture::default();
    capture.facts.kind = Kind::Exit;
    capture.facts.process.pid = 4711;
    let job = Job {
        ended: Some(Ended {
            signal: Some(SigNo::KILL),
            out_of_memory: Some("oom_kill rose by 1".into()),
            ..Ended::default()
        }),
        ..job()
    };
    let mut files = Files::new();
    let outcome = record(&job, wire(&capture), Vec::new(), &files.outputs(), &mut third).0;
    assert_eq!(outcome.cause, Some(Cause::OutOfMemory));
    let report = files.report();
    assert_eq!(report["kind"], "exit");
    assert_eq!(
        report["exit"],
        serde_json::json!({"signal": 9, "core_dumped": false, "oom": true})
    );
    assert_eq!(report["signal"]["name"], "SIGKILL");
    assert_eq!(report["fault"]["cause"], "out of memory");
    assert!(report["threads"].is_null());
}

#[test]
fn a_damaged_capture_still_becomes_a_report() {
    let mut garbage = tempfile::tempfile().unwrap();
    garbage.write_all(&[0xff; 64]).unwrap();
    let mut files = Files::new();
    let outcome = record(&job(), garbage, Vec::new(), &files.outputs(), &mut third).0;
    assert_eq!(outcome.failure, None);
    let report = files.report();
    assert_eq!(report["incomplete"][0]["step"], "capture");
    assert!(
        outcome.incomplete[0].reason.contains("claims"),
        "{:?}",
        outcome.incomplete
    );
}

#[test]
fn files_that_cannot_be_written_are_told() {
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut files = Files::new();
    let outputs = Outputs {
        memory: Some(full()),
        text: Some(full()),
        ..files.outputs()
    };
    let outcome = record(&job(), wire(&capture()), Vec::new(), &outputs, &mut third).0;
    assert_eq!(outcome.failure, None);
    let steps: Vec<_> = outcome
        .incomplete
        .iter()
        .map(|missing| missing.step.as_str())
        .collect();
    assert!(
        steps.contains(&"memory.zst") && steps.contains(&"report.txt"),
        "{steps:?}"
    );
    let report = files.report();
    assert!(
        report["threads"][0]["stack"]["file"].is_null(),
        "nothing refers to a file that is not there"
    );
    let outputs = Outputs {
        json: full(),
        ..files.outputs()
    };
    let outcome = record(&job(), wire(&capture()), Vec::new(), &outputs, &mut third).0;
    assert!(
        outcome
            .failure
            .is_some_and(|reason| reason.contains("No space left"))
    );
}

#[test]
fn a_panic_is_an_answer() {
    assert_eq!(guarded(|| 3), Ok(3));
    let reason = guarded(|| -> u8 { panic!("at {}", 7) });
    assert_eq!(reason, Err("internal error: at 7".to_owned()));
}

#[test]
fn the_largest_report_can_be_read_back() {
    let mut capture = capture();
    let long = "x".repeat(4000);
    let maps: String = (0..65_530)
        .map(|n| {
            format!(
                "{:x}-{:x} r--p 00000000 fe:00 7 /{long}\n",
                n << 12,
                (n + 1) << 12
            )
        })
        .collect();
    capture.facts.process.maps = Some(capture.keep(maps.as_bytes()));
    let sample = capture.facts.threads[0].clone();
    capture.facts.threads.extend((0..20_000).map(|n| ThreadFacts {
        tid: Tid(10_000 + n),
        ..sample.clone()
    }));
    let files = Files::new();
    let outcome = record(&job(), wire(&capture), Vec::new(), &files.outputs(), &mut third).0;
    assert_eq!(outcome.failure, None);
    let size = files.json.metadata().unwrap().len();
    assert!(size < crate::store::MAX_REPORT_BYTES / 4 * 3, "{size} bytes");
    let steps: Vec<_> = outcome
        .incomplete
        .iter()
        .map(|missing| missing.step.as_str())
        .collect();
    assert!(steps.contains(&"maps") && steps.contains(&"threads"), "{steps:?}");
}

/// This very process stands in for a copy of itself.
fn finished(limit: Size, ended: bool) -> (Value, Vec<u8>, Outcome) {
    let mut capture = capture();
    let maps = fs::read("/proc/self/maps").unwrap();
    capture.facts.process.maps = Some(capture.keep(&maps));
    let core = CoreJob {
        extent: CoreExtent::Data,
        limit,
    };
    let job = Job {
        core: Some(core),
        ..job()
    };
    let mut files = Files::new();
    let (outcome, unfinished) = record(&job, wire(&capture), Vec::new(), &files.outputs(), &mut third);
    assert_eq!(outcome.failure, None);
    let steps = files.report()["incomplete"].clone();
    let told = steps
        .as_array()
        .unwrap()
        .iter()
        .any(|step| step["step"] == "core.zst");
    assert!(told, "the report says that a core will come: {steps}");

    let open = |name: &str| match name {
        "mem" if ended => File::open("/dev/null").unwrap(),
        name => File::open(format!("/proc/self/{name}")).unwrap(),
    };
    let copy = CopyFiles {
        memory: open("mem"),
        smaps: open("smaps"),
        pagemap: open("pagemap"),
        lease: File::open("/dev/null").unwrap(),
    };
    let mut files = Files::new();
    let mut core_file = tempfile::tempfile().unwrap();
    let outputs = Outputs {
        core: Some(core_file.try_clone().unwrap()),
        memory: None,
        ..files.outputs()
    };
    let outcome = unfinished.unwrap().finish(&core, &copy, &outputs);
    let file = zstd::decode_all(content(&mut core_file).as_slice()).unwrap();
    (files.report(), file, outcome)
}

#[test]
fn a_core_of_the_copy_comes_late() {
    let here = std::hint::black_box(Box::new(*b"on the heap of the copied process"));
    let (report, file, outcome) = finished(Size::mib(1024), false);
    let (core, memory) = crate::report::core::read(&file).unwrap();
    let mut bytes = [0; 33];
    let address = here.as_ptr() as u64;
    assert!(core.kept.iter().any(|range| range.contains(&address)));
    assert_eq!(
        crate::report::core::Contents::read(&memory, address, &mut bytes).unwrap(),
        33
    );
    assert_eq!(&bytes, here.as_ref());
    assert_eq!(
        core.threads[0].tid,
        Tid(4728),
        "the registers are those of the capture"
    );
    assert_eq!(outcome.failure, None);
    let written: Vec<_> = outcome.written.iter().map(|written| written.format).collect();
    assert_eq!(written, [Format::Core, Format::Text, Format::Json]);
    let kinds: Vec<_> = report["attachments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["kind"])
        .collect();
    assert_eq!(kinds, ["memory", "core"]);
    let steps = report["incomplete"].as_array().unwrap();
    assert!(steps.iter().all(|step| step["step"] != "core.zst"), "{steps:?}");
}

#[test]
fn a_core_that_cannot_be_written_is_compact() {
    let (report, file, _) = finished(Size::mib(1024), true);
    assert!(crate::report::core::read(&file).is_ok());
    let steps = report["incomplete"].as_array().unwrap();
    let reason = steps.iter().find(|step| step["step"] == "core.zst").unwrap()["reason"]
        .as_str()
        .unwrap();
    assert!(
        reason.contains("ended") && reason.ends_with("it is compact"),
        "{reason}"
    );
}

#[test]
fn a_core_keeps_within_its_limit() {
    let (report, file, _) = finished(Size::kib(64), false);
    assert!(file.len() < 1 << 20, "{}", file.len());
    let steps = report["incomplete"].as_array().unwrap();
    let told = steps.iter().any(|step| {
        step["reason"]
            .as_str()
            .unwrap()
            .contains("beyond the limit of 64KiB")
    });
    assert!(told, "{steps:?}");
}
