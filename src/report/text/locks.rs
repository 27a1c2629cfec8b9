//! Who waits for whom.

use super::super::model::{Lock, Report};
use super::super::words::count;
use super::in_module;
use super::page::{Page, Style};
use super::thread::title_of;

/// Locks that are shown.
const MAX_LOCKS: usize = 64;
/// Waiting threads that are named.
const MAX_NAMES: usize = 8;

pub(super) fn write(page: &mut Page, report: &Report) {
    if report.locks.is_empty() && report.deadlocks.is_empty() {
        return;
    }
    page.heading(format_args!("Locks"));
    page.lines(&report.deadlocks, MAX_LOCKS, |page, deadlock| {
        let detail = deadlock
            .detail
            .as_deref()
            .unwrap_or("threads wait for each other");
        page.parts(&[(Style::Alarm, "  deadlock: "), (Style::Plain, detail)]);
    });
    page.lines(&report.locks, MAX_LOCKS, |page, lock| {
        let waiters = waiters(report, lock);
        let separator = if waiters.is_empty() { "" } else { "; " };
        let place = match report.module_at(lock.address) {
            Some(_) => format!(" ({})", in_module(report, lock.address)),
            None => String::new(),
        };
        page.line(format_args!(
            "  {} {}{place}: {}{separator}{waiters}",
            lock.kind.as_deref().unwrap_or("lock"),
            lock.address,
            holder(report, lock)
        ));
    });
}

fn holder(report: &Report, lock: &Lock) -> String {
    match (lock.owner_tid, lock.readers) {
        (Some(tid), _) if lock.kind.as_deref() == Some("pthread_join") => {
            format!("end of {}", title_of(report, tid))
        }
        (Some(tid), _) if lock.owner_ended => format!("held by {tid}, which has ended"),
        (Some(tid), _) => format!("held by {}", title_of(report, tid)),
        (None, Some(readers)) => format!("held for reading by {}", count(readers as usize, "thread")),
        (None, None) => "no owner known".to_owned(),
    }
}

/// `3 waiting: 4712 worker-0, 4713 worker-1, 4714 worker-2`
fn waiters(report: &Report, lock: &Lock) -> String {
    if lock.waiters.is_empty() {
        return String::new();
    }
    let names: Vec<String> = lock
        .waiters
        .iter()
        .take(MAX_NAMES)
        .map(|tid| title_of(report, *tid))
        .collect();
    let more = match lock.waiters.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} waiting: {}{more}", lock.waiters.len(), names.join(", "))
}
