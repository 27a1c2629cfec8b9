//! Sickbay keeps a service alive when one of its threads falls ill, and explains what happened.
//!
//! It attaches to every thread of a service with `ptrace(2)`, notices a fatal signal in the one thread
//! that takes it, examines that thread, writes a report and does what the policy says.
//!
//! # Three processes
//!
//! | role | how many | may | does |
//! |---|---|---|---|
//! | **front** ([`supervisor`], [`daemon`]) | one, the whole time | what its caller may | decides what is supervised; starts and watches tracers; hands incidents to recorders; keeps the store |
//! | **tracer** ([`tracer`]) | one per service | ptrace and /proc of that service; no disk, no network | attaches, waits, captures, decides, acts; single-threaded |
//! | **recorder** ([`recorder`]) | one per incident | the descriptors passed to it | turns a capture into a report |
//!
//! They are one binary, started by re-executing it, and talk over [`ipc`]. None can harm another: end of
//! file on the socket means that the other side is gone, and each knows what to do then.
//!
//! # The floors
//!
//! Arrows go down only. A module knows the floors below it, never its neighbours' insides, never above.
//!
//! ```text
//! cli/         one file per verb; parses, calls, prints. No logic of its own
//! daemon/      the long run as the machine's service: many services, reload, control socket, enrolment, metrics
//! supervisor/  the front: tracers kept alive, incidents and captures on demand handed to recorders
//! tracer/      the tracer process: the path of ONE fault: capture -> diagnose -> decide -> act -> hand over
//! recorder/    the recorder process: capture -> report -> files
//! -------------------------------------------------------------------------------------------------------
//! service/     which processes belong to a service
//! trace/       keeps every thread of one service attached; yields faults, obeys verdicts   (live threads)
//! isolate/     carries one action out on one stopped thread                               (live threads)
//! logs/        the service's last log lines, collected by a process of their own
//! store/       reports on disk: write, index, find, count, retain, delete
//! diagnose/    pure: a Capture in, a Diagnosis out: frames, cause, access, instruction
//! policy/      pure: (fault, rules) -> action, with the reason in words
//! report/      the one model of a report, and its renderings
//! ipc/         messages between the three processes
//! capture/     copies a stopped thread or process into a Capture; interprets nothing      (live threads)
//! config/      model, drop-ins, check
//! -------------------------------------------------------------------------------------------------------
//! sys/         the only unsafe code: ptrace, wait, remote memory, pidfd, memfd, registers per architecture
//! ```
//!
//! # The path of one fault
//!
//! ```text
//! kernel --wait--> sys::wait --stop--> trace::machine (pure) --Fault--> tracer
//!    policy            action and reason: they say who has to be stopped
//!    capture           registers, stacks, maps, identity; module files opened while the process exists
//!    act               the thread moves on, is isolated, or its signal is delivered; the pause ends
//!    hand over         capture (memfd), files (descriptors), verdict ==> front ==> recorder: unwind, diagnose, report
//! ```
//!
//! # Invariants
//!
//! 1. `unsafe` exists in [`sys`] alone; the lint at the root holds it.
//! 2. [`policy`] and [`diagnose`] never touch a live process, the file system or the clock.
//! 3. [`trace`] does not know what a report is; [`report`] does not know what ptrace is.
//! 4. Nothing in a tracer blocks without a bound: no disk, no symboliser, no full pipe. A stalled tracer
//!    stalls the service, so a turn that outlasts its deadline ends the tracer, and the service goes on.
//! 5. One model of a report; every format is a rendering of it. No renderer reads the process.
//! 6. No signal is ever lost and no thread is ever left stopped, whichever of the three processes dies.
//! 7. A report is always produced; what could not be had is listed in its `incomplete`, with the reason.
//! 8. Everything a traced process can influence (counts, sizes, names, rates, time) has a named bound.
//!
//! `tests/e2e/architecture.rs` holds the arrows and the first three by reading the sources.

pub mod capture;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod diagnose;
pub mod ipc;
pub mod isolate;
pub mod logs;
pub mod policy;
pub mod recorder;
pub mod report;
pub mod service;
pub mod store;
pub mod supervisor;
pub mod sys;
pub mod trace;
pub mod tracer;
