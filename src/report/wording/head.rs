//! The first lines: who, what, why, and what was done about it.

use std::collections::BTreeMap;

use super::super::model::{Frame, FrameKind, Kind, Report, Thread};
use super::super::words::{count, duration};
use super::place::in_module;
use super::thread::state;

/// How many different things that threads wait for are named.
const MAX_WAITS: usize = 3;

/// One of the first lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::report) struct Fact {
    /// What it is about, in a word.
    pub(in crate::report) label: &'static str,
    pub(in crate::report) text: String,
}

/// At most nine lines below the headline, in the order in which one asks.
pub(in crate::report) fn facts(report: &Report) -> Vec<Fact> {
    let others = if report.faulting_thread().is_some() {
        "Others"
    } else {
        "Threads"
    };
    let facts = [
        ("What", what(report)),
        ("Where", place(report)),
        ("Said", report.fault.abort_message.clone()),
        ("Done", done(report)),
        ("Before", occurrences(report)),
        (others, threads(report)),
        ("Process", process(report)),
        ("When", Some(when(report))),
        ("Report", Some(id(report))),
    ];
    let fact = |(label, text): (&'static str, Option<String>)| Some(Fact { label, text: text? });
    facts.into_iter().filter_map(fact).collect()
}

/// `api: thread worker-117 (4828) took SIGSEGV`
pub(in crate::report) fn event(report: &Report) -> String {
    let subject = service(report);
    match report.kind {
        Kind::Capture => format!("{subject}: captured on demand"),
        Kind::Exit => format!("{subject}: {}", ending(report)),
        Kind::Fault | Kind::Unknown => format!("{subject}: {} took {}", thread(report), signal_name(report)),
    }
}

fn service(report: &Report) -> &str {
    [&report.service.name, &report.process.comm]
        .into_iter()
        .find_map(|name| name.as_deref())
        .unwrap_or("process")
}

fn thread(report: &Report) -> String {
    match (&report.fault.thread_name, report.fault.tid) {
        (Some(name), Some(tid)) => format!("thread {name} ({tid})"),
        (Some(name), None) => format!("thread {name}"),
        (None, Some(tid)) => format!("thread {tid}"),
        (None, None) => format!("a thread of process {}", report.process.pid),
    }
}

fn signal_name(report: &Report) -> String {
    match (&report.signal.name, report.signal.number) {
        (Some(name), _) => name.clone(),
        (None, Some(number)) => number.to_string(),
        (None, None) => "a signal".to_owned(),
    }
}

fn ending(report: &Report) -> String {
    let pid = report.process.pid;
    let core = if report.exit.core_dumped == Some(true) {
        ", core dumped"
    } else {
        ""
    };
    match (report.exit.signal.or(report.signal.number), report.exit.status) {
        (Some(signal), _) => format!("process {pid} was ended by {signal}{core}"),
        (None, Some(status)) => format!("process {pid} ended with status {status}"),
        (None, None) => format!("process {pid} ended"),
    }
}

/// `write to 0x8: mov dword ptr [rdi],2Ah with rdi = 0x8 (SEGV_MAPERR at 0x8)`
fn what(report: &Report) -> Option<String> {
    // The sentence quotes the instruction where that matters.
    let detail = report.fault.detail.clone();
    let mut parts: Vec<String> = detail.or_else(|| instruction(report)).into_iter().collect();
    if report.exit.oom == Some(true) && parts.is_empty() {
        parts.push("the kernel ran out of memory for it".to_owned());
    }
    let text = parts.join("; ");
    match (signal_info(report), text.is_empty()) {
        (None, true) => None,
        (None, false) => Some(text),
        (Some(signal), true) => Some(signal),
        (Some(signal), false) => Some(format!("{text} ({signal})")),
    }
}

fn instruction(report: &Report) -> Option<String> {
    let instruction = &report.fault.instruction;
    let text = instruction.text.as_ref()?;
    let operands: Vec<String> = instruction
        .operands
        .iter()
        .filter_map(|operand| {
            let value = operand.value?;
            match (&operand.register, operand.address) {
                (Some(register), _) => Some(format!("{register} = {value}")),
                (None, Some(address)) => Some(format!("[{address}] = {value}")),
                (None, None) => None,
            }
        })
        .collect();
    Some(if operands.is_empty() {
        format!("`{text}`")
    } else {
        format!("`{text}`, {}", operands.join(", "))
    })
}

fn signal_info(report: &Report) -> Option<String> {
    let signal = &report.signal;
    let mut parts = Vec::new();
    parts.extend(
        signal
            .code_name
            .clone()
            .or_else(|| Some(format!("si_code {}", signal.code?))),
    );
    parts.extend(signal.address.map(|address| format!("address {address}")));
    let sender = signal.sender.pid.filter(|_| report.fault.detail.is_none());
    parts.extend(sender.map(|pid| {
        let name = signal.sender.comm.as_deref().unwrap_or("a process that is gone");
        match signal.sender.uid {
            Some(uid) => format!("sent by {name}, pid {pid}, uid {uid}"),
            None => format!("sent by {name}, pid {pid}"),
        }
    }));
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn place(report: &Report) -> Option<String> {
    let named = report.faulting_thread().and_then(|thread| {
        thread
            .frames
            .iter()
            .find(|frame| frame.symbol.is_some() && frame.kind != FrameKind::Signal)
    });
    let place = match named {
        Some(frame) => function(frame),
        None => in_module(report, report.fault.pc?),
    };
    let mut frames = report
        .faulting_thread()
        .into_iter()
        .flat_map(|thread| &thread.frames);
    Some(match frames.find(|frame| frame.kind == FrameKind::Python) {
        Some(python) => format!("{place}, for {} (Python)", function(python)),
        None => place,
    })
}

/// `parse_header at http.cpp:212`
fn function(frame: &Frame) -> String {
    let symbol = frame.symbol.as_deref().unwrap_or("?");
    match (&frame.file, frame.line) {
        (Some(file), Some(line)) => format!("{symbol} at {file}:{line}"),
        (Some(file), None) => format!("{symbol} in {file}"),
        _ => symbol.to_owned(),
    }
}

fn done(report: &Report) -> Option<String> {
    let action = &report.action;
    let taken = match (&action.taken, &action.requested) {
        (Some(taken), Some(requested)) if taken != requested => format!("{taken} instead of {requested}"),
        (Some(taken), _) => taken.clone(),
        (None, Some(requested)) => format!("{requested} was asked for; whether it was done is not known"),
        (None, None) => return action.reason.clone(),
    };
    Some(match &action.reason {
        Some(reason) => format!("{taken}: {reason}"),
        None => taken,
    })
}

fn occurrences(report: &Report) -> Option<String> {
    match report.occurrences? {
        0 | 1 => Some("first time".to_owned()),
        2 => Some("once before".to_owned()),
        more => Some(format!("{} times before", more - 1)),
    }
}

/// `200 threads: 14 waiting for a lock that the faulting thread holds, 185 in epoll_wait, 1 in nanosleep`
fn threads(report: &Report) -> Option<String> {
    let faulting = report.faulting_thread().map(|thread| thread.tid);
    let others: Vec<&Thread> = report
        .threads
        .iter()
        .filter(|thread| Some(thread.tid) != faulting)
        .collect();
    if others.is_empty() {
        return None;
    }
    let is_in_circle = |thread: &Thread| {
        let mut deadlocks = report.deadlocks.iter();
        deadlocks.any(|deadlock| deadlock.threads.contains(&thread.tid))
    };
    let mut parts = Vec::new();
    let mut waits: BTreeMap<String, usize> = BTreeMap::new();
    let (mut blocked, mut circle) = (0, 0);
    for thread in &others {
        if is_in_circle(thread) {
            circle += 1;
        } else if faulting.is_some() && thread.waiting.owner_tid == faulting {
            blocked += 1;
        } else {
            *waits.entry(activity(thread)).or_default() += 1;
        }
    }
    if circle > 0 {
        parts.push(format!("{circle} in a deadlock"));
    }
    if blocked > 0 {
        parts.push(format!(
            "{blocked} waiting for a lock that the faulting thread holds"
        ));
    }
    let mut waits: Vec<_> = waits.into_iter().collect();
    waits.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let rest: usize = waits.iter().skip(MAX_WAITS).map(|(_, number)| number).sum();
    let named = waits.iter().take(MAX_WAITS);
    parts.extend(named.map(|(what, number)| format!("{number} {what}")));
    if rest > 0 {
        parts.push(format!("{rest} elsewhere"));
    }
    Some(format!("{}: {}", count(others.len(), "thread"), parts.join(", ")))
}

/// What a thread was doing, in words that group it with others.
fn activity(thread: &Thread) -> String {
    match (
        thread.waiting.kind.as_deref(),
        thread.waiting.address,
        &thread.syscall.name,
    ) {
        (Some("thread"), Some(_), _) => "waiting for a thread to end".to_owned(),
        (Some(kind), Some(_), _) => format!("waiting for a {kind}"),
        (_, _, Some(name)) => format!("in {name}"),
        (Some(kind), _, _) => format!("waiting for {kind}"),
        (None, _, None) => state(thread).unwrap_or("in an unknown state").to_owned(),
    }
}

fn process(report: &Report) -> Option<String> {
    let process = &report.process;
    let mut text = process.pid.to_string();
    if let Some(exe) = &process.exe {
        text = format!("{text} {exe}");
    }
    if let Some(threads) = process.threads {
        text = format!(
            "{text}, {}",
            count(usize::try_from(threads).unwrap_or(usize::MAX), "thread")
        );
    }
    if let Some(uptime) = process.uptime_us {
        text = format!("{text}, up {}", duration(uptime));
    }
    if let Some(unit) = &report.service.unit {
        text = format!("{text}, {unit}");
    }
    Some(text)
}

fn when(report: &Report) -> String {
    let time = report.time.strftime("%Y-%m-%d %H:%M:%S UTC");
    match &report.host.hostname {
        Some(hostname) => format!("{time} on {hostname}"),
        None => time.to_string(),
    }
}

fn id(report: &Report) -> String {
    match report.incomplete.len() {
        0 => report.id.clone(),
        missing => format!(
            "{}; {} missing, listed at the end",
            report.id,
            count(missing, "part")
        ),
    }
}
