//! The same fault is dumped once in a while: cores and minidumps take room and time, and show the same.

use std::collections::BTreeSet;

use crate::support::{Report, Sickbay, fixture, run};

const DUMPS: &str =
    "[[service]]\nname = \"api\"\n[service.report]\nformats = [\"json\", \"text\", \"core\", \"minidump\"]\n";

struct Scene {
    sickbay: Sickbay,
    known: BTreeSet<String>,
}

impl Scene {
    fn configured(text: &str) -> Self {
        Self {
            sickbay: Sickbay::new().configured(text),
            known: BTreeSet::new(),
        }
    }

    /// Lets a program die and returns its report.
    #[track_caller]
    fn death(&mut self, way: &str) -> Report {
        self.sickbay.run(fixture("die"), &[way]);
        let new = self.sickbay.reports().into_iter();
        let mut new: Vec<Report> = new
            .filter(|report| self.known.insert(report.text("id").to_owned()))
            .collect();
        assert_eq!(new.len(), 1, "{new:#?}");
        new.remove(0)
    }
}

/// Which dumps a report has, and that it names no others.
#[track_caller]
fn dumps(report: &Report) -> Vec<&'static str> {
    let there = ["core.zst", "minidump.dmp"]
        .into_iter()
        .filter(|name| report.directory().join(name).exists());
    let there: Vec<&str> = there.collect();
    let attached = report
        .list("attachments")
        .iter()
        .map(|attachment| &attachment["file"]);
    let attached: Vec<_> = attached.filter(|file| *file != "memory.zst").collect();
    assert_eq!(attached, there);
    there
}

/// What a report says of a file that it lacks.
fn said_of(report: &Report, name: &str) -> String {
    let missing = report
        .list("incomplete")
        .iter()
        .find(|missing| missing["step"] == name);
    missing.map_or_else(String::new, |missing| {
        missing["reason"].as_str().unwrap().to_owned()
    })
}

#[test]
fn the_same_fault_is_dumped_once_for_a_while() {
    let mut scene = Scene::configured(DUMPS);
    let first = scene.death("null-write");
    assert_eq!(dumps(&first), ["core.zst", "minidump.dmp"]);
    let second = scene.death("null-write");
    assert_eq!(dumps(&second), [""; 0]);
    for file in ["core.zst", "minidump.dmp"] {
        let reason = said_of(&second, file);
        assert!(
            reason.starts_with(&format!("report {} has it", first.text("id"))),
            "{reason}"
        );
    }
    // It is a whole report all the same, counted, and good for a debugger.
    assert_eq!(second.number("occurrences"), 2);
    assert_eq!(second.text("fault.cause"), "null pointer dereference");
    assert!(second.directory().join("memory.zst").exists());
    let text = std::fs::read_to_string(second.directory().join("report.txt")).unwrap();
    assert!(text.contains(first.text("id")), "{text}");

    assert_eq!(
        dumps(&scene.death("abort")),
        ["core.zst", "minidump.dmp"],
        "another fault"
    );
    let deleted = run(scene.sickbay.verb("delete").arg(first.text("id")));
    assert_eq!(deleted.code(), 0, "{deleted:#?}");
    assert_eq!(
        dumps(&scene.death("null-write")),
        ["core.zst", "minidump.dmp"],
        "the other is gone"
    );
}

#[test]
fn without_an_interval_each_has_its_own() {
    let mut scene = Scene::configured(&format!("{DUMPS}dump_interval = \"0s\"\n"));
    for _ in 0..2 {
        assert_eq!(dumps(&scene.death("null-write")), ["core.zst", "minidump.dmp"]);
    }
}

/// Of a large core the process's copy is all that there has been of it: it ends unwritten.
#[test]
fn a_core_of_all_memory_is_written_once() {
    let mut scene = Scene::configured(
        "[[service]]\nname = \"api\"\n[service.report]\nformats = [\"json\", \"core\"]\ncore = \"data\"\n",
    );
    let first = scene.death("null-write");
    assert_eq!(dumps(&first), ["core.zst"]);
    let second = scene.death("null-write");
    assert_eq!(dumps(&second), [""; 0]);
    assert!(said_of(&second, "core.zst").contains(first.text("id")));
}
