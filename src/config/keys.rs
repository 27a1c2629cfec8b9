//! Every key of a configuration file, by section. An unknown key is one that is not here.

/// A table of the file and the keys that it may hold.
pub(super) struct Section {
    /// How messages name it.
    pub(super) title: &'static str,
    /// Its keys; tables within it are keys, too.
    pub(super) keys: &'static [&'static str],
}

pub(super) const TOP: Section = Section {
    title: "the file",
    keys: &["store", "service"],
};

pub(super) const STORE: Section = Section {
    title: "[store]",
    keys: &[
        "state_dir",
        "max_size",
        "keep_free",
        "max_age",
        "service_max_size",
        "service_max_reports",
    ],
};

pub(super) const SERVICE: Section = Section {
    title: "[[service]]",
    keys: &[
        "name",
        "unit",
        "cgroup",
        "pid",
        "pid_file",
        "exe",
        "command",
        "children",
        "on_fault",
        "freeze_timeout",
        "stop_rate",
        "on_stop_rate",
        "rule",
        "isolation",
        "rescue",
        "report",
        "logs",
    ],
};

pub(super) const RULE: Section = Section {
    title: "[[service.rule]]",
    keys: &[
        "signals",
        "threads",
        "module",
        "function",
        "cause",
        "action",
        "deliver_as",
    ],
};

pub(super) const ISOLATION: Section = Section {
    title: "[service.isolation]",
    keys: &[
        "probation",
        "threads_per_group",
        "threads_per_process",
        "throws_per_second",
        "shutdown",
    ],
};

pub(super) const RESCUE: Section = Section {
    title: "[[service.rescue]]",
    keys: &["caller_module", "caller_function", "return"],
};

pub(super) const REPORT: Section = Section {
    title: "[service.report]",
    keys: &[
        "formats",
        "core",
        "core_limit",
        "dump_interval",
        "dontdump",
        "environment",
        "cmdline",
        "files",
        "thread_stack",
        "fault_stack",
        "memory",
        "max_per_minute",
        "exits",
    ],
};

pub(super) const LOGS: Section = Section {
    title: "[service.logs]",
    keys: &["journal", "files"],
};

/// Every section.
pub(super) const ALL: [Section; 8] = [TOP, STORE, SERVICE, RULE, ISOLATION, RESCUE, REPORT, LOGS];

/// The title of the first section that knows this key.
pub(super) fn home_of(key: &str) -> Option<&'static str> {
    ALL.into_iter()
        .find(|section| section.keys.contains(&key))
        .map(|section| section.title)
}
