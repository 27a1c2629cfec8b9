//! The other threads, those alike told once; or chosen ones, each in full.

use super::super::model::{Report, Thread};
use super::super::wording::groups::alike;
use super::super::wording::thread::{doing, title};
use super::super::words::{count, duration};
use super::View;
use super::page::{Page, Style};
use super::thread::{write_frames, write_registers};
use crate::sys::Tid;

/// Frames of a thread that are shown.
const MAX_FRAMES: usize = 32;
/// Groups of threads that are shown.
const MAX_GROUPS: usize = 64;
/// Threads of a group that are named.
const MAX_NAMES: usize = 8;

/// Every thread but the faulting one.
pub(super) fn write(page: &mut Page, report: &Report, view: &View) {
    let faulting = report.faulting_thread().map(|thread| thread.tid);
    let others: Vec<&Thread> = report
        .threads
        .iter()
        .filter(|thread| Some(thread.tid) != faulting)
        .collect();
    if others.is_empty() {
        return;
    }
    let heading = if faulting.is_some() {
        "Other threads"
    } else {
        "Threads"
    };
    page.heading(format_args!("{heading} ({})", others.len()));
    let groups = if view.all || view.registers {
        others.into_iter().map(|thread| vec![thread]).collect()
    } else {
        alike(report, &others)
    };
    page.lines(groups, MAX_GROUPS, |page, group| {
        write_group(page, report, view, &group)
    });
}

/// Chosen threads, each with everything that is known of it.
pub(super) fn write_chosen(page: &mut Page, report: &Report, view: &View, chosen: &[Tid]) {
    for thread in report
        .threads
        .iter()
        .filter(|thread| chosen.contains(&thread.tid))
    {
        page.heading(format_args!(
            "Thread {}: {}",
            title(thread),
            doing(report, thread)
        ));
        write_frames(page, report, thread, usize::MAX, "  ");
        write_registers(page, thread, "  ", view.registers);
        write_stack(page, thread);
    }
}

fn write_stack(page: &mut Page, thread: &Thread) {
    let stack = &thread.stack;
    if let (Some(pointer), Some(low), Some(high)) = (stack.pointer, stack.low, stack.high) {
        let used = high.0.saturating_sub(pointer.0);
        page.line(format_args!(
            "  stack {low} to {high}, {used} bytes used, {} captured",
            stack.captured.unwrap_or(0)
        ));
    }
    if let Some(us) = thread.cpu_us {
        page.line(format_args!("  processor time {}", duration(us)));
    }
}

fn write_group(page: &mut Page, report: &Report, view: &View, group: &[&Thread]) {
    let Some(first) = group.first() else {
        return;
    };
    let doing = doing(report, first);
    if group.len() == 1 {
        page.parts(&[
            (Style::Label, &format!("  {}: ", title(first))),
            (Style::Plain, &doing),
        ]);
    } else {
        let names: Vec<String> = group.iter().take(MAX_NAMES).map(|thread| title(thread)).collect();
        let more = match group.len() - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        page.parts(&[
            (
                Style::Label,
                &format!("  {} like this: ", count(group.len(), "thread")),
            ),
            (Style::Plain, &doing),
        ]);
        page.styled(Style::Dim, format_args!("    {}{more}", names.join(", ")));
    }
    write_frames(page, report, first, MAX_FRAMES, "      ");
    if view.registers {
        write_registers(page, first, "      ", view.registers);
    }
}
