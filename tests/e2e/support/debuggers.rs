//! Other people's tools, asked what they make of a core file.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::process::run;
use super::programs::{found_in_path, skip};

/// Where Debian's lldb has the Python modules that its own start-up misses.
const LLDB_MODULES: &str = "/usr/lib/llvm-14/lib/python3.11/dist-packages";

/// Prints the current thread's id, then of every thread its id and its functions.
const GDB_CALLS: &str = "python
current = gdb.selected_thread()
for thread in [current] + [t for t in gdb.selected_inferior().threads() if t != current]:
    thread.switch()
    print('thread', thread.ptid[1])
    frame = gdb.newest_frame()
    while frame is not None:
        if frame.name() and frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            print('calls', frame.name())
        frame = frame.older()
end";

/// The same for lldb, whose scripts are one line.
const LLDB_CALLS: &str = "script p = lldb.debugger.GetSelectedTarget().process; c = p.GetSelectedThread().id; \
    [print('thread', t.id, *['\\ncalls ' + f.GetFunctionName() for f in t if not f.IsInlined() and not f.IsArtificial() \
    and 'lldb_unnamed' not in (f.GetFunctionName() or 'lldb_unnamed')]) for t in sorted(p, key=lambda t: t.id != c)]";

/// A tool that opens core files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Debugger {
    Gdb,
    Lldb,
    EuStack,
}

/// A thread of a core file as a tool shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) tid: i64,
    /// Functions from the innermost to the outermost. Those without a name, inlined ones and tail calls are
    /// left out: tools differ in which they find.
    pub(crate) functions: Vec<String>,
}

impl Calls {
    /// A thread of a report, by the same rules.
    pub(crate) fn of_report(thread: &Value) -> Self {
        let frames = thread["frames"].as_array().into_iter().flatten();
        Self {
            tid: thread["tid"].as_i64().unwrap_or_default(),
            functions: frames
                .filter(|frame| frame["inlined"] != true)
                .filter_map(|frame| frame["symbol"].as_str())
                .map(plain)
                .collect(),
        }
    }
}

impl Debugger {
    /// Those that are installed.
    pub(crate) fn installed() -> Vec<Self> {
        let all = [
            (Self::Gdb, "gdb"),
            (Self::Lldb, "lldb"),
            (Self::EuStack, "eu-stack"),
        ];
        all.into_iter()
            .filter_map(|(debugger, program)| match found_in_path(program) {
                Some(_) => Some(debugger),
                None => {
                    skip(&format!("{program} is not installed"));
                    None
                }
            })
            .collect()
    }

    /// The calls of every thread, the current thread first.
    #[track_caller]
    pub(crate) fn calls(self, program: &Path, core: &Path) -> Vec<Calls> {
        match self {
            Self::Gdb => printed(&gdb(program, core, &["set backtrace past-main on", GDB_CALLS])),
            Self::Lldb => printed(&lldb(program, core, &[LLDB_CALLS])),
            Self::EuStack => of_eu_stack(&eu_stack(program, core)),
        }
    }
}

/// What gdb prints on stdout for those commands.
#[track_caller]
pub(crate) fn gdb(program: &Path, core: &Path, commands: &[&str]) -> String {
    let mut command = Command::new("gdb");
    command.args(["-nx", "-batch", "-iex", "set debuginfod enabled off"]);
    command.args(["-iex", "set auto-load safe-path /"]);
    for line in commands {
        command.args(["-ex", line]);
    }
    run(command.arg(program).arg(core)).stdout
}

/// What lldb prints on stdout for those commands.
#[track_caller]
pub(crate) fn lldb(program: &Path, core: &Path, commands: &[&str]) -> String {
    let mut command = Command::new("lldb");
    command.env("PYTHONPATH", LLDB_MODULES).args(["-x", "-b"]);
    for line in commands {
        command.args(["-o", line]);
    }
    run(command.arg("-c").arg(core).arg(program)).stdout
}

#[track_caller]
fn eu_stack(program: &Path, core: &Path) -> String {
    run(Command::new("eu-stack")
        .arg("-i")
        .arg("--core")
        .arg(core)
        .arg("-e")
        .arg(program))
    .stdout
}

/// Reads what the two scripts print.
fn printed(text: &str) -> Vec<Calls> {
    let thread = |line: &str| line.strip_prefix("thread ")?.trim().parse().ok();
    let function = |line: &str| line.strip_prefix("calls ").map(plain);
    collect(text, thread, function)
}

/// Reads "TID 13993:" and "#1  0x000055c6efb69316 work"; of the functions at one address the last one was called.
fn of_eu_stack(text: &str) -> Vec<Calls> {
    let thread = |line: &str| line.strip_prefix("TID ")?.strip_suffix(':')?.parse().ok();
    let address = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
    let lines: Vec<&str> = text.lines().collect();
    let called = lines.iter().enumerate().filter(|(place, line)| {
        let next = lines.get(place + 1).filter(|next| next.starts_with('#'));
        !line.starts_with('#') || next.is_none_or(|next| address(next) != address(line))
    });
    let called: Vec<&str> = called.map(|(_, line)| *line).collect();
    let function = |line: &str| line.strip_prefix('#')?.split_whitespace().nth(2).map(plain);
    collect(&called.join("\n"), thread, function)
}

fn collect(
    text: &str,
    thread: impl Fn(&str) -> Option<i64>,
    function: impl Fn(&str) -> Option<String>,
) -> Vec<Calls> {
    let mut calls: Vec<Calls> = Vec::new();
    for line in text.lines() {
        if let Some(tid) = thread(line) {
            calls.push(Calls {
                tid,
                functions: Vec::new(),
            });
        } else if let Some((current, name)) = calls.last_mut().zip(function(line)) {
            current.functions.push(name);
        }
    }
    calls
}

/// A function's name without what tools differ in: parameters, the version of a symbol, the prefixes of
/// its aliases.
fn plain(name: &str) -> String {
    let name = name.split(['@', '(']).next().unwrap_or(name);
    let name = name.trim().trim_start_matches('_');
    name.strip_prefix("GI_").unwrap_or(name).to_owned()
}
