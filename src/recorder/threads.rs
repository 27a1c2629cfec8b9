//! The threads of a report.

use super::bound::bounded;
use super::compose::Sources;
use super::process::{Stat, bytes};
use super::{image, locks};
use crate::capture::{Capture, StackRange, ThreadFacts};
use crate::diagnose::InCall;
use crate::report::core::Layout;
use crate::report::model::{Address, Stack, Syscall, Thread};
use crate::sys::regs::{GeneralRegisters, vector_registers};

/// Threads that a report lists.
const MAX_THREADS: usize = 16_384;

/// The threads, the faulting one first.
pub(super) fn describe(
    capture: &Capture,
    sources: &Sources<'_>,
    mut miss: impl FnMut(String, String),
) -> Vec<Thread> {
    let facts = &capture.facts;
    let faulting = facts.fault.as_ref().map(|fault| fault.tid);
    // The faulting thread is listed wherever the capture has it.
    let others = facts.threads.iter().filter(|thread| Some(thread.tid) != faulting);
    let all = capture.faulting().into_iter().chain(others);
    let name_length = |thread: &&ThreadFacts| thread.name.as_ref().map_or(0, String::len);
    let listed = bounded(all, MAX_THREADS, name_length).told("threads", &mut miss);
    let mut threads = Vec::with_capacity(listed.len());
    for facts in listed {
        let mut thread = Thread::new(facts.tid);
        thread.name = facts.name.clone();
        thread.faulting = Some(facts.tid) == faulting;
        match capture.registers(facts) {
            Some(Ok(registers)) => add_registers(&mut thread, &registers),
            Some(Err(foreign)) => miss(format!("registers of thread {}", facts.tid), foreign.to_string()),
            None => {}
        }
        if thread.faulting {
            add_vector_registers(&mut thread, capture, facts);
        }
        let call = InCall::of(capture, facts);
        if let Some(stat) = bytes(capture, facts.stat).and_then(Stat::parse) {
            thread.cpu_us = sources.host.ticks_us(stat.cpu_ticks());
            thread.state = Some(state_before(call.as_ref(), stat.state).to_string());
        }
        if let Some(call) = call {
            thread.waiting = locks::waiting(sources.locks, thread.tid, &call);
            thread.syscall = Syscall {
                number: i64::try_from(call.call.number).ok(),
                name: call.name().map(str::to_owned),
                args: call.call.args.map(Address).to_vec(),
            };
        }
        if let Some(range) = facts.stack {
            thread.stack = stack(capture, &range, sources.memory);
        }
        threads.push(thread);
    }
    threads
}

fn add_registers(thread: &mut Thread, registers: &GeneralRegisters) {
    let named = registers.named();
    thread.registers = named
        .map(|(name, value)| (name.to_owned(), Address(value)))
        .collect();
}

fn add_vector_registers(thread: &mut Thread, capture: &Capture, facts: &ThreadFacts) {
    let fp = bytes(capture, facts.fp).unwrap_or_default();
    let extended = bytes(capture, facts.extended).unwrap_or_default();
    let named = vector_registers(fp, extended).into_iter();
    thread.vector = named.map(|(name, value)| (name, value.into())).collect();
}

/// The state before the tracer's stop: `stat` shows that, or, read a moment before, a thread that was woken for it. It
/// ran, or it slept in a system call.
fn state_before(call: Option<&InCall>, state: char) -> char {
    match state {
        't' | 'R' if call.is_some_and(|call| call.waits) => 'S',
        't' => 'R',
        other => other,
    }
}

fn stack(capture: &Capture, range: &StackRange, layout: Option<&Layout>) -> Stack {
    let shown = capture.shown(range.start, range.data);
    let shown = shown.first().filter(|(start, _)| *start == range.start);
    let captured = shown.map_or(0, |(_, bytes)| bytes.len() as u64);
    let offset = layout
        .filter(|_| captured > 0)
        .and_then(|layout| layout.offset(range.start));
    Stack {
        pointer: Some(range.pointer.into()),
        low: Some(range.low.into()),
        high: Some(range.high.into()),
        captured: Some(captured),
        file: offset.map(|_| image::FILE.to_owned()),
        offset,
    }
}
