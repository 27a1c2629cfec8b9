//! Whoever dies while a process is copied or its core is written: the process dies of its own fault, its report says what
//! became of the core, and no copy remains.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Armed;
use crate::copies::{DATA, Large};
use crate::support::{Sickbay, await_that, proc};

/// A large program that wants a data core, and a supervisor of which one process dies at that point.
fn armed(point: &'static str) -> (Large, Armed) {
    let armed = Armed::on(Sickbay::new().configured(DATA), point, "SIGKILL");
    (Large::attached(&armed.sickbay, "32"), armed)
}

fn killed_at(point: &'static str) {
    let (mut large, armed) = armed(point);
    large.die();
    armed.await_reached();
    large.await_no_copy();
}

/// One test for each fail point.
macro_rules! at_each_fail_point {
    ($($test:ident = $point:literal),* $(,)?) => {
        $(#[test] fn $test() { killed_at($point); })*
    };
}

at_each_fail_point! {
    call_prepared = "isolate.call.prepared",
    call_entered = "isolate.call.entered",
    call_made = "isolate.call.made",
    call_returning = "isolate.call.returning",
    copy_born = "isolate.copy.born",
    copy_held = "isolate.copy.held",
    delivered = "tracer.fault.delivered",
    handed = "tracer.fault.handed",
    received = "front.incident.received",
    small = "front.incident.small",
    recorder_started = "front.incident.recorder",
    committed = "front.incident.committed",
    recorder_start = "recorder.start",
    recorder_read = "recorder.read",
    recorder_written = "recorder.written",
    core_begun = "recorder.core",
    core_written = "recorder.core.written",
    core_committed = "front.core.committed",
}

/// A report that was in place stays, whoever dies while its core is written.
#[test]
fn the_report_stands_without_its_core() {
    for point in ["recorder.core", "recorder.core.written"] {
        let (mut large, armed) = armed(point);
        large.die();
        armed.await_reached();
        large.supervisor.ended();
        let report = armed.sickbay.only_report();
        assert_eq!(report.text("signal.name"), "SIGSEGV", "{point}");
        assert!(report.memory("memory.zst").starts_with(b"\x7fELF"), "{point}");
        let told = report
            .list("incomplete")
            .iter()
            .any(|step| step["step"] == "core.zst");
        assert!(told, "{point}: {report:?}");
    }
}

/// The copy has no other holder than its tracer: its death is the copy's end, and the core becomes compact.
#[test]
fn a_tracer_killed_while_the_core_is_written() {
    let sickbay = Sickbay::new().configured(DATA);
    let mut large = Large::attached(&sickbay, "400");
    let tracer = proc::await_all_traced(large.program.pid());
    large.die();
    await_that("a report", || sickbay.reports().into_iter().next());
    // It may have ended already, with the core complete.
    let _ = kill(Pid::from_raw(tracer), Signal::SIGKILL);
    large.await_no_copy();
    large.supervisor.ended();
    let report = sickbay.only_report();
    assert!(report.memory("core.zst").starts_with(b"\x7fELF"));
}
