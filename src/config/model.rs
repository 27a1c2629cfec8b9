//! The values that the rest of the program works with. Defaults live here, and nowhere else.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Action, Ladder, Size, Span};
use crate::sys::SigNo;

/// Everything that is configured. The default has no service: nothing configured means nothing attached.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Config {
    /// Where reports are kept.
    pub store: Store,
    /// What is to be supervised, in the order of the files.
    pub services: Vec<Service>,
}

/// `[store]`: where reports are kept.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Store {
    /// The state directory. None: the default for the user that runs Sickbay.
    pub state_dir: Option<PathBuf>,
    /// How much is kept.
    pub retention: Retention,
}

/// How much of the reports is kept, in `[store]`. 0 is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Retention {
    /// At most so much disk for all reports.
    pub max_size: Size,
    /// So much of the file system stays free.
    pub keep_free: Size,
    /// Older reports go.
    pub max_age: Span,
    /// At most so much disk for the reports of one service.
    pub service_max_size: Size,
    /// At most that many reports of one service.
    pub service_max_reports: u32,
}

/// `[[service]]`: one thing to watch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Its name in reports and on the command line; unique.
    pub name: String,
    /// How its processes are found. None: `run` and `attach` name them, and take the rest by `--name`.
    pub target: Option<Target>,
    /// Whether processes that it forks belong to it.
    pub children: bool,
    /// What to do with a fault that no rule matches.
    pub on_fault: Ladder,
    /// Exceptions to `on_fault`; the first that matches decides.
    pub rules: Vec<Rule>,
    /// Limits of what is done to threads.
    pub isolation: Isolation,
    /// Frames to which a thread may return, before those that are known.
    pub rescues: Vec<Rescue>,
    /// What goes into its reports.
    pub report: ReportOptions,
    /// Which log lines go into its reports.
    pub logs: Logs,
    /// For how long a capture may wait for the other threads to stop.
    pub freeze_timeout: Span,
    /// How many stops a second, for seconds on end, are too many; 0 for no limit.
    pub stop_rate: u32,
    /// What happens then.
    pub on_stop_rate: OnStopRate,
}

/// What happens to a service that stops too often.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnStopRate {
    /// It is said once.
    Warn,
    /// The service is let go of, and runs on unsupervised.
    Release,
}

/// How the processes of a service are found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A systemd unit.
    Unit(String),
    /// A control group, relative to the root of the cgroup file system.
    Cgroup(String),
    /// A process id.
    Pid(i32),
    /// A file that holds a process id.
    PidFile(PathBuf),
    /// The path of an executable.
    Exe(PathBuf),
    /// A regular expression on the command line.
    Command(String),
}

/// `[[service.rule]]`: what to do with faults that match all of its conditions. An empty condition matches all.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Rule {
    /// Signals, any of which matches.
    pub signals: Vec<SigNo>,
    /// Patterns for the thread's name (`*` any text, `?` one character), any of which matches.
    pub threads: Vec<String>,
    /// Patterns for the file name of the module that faulted.
    pub modules: Vec<String>,
    /// Patterns for the name of the function that faulted.
    pub functions: Vec<String>,
    /// Patterns for the cause, as reports call it.
    pub causes: Vec<String>,
    /// What to do.
    pub action: Ladder,
    /// Another signal to deliver in place of the fault's own, where that was sent or raised by a call.
    pub deliver_as: Option<SigNo>,
    /// Where the rule is written, if in a file.
    pub origin: Option<Origin>,
}

/// A place in a configuration file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// The file as it was named.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

/// `[service.isolation]`: limits of what is done to threads that fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Isolation {
    /// For how long a thread is held, and the others are watched, before it ends or sleeps for good.
    pub probation: Span,
    /// How many threads whose names differ by numbers alone a process may lose within a minute.
    pub threads_per_group: u32,
    /// How many threads a process may lose within ten minutes.
    pub threads_per_process: u32,
    /// How many errors are thrown, and returns made, within a second for faults at one place.
    pub throws_per_second: u32,
    /// Whether the connection that was being served is shut down after a return.
    pub shutdown: bool,
}

