//! The other threads, those alike told once; and the locks between all of them.

use indexmap::IndexMap;

use super::super::model::{FrameKind, Report, Thread};
use super::super::words::count;
use super::in_module;
use super::page::Page;
use super::stack::{title, write_frames};

/// Frames of a thread that are shown.
const MAX_FRAMES: usize = 32;
/// Groups of threads that are shown.
const MAX_GROUPS: usize = 64;
/// Threads of a group that are named.
const MAX_NAMES: usize = 8;
/// Locks that are shown.
const MAX_LOCKS: usize = 64;

pub(super) fn write_locks(page: &mut Page, report: &Report) {
    if report.locks.is_empty() && report.deadlocks.is_empty() {
        return;
    }
    page.heading(format_args!("Locks"));
    page.lines(&report.deadlocks, MAX_LOCKS, |page, deadlock| {
        let detail = deadlock
            .detail
            .as_deref()
            .unwrap_or("threads wait for each other");
        page.line(format_args!("  deadlock: {detail}"));
    });
    page.lines(&report.locks, MAX_LOCKS, |page, lock| {
        let kind = lock.kind.as_deref().unwrap_or("lock");
        let owner = match lock.owner_tid.map(|tid| (tid, by_tid(report, tid))) {
            Some((_, Some(owner))) => format!("held by {}", title(owner)),
            Some((tid, None)) if lock.owner_ended => format!("held by {tid}, which has ended"),
            Some((tid, None)) => format!("held by {tid}"),
            None => match lock.readers {
                Some(readers) => format!("held for reading by {}", count(readers as usize, "thread")),
                None => "owner not known".to_owned(),
            },
        };
        let waiters: Vec<String> = lock
            .waiters
            .iter()
            .take(MAX_NAMES)
            .map(|tid| by_tid(report, *tid).map_or_else(|| tid.to_string(), title))
            .collect();
        let more = match lock.waiters.len().saturating_sub(MAX_NAMES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        if waiters.is_empty() {
            page.line(format_args!("  {kind} {}: {owner}", lock.address));
        } else {
            page.line(format_args!(
                "  {kind} {}: {owner}; {} waiting: {}{more}",
                lock.address,
                lock.waiters.len(),
                waiters.join(", ")
            ));
        }
    });
}

pub(super) fn write_others(page: &mut Page, report: &Report) {
    let faulting = report.faulting_thread().map(|thread| thread.tid);
    let mut groups: IndexMap<Alike<'_>, Vec<&Thread>> = IndexMap::new();
    let mut others = 0;
    for thread in report
        .threads
        .iter()
        .filter(|thread| Some(thread.tid) != faulting)
    {
        groups.entry(Alike::of(report, thread)).or_default().push(thread);
        others += 1;
    }
    if others == 0 {
        return;
    }
    let heading = if faulting.is_some() {
        "Other threads"
    } else {
        "Threads"
    };
    page.heading(format_args!("{heading} ({others})"));
    page.lines(groups.values(), MAX_GROUPS, |page, group| {
        write_group(page, report, group)
    });
}

fn write_group(page: &mut Page, report: &Report, group: &[&Thread]) {
    let Some(first) = group.first() else {
        return;
    };
    let doing = doing(report, first);
    if group.len() == 1 {
        page.line(format_args!("  {}: {doing}", title(first)));
    } else {
        let names: Vec<String> = group.iter().take(MAX_NAMES).map(|thread| title(thread)).collect();
        let more = match group.len() - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        page.line(format_args!(
            "  {} like this: {doing}",
            count(group.len(), "thread")
        ));
        page.line(format_args!("    {}{more}", names.join(", ")));
    }
    write_frames(page, report, first, MAX_FRAMES, "      ");
}

/// `S, in futex, waiting for mutex 0x558100004040 held by 4828 worker-117`
fn doing(report: &Report, thread: &Thread) -> String {
    let mut parts = Vec::new();
    parts.extend(thread.state.clone());
    parts.extend(match (&thread.syscall.name, thread.syscall.number) {
        (Some(name), _) => Some(format!("in {name}")),
        (None, Some(number)) => Some(format!("in system call {number}")),
        (None, None) => None,
    });
    if let Some(kind) = &thread.waiting.kind {
        let address = thread
            .waiting
            .address
            .map(|address| format!(" {address}"))
            .unwrap_or_default();
        let owner = thread
            .waiting
            .owner_tid
            .map(|tid| {
                format!(
                    " held by {}",
                    by_tid(report, tid).map_or_else(|| tid.to_string(), title)
                )
            })
            .unwrap_or_default();
        parts.push(format!("waiting for {kind}{address}{owner}"));
    }
    if thread.frames.is_empty() {
        parts.extend(program_counter(report, thread).map(|place| format!("at {place}")));
    }
    if parts.is_empty() {
        "nothing known".to_owned()
    } else {
        parts.join(", ")
    }
}

fn program_counter(report: &Report, thread: &Thread) -> Option<String> {
    let pc = ["rip", "pc", "eip"]
        .into_iter()
        .find_map(|name| thread.registers.get(name))?;
    Some(in_module(report, *pc))
}

fn by_tid(report: &Report, tid: crate::sys::Tid) -> Option<&Thread> {
    report.threads.iter().find(|thread| thread.tid == tid)
}

/// What two threads must have in common to be told once.
#[derive(PartialEq, Eq, Hash)]
struct Alike<'a> {
    doing: String,
    frames: Vec<(FrameKind, u64)>,
    truncated: Option<&'a str>,
}

impl<'a> Alike<'a> {
    fn of(report: &Report, thread: &'a Thread) -> Self {
        Self {
            doing: doing(report, thread),
            frames: thread
                .frames
                .iter()
                .map(|frame| (frame.kind, frame.pc.0))
                .collect(),
            truncated: thread.truncated.as_deref(),
        }
    }
}
