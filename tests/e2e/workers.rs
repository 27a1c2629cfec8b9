//! The main case: one of 200 threads writes through a null pointer, and the report shows all 201.

use serde_json::Value;

use crate::support::{Report, Sickbay, fixture, run};

const WORKERS: usize = 200;
const VICTIM: usize = 117;

/// What each thread keeps on its stack and in a callee-saved register, with its index in the low bits.
const MAGIC: u64 = 0x51c4_ba00_0000_0000;

/// The register that keeps it.
const KEPT_IN: &str = if cfg!(target_arch = "aarch64") {
    "x19"
} else {
    "r12"
};

#[test]
fn one_of_200_threads_faults() {
    let sickbay = Sickbay::new();
    let outcome = sickbay.run(fixture("workers"), &[WORKERS.to_string(), VICTIM.to_string()]);
    assert_eq!(outcome.code(), 139, "{outcome:#?}");
    let report = sickbay.only_report();

    says_what_happened(&report);
    says_where(&report, &outcome.stdout);
    shows_every_thread(&report);
}

/// What a report lacks can be more than a message holds.
#[test]
fn hundreds_of_modules_with_long_paths() {
    for [count, depth] in [["40", "17"], ["1200", "0"]] {
        let sickbay = Sickbay::new();
        let mut command = sickbay.run_command(fixture("mapped"), &[count, depth]);
        let outcome = run(command.current_dir(sickbay.scratch()));
        assert_eq!(outcome.code(), 139, "{outcome:#?}");
        let report = sickbay.only_report();
        assert_eq!(
            report.text("fault.cause"),
            "null pointer dereference",
            "{outcome:#?}"
        );
        assert!(report.list("incomplete").len() > 30, "{report:?}");
        assert!(!outcome.stderr.contains("small record"), "{outcome:#?}");
    }
}

fn says_what_happened(report: &Report) {
    assert_eq!(report.text("schema"), "sickbay.report/1");
    assert_eq!(report.text("kind"), "fault");
    assert_eq!(report.text("fault.thread_name"), format!("worker-{VICTIM}"));
    assert_eq!(report.text("signal.name"), "SIGSEGV");
    assert_eq!(report.text("signal.code_name"), "SEGV_MAPERR");
    assert_eq!(report.address("signal.address"), 8);
    assert_eq!(report.text("fault.cause"), "null pointer dereference");
    assert_eq!(report.text("fault.access"), "write");
    assert_eq!(report.text("process.comm"), "workers");
    assert!(
        report.has("pause.faulting_us") && report.has("pause.others_us"),
        "{report:?}"
    );
}

fn says_where(report: &Report, stdout: &str) {
    let announced = stdout
        .trim()
        .rsplit_once("fault_pc=0x")
        .expect("the fixture's readiness line")
        .1;
    let pc = u64::from_str_radix(announced, 16).unwrap();
    assert_eq!(report.address("fault.pc"), pc);
    let program = fixture("workers").canonicalize().unwrap();
    assert_eq!(report.module_at(pc), program.to_str());
    let in_module = |module: &&Value| module["path"].as_str() == program.to_str();
    let build_id = report
        .list("modules")
        .iter()
        .find(in_module)
        .and_then(|module| module["build_id"].as_str());
    assert!(
        build_id.is_some_and(|id| id.len() == 40),
        "the program's build id: {build_id:?}"
    );
}

fn shows_every_thread(report: &Report) {
    let threads = report.list("threads");
    assert_eq!(threads.len(), WORKERS + 1);
    assert_eq!(
        report.number("process.threads"),
        i64::try_from(WORKERS + 1).unwrap()
    );
    let faulting: Vec<_> = threads
        .iter()
        .filter(|thread| thread["faulting"] == true)
        .collect();
    assert_eq!(faulting.len(), 1);
    assert_eq!(&faulting[0]["tid"], report.at("fault.tid"));

    let mut found: Vec<u64> = threads
        .iter()
        .inspect(|thread| check_frames(report, thread))
        .map(|thread| check_thread(report, thread))
        .collect();
    found.sort_unstable();
    assert_eq!(found, (0..=u64::try_from(WORKERS).unwrap()).collect::<Vec<_>>());
}

/// Every stack reaches the thread's start, and runs through the program.
fn check_frames(report: &Report, thread: &Value) {
    let name = thread["name"].as_str().unwrap();
    let frames = thread["frames"]
        .as_array()
        .unwrap_or_else(|| panic!("{name} has no frames"));
    assert_eq!(thread.get("truncated"), None, "{name}: {frames:#?}");
    assert!(frames.len() >= 3, "{name}: {frames:#?}");
    let program = fixture("workers").canonicalize().unwrap();
    assert_eq!(frames[0]["module"].as_str(), program.to_str(), "{name}");
    assert_eq!(frames[0]["found_by"], "context", "{name}");
    if thread["faulting"] == true {
        assert_eq!(&frames[0]["pc"], report.at("fault.pc"));
    }
}

/// Holds one thread's register and stack, and returns the index that both kept.
fn check_thread(report: &Report, thread: &Value) -> u64 {
    let name = thread["name"].as_str().unwrap();
    let register = |register: &str| {
        let value = thread["registers"][register]
            .as_str()
            .unwrap_or_else(|| panic!("{name} has no {register}"));
        u64::from_str_radix(value.trim_start_matches("0x"), 16).unwrap()
    };
    let index = match name.strip_prefix("worker-") {
        Some(index) => index.parse().unwrap(),
        None => 0,
    };
    let kept = MAGIC | index;
    assert_eq!(register(KEPT_IN), kept, "{KEPT_IN} of {name}");

    let (low, stack) = report.stack_of(thread);
    let pointer = register(if cfg!(target_arch = "aarch64") {
        "sp"
    } else {
        "rsp"
    });
    let end = low + u64::try_from(stack.len()).unwrap();
    assert!(
        (low..end).contains(&pointer),
        "{name}: sp {pointer:#x} outside the captured {low:#x}..{end:#x}"
    );
    if index != 0 {
        let on_stack = stack.windows(8).any(|bytes| bytes == kept.to_le_bytes());
        assert!(
            on_stack,
            "{name}: {kept:#x} is not among its {} stack bytes",
            stack.len()
        );
    }
    index
}