/// `[[service.rescue]]`: a frame to which a thread that faults may return. An empty condition matches all; one of them
/// is not empty.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Rescue {
    /// Patterns for the file name of the module that the frame is in.
    pub modules: Vec<String>,
    /// Patterns for the name of its function.
    pub functions: Vec<String>,
    /// What its call returns there.
    pub value: i64,
}

/// `[service.report]`: what goes into the reports of a service.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ReportOptions {
    /// The renderings to write.
    pub formats: Vec<Format>,
    /// How much memory a core holds.
    pub core: CoreExtent,
    /// At most that many bytes of memory in a core that is not compact.
    pub core_limit: Size,
    /// For how long a core or minidump of a fault does for others of the same fingerprint; 0: each has its own.
    pub dump_interval: Span,
    /// Names of environment variables that may be recorded (`*` any text); all others stay in the process.
    pub environment: Vec<String>,
    /// Whether memory is looked up that the program asked to leave out of cores.
    pub dontdump: DontDump,
    /// What is recorded of the command line.
    pub cmdline: Cmdline,
    /// Whether open files are listed.
    pub files: bool,
    /// At most that many bytes of stack of each thread that did not fault.
    pub thread_stack: Size,
    /// At most that many bytes of the faulting thread's stack.
    pub fault_stack: Size,
    /// At most that many bytes in one capture, all threads together.
    pub memory: Size,
    /// At most that many reports within a minute; past it faults are counted, not recorded.
    pub max_per_minute: u32,
    /// Which ends without a fault leave a record of kind `exit`.
    pub exits: Exits,
}

/// A rendering of a report.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `report.json`, the model itself.
    Json,
    /// `report.txt`, for people.
    Text,
    /// `report.html`, one page for a browser.
    Html,
    /// `core.zst`.
    Core,
    /// `minidump.dmp`.
    Minidump,
}

/// How much memory a core holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoreExtent {
    /// What the report's own capture holds: stacks, memory around registers, what leads to the libraries.
    #[default]
    Compact,
    /// Private memory that the program may write: heap, data and stacks as a whole.
    Data,
    /// All that the process's coredump_filter admits (core(5)).
    Full,
}

/// A name that is no format.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown format '{0}'; known are json, text, html, core, minidump")]
pub struct UnknownFormat(pub String);

/// What is recorded of a command line, which may hold secrets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cmdline {
    /// All of it: `true`.
    Full,
    /// The program's name and how many arguments it had: `"mask"`.
    Mask,
    /// Nothing: `false`.
    Off,
}

/// Whether memory is looked up that the program asked to leave out of cores (`MADV_DONTDUMP`). All threads wait
/// meanwhile: some 13 ms for each GB that is resident.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DontDump {
    /// Where it takes a few milliseconds at most.
    Auto,
    /// Always.
    Always,
}

/// Which ends without a fault leave a record of kind `exit`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exits {
    /// Ends by a signal that no stop announced: SIGKILL, out of memory, seccomp kill.
    Signals,
    /// Those, and exit statuses other than 0.
    Failures,
    /// None.
    None,
}

/// `[service.logs]`: which log lines go into reports.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Logs {
    /// Whether the journal's lines are read, for a process that belongs to a unit.
    pub journal: bool,
    /// Patterns of log files, absolute.
    pub files: Vec<String>,
}

/// Variables that say how a program was set up and hold no secrets.
const HARMLESS_VARIABLES: [&str; 9] = [
    "PATH", "LANG", "LANGUAGE", "LC_*", "TZ", "HOME", "USER", "SHELL", "TERM",
];

impl Service {
    /// What `run` and `attach` use when nothing is configured under that name: every default, children included.
    pub fn for_run(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            target: None,
            children: true,
            on_fault: Ladder::default(),
            rules: Vec::new(),
            isolation: Isolation::default(),
            rescues: Vec::new(),
            report: ReportOptions::default(),
            logs: Logs::default(),
            freeze_timeout: Span::millis(100),
            stop_rate: 2000,
            on_stop_rate: OnStopRate::Warn,
        }
    }
}

