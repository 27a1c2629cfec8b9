//! Old reports go: those past the limits of the configuration, and as many as a full disk needs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Sickbay, fixture, is_root, run, skip};

const TWO_REPORTS: &str = "[store]\nmax_age = \"0s\"\nservice_max_reports = 2\n";
const ANY_AGE: &str = "[store]\nmax_age = \"0s\"\n";

/// The ids in a state directory, oldest first.
fn ids(state: &Path) -> Vec<String> {
    let entries = fs::read_dir(state.join("reports")).unwrap();
    let mut ids: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    ids.sort();
    ids
}

#[test]
fn each_service_keeps_its_latest_reports() {
    let sickbay = Sickbay::new().configured(TWO_REPORTS);
    sickbay.run(fixture("die"), &["abort"]);
    let report = sickbay.only_report();
    let mut reports = vec![report.text("id").to_owned()];
    // Those of another service, however old, are none of its business.
    let other = "20200101T000000Z-web-1-0000";
    fs::rename(report.directory(), sickbay.state().join("reports").join(other)).unwrap();
    for _ in 0..3 {
        sickbay.run(fixture("die"), &["abort"]);
        let last = sickbay.reports().pop().unwrap();
        reports.push(last.text("id").to_owned());
    }
    let kept = ids(&sickbay.state());
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert_eq!(kept[0], other);
    assert!(kept.contains(&reports[3]), "{kept:?}, the last is {}", reports[3]);
}

/// A tmpfs, unmounted with the value.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={size},mode=0700");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "sickbay-test"])
            .arg(directory.path())
            .status()
            .ok()?;
        status.success().then_some(Self(directory))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_has_room_for_the_next_report() {
    if !is_root() {
        return skip("mounting needs root");
    }
    let Some(disk) = Disk::mount("4M") else {
        return skip("this machine does not let root mount a tmpfs");
    };
    let state = disk.0.path();
    let reports = state.join("reports");
    fs::create_dir(&reports).unwrap();
    let quiet = reports.join("20200101T000000Z-quiet-1-0000");
    fs::create_dir(&quiet).unwrap();
    let mut minute = 0;
    // The kernel says when the disk is full.
    while minute < 60 {
        let report = reports.join(format!("20200101T00{minute:02}00Z-noisy-1-0000"));
        minute += 1;
        if fs::create_dir(&report).is_err()
            || fs::write(report.join("memory.zst"), vec![1; 200 << 10]).is_err()
        {
            break;
        }
    }
    assert!((10..30).contains(&minute), "{minute}");
    let filler = state.join("filler");
    assert!(fs::write(&filler, vec![1; 8 << 20]).is_err(), "the disk has room");
    let config = tempfile::NamedTempFile::new().unwrap();
    fs::write(config.path(), ANY_AGE).unwrap();
    let mut command = Command::new(Sickbay::program());
    command.arg("run").arg("--config").arg(config.path());
    command.arg("--state-dir").arg(state).arg("--");
    let outcome = run(command.arg(fixture("die")).arg("abort"));
    assert_eq!(outcome.code(), 134, "{outcome:#?}");
    let listed = run(Command::new(Sickbay::program())
        .args(["list", "--json", "--service", "die", "--state-dir"])
        .arg(state));
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed[0]["signal"]["name"], "SIGABRT", "{outcome:#?}");
    assert!(quiet.exists());
}
