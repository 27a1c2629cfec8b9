//! Who waits for whom.

use super::super::model::Report;
use super::super::wording::locks::{holder, waiters};
use super::super::wording::place::in_module;
use super::page::{Page, Style};

/// Locks that are shown.
const MAX_LOCKS: usize = 64;

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