impl Service {
    /// Whether a decision needs more than the signal and the names: somebody asks for an action on the thread, or a rule
    /// asks where or why it faulted.
    pub fn looks_closely(&self) -> bool {
        let asks =
            |rule: &Rule| !(rule.modules.is_empty() && rule.functions.is_empty() && rule.causes.is_empty());
        self.isolates() || self.rules.iter().any(asks)
    }

    /// Whether anything may be done to a thread that faulted, but to give it its signal.
    pub fn isolates(&self) -> bool {
        let ladders = std::iter::once(&self.on_fault).chain(self.rules.iter().map(|rule| &rule.action));
        let mut actions = ladders.flat_map(|ladder| &ladder.0);
        actions.any(|action| !matches!(action, Action::Deliver | Action::Suppress))
    }
}

impl Default for Service {
    /// The defaults of every key, without a name.
    fn default() -> Self {
        Self::for_run("")
    }
}

impl Config {
    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}

impl Target {
    /// Every key that can name a target.
    pub const KEYS: [&'static str; 6] = ["unit", "cgroup", "pid", "pid_file", "exe", "command"];

    /// The key that names this target in a file.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Unit(_) => "unit",
            Self::Cgroup(_) => "cgroup",
            Self::Pid(_) => "pid",
            Self::PidFile(_) => "pid_file",
            Self::Exe(_) => "exe",
            Self::Command(_) => "command",
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            max_size: Size::mib(4096),
            keep_free: Size::mib(1024),
            max_age: Span::days(90),
            service_max_size: Size::mib(1024),
            service_max_reports: 1000,
        }
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            journal: true,
            files: Vec::new(),
        }
    }
}

impl Default for Isolation {
    fn default() -> Self {
        Self {
            probation: Span::millis(5000),
            threads_per_group: 1,
            threads_per_process: 3,
            throws_per_second: 10,
            shutdown: false,
        }
    }
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self {
            formats: vec![Format::Json, Format::Text],
            core: CoreExtent::Compact,
            core_limit: Size::gib(32),
            environment: HARMLESS_VARIABLES.map(str::to_owned).to_vec(),
            dontdump: DontDump::Auto,
            cmdline: Cmdline::Full,
            files: true,
            thread_stack: Size::kib(64),
            fault_stack: Size::mib(1),
            memory: Size::mib(64),
            dump_interval: Span::millis(600_000),
            max_per_minute: 30,
            exits: Exits::Signals,
        }
    }
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::Json, Self::Text, Self::Html, Self::Core, Self::Minidump];

    /// The name in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Html => "html",
            Self::Core => "core",
            Self::Minidump => "minidump",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::from_name(text).ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key();
        match self {
            Self::Unit(name) | Self::Cgroup(name) | Self::Command(name) => write!(f, "{key} {name}"),
            Self::Pid(pid) => write!(f, "{key} {pid}"),
            Self::PidFile(path) | Self::Exe(path) => write!(f, "{key} {}", path.display()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Action;

    #[test]
    fn formats_are_named_alike_everywhere() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
            assert_eq!(serde_json::to_string(&format).unwrap(), format!("\"{format}\""));
            let message = UnknownFormat(String::new()).to_string();
            assert!(message.contains(format.name()), "{message}");
        }
    }

    #[test]
    fn a_configuration_survives_the_way_between_processes() {
        let mut service = Service::for_run("api");
        service.target = Some(Target::PidFile("/run/api.pid".into()));
        service.rules = vec![Rule {
            signals: vec![SigNo::SEGV],
            threads: vec!["worker-*".into()],
            action: Ladder(vec![Action::Suppress, Action::Deliver]),
            origin: Some(Origin {
                file: "/etc/x.toml".into(),
                line: 3,
            }),
            ..Rule::default()
        }];
        let config = Config {
            store: Store {
                state_dir: Some("/x".into()),
                retention: Retention::default(),
            },
            services: vec![service],
        };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    }
}
