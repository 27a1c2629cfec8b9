//! `report.html`: a report as one page that needs nothing else.
//!
//! The page is made by a template that is compiled in. It has no external resource, and its policy (CSP) lets a browser
//! run the one script in it and nothing else, whatever a process has put into its names. Without the script everything
//! is there; with it threads can be searched and folded at once.

mod frames;
mod graph;
mod memory;
mod process;
mod text;
mod threads;

use askama::Template;

use super::model::Report;
use super::wording::head::{event, facts};
use super::wording::locks::{holder, waiters};
use super::wording::place::in_module;
use super::wording::thread::{doing, title};
use frames::Frames;
use graph::Graph;
use memory::{CodeRow, Dump, RegisterRow, StackWords};
use process::{LogRow, MapRow, Pair, PhaseRow};
use text::Text;
use threads::Threads;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// The hashes of both, as the policy names them: `sha256-` and base64. A test says the right ones.
const STYLE_HASH: &str = "sha256-yybh+xZWb4EjVQXEes4BdHv6XDd3KD7aZAc5WOgRYOU=";
const SCRIPT_HASH: &str = "sha256-+O4riEPV2iefh1kpwaJfwxziZI48EfHG5WQ5NgptglE=";
/// Locks that a page lists.
const MAX_LOCKS: usize = 1024;

/// Everything that the page shows.
#[derive(Template)]
#[template(path = "report.html", config = "src/report/html/askama.toml")]
struct Page {
    style: &'static str,
    script: &'static str,
    style_hash: &'static str,
    script_hash: &'static str,
    event: Text,
    cause: Text,
    kind: &'static str,
    facts: Vec<Pair>,
    faulting: Option<Faulting>,
    dumps: Vec<Dump>,
    code: Vec<CodeRow>,
    deadlocks: Vec<Text>,
    graph: Option<Graph>,
    locks: Vec<LockRow>,
    logs: Vec<LogRow>,
    log_note: Text,
    threads: Threads,
    map: Vec<MapRow>,
    files: Vec<Pair>,
    limits: Vec<Pair>,
    environment: Vec<Pair>,
    modules: Vec<Pair>,
    identity: Vec<Pair>,
    attachments: Vec<Pair>,
    pause: Text,
    phases: Vec<PhaseRow>,
    missing: Vec<Pair>,
}

/// The thread that took the signal.
struct Faulting {
    title: Text,
    doing: Text,
    frames: Frames,
    registers: Vec<RegisterRow>,
    stack: StackWords,
}

/// A lock.
struct LockRow {
    kind: Text,
    address: Text,
    place: Text,
    holder: Text,
    waiters: Text,
}

/// Renders a report as a page.
///
/// # Errors
///
/// Formatting into memory does not fail; the error is the template's.
pub fn render(report: &Report) -> Result<String, askama::Error> {
    Page::of(report).render()
}

impl Page {
    fn of(report: &Report) -> Self {
        let code = memory::code(report);
        let (pause, phases) = process::pause(report);
        Self {
            style: STYLE,
            script: SCRIPT,
            style_hash: STYLE_HASH,
            script_hash: SCRIPT_HASH,
            event: event(report).into(),
            cause: report.fault.cause.as_deref().unwrap_or_default().into(),
            kind: kind(report),
            facts: facts(report)
                .into_iter()
                .map(|fact| Pair {
                    name: fact.label.into(),
                    value: fact.text.into(),
                })
                .collect(),
            faulting: Faulting::of(report),
            dumps: memory::dumps(report, !code.is_empty()),
            code,
            deadlocks: report
                .deadlocks
                .iter()
                .take(MAX_LOCKS)
                .map(|deadlock| deadlock.detail.as_deref().unwrap_or_default().into())
                .collect(),
            graph: Graph::of(report),
            locks: report
                .locks
                .iter()
                .take(MAX_LOCKS)
                .map(|lock| LockRow::of(report, lock))
                .collect(),
            logs: process::logs(report),
            log_note: report.log_note.as_deref().unwrap_or_default().into(),
            threads: Threads::of(report),
            map: process::map(report),
            files: process::files(report),
            limits: process::limits(report),
            environment: process::environment(report),
            modules: process::modules(report),
            identity: process::identity(report),
            attachments: process::attachments(report),
            pause,
            phases,
            missing: process::missing(report),
        }
    }
}

impl Faulting {
    fn of(report: &Report) -> Option<Self> {
        let thread = report.faulting_thread()?;
        Some(Self {
            title: title(thread).into(),
            doing: doing(report, thread).into(),
            frames: Frames::of(report, thread),
            registers: memory::registers(report, thread),
            stack: StackWords::of(report, thread),
        })
    }
}

impl LockRow {
    fn of(report: &Report, lock: &super::model::Lock) -> Self {
        let place = report
            .module_at(lock.address)
            .map(|_| in_module(report, lock.address));
        Self {
            kind: lock.kind.as_deref().unwrap_or("lock").into(),
            address: lock.address.into(),
            place: place.unwrap_or_default().into(),
            holder: holder(report, lock).into(),
            waiters: waiters(report, lock).into(),
        }
    }
}

fn kind(report: &Report) -> &'static str {
    use super::model::Kind;
    match report.kind {
        Kind::Fault | Kind::Unknown => "fault",
        Kind::Exit => "exit",
        Kind::Capture => "capture",
    }
}

#[cfg(test)]
mod tests;
