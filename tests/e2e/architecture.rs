//! The invariants of the source tree that no compiler holds, read from the sources themselves.
//!
//! The floors are those that `src/lib.rs` draws. Test modules may name what they like: everything from
//! `#[cfg(test)]` on is left out, as are comments, in which other floors may be spoken of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The modules from the highest floor to the lowest. Those in one row are neighbours and may not name each other.
const FLOORS: [&[&str]; 15] = [
    &["cli"],
    &["daemon"],
    &["supervisor"],
    &["tracer", "recorder"],
    &["service"],
    &["trace"],
    &["isolate"],
    &["logs"],
    &["store"],
    &["diagnose"],
    &["policy"],
    &["report"],
    &["ipc"],
    &["capture"],
    &["config"],
];

/// The lowest floor, which may name no other.
const GROUND: &str = "sys";

/// What may not appear in the pure modules: a live process, the file system, the clock.
const IMPURE: [&str; 9] = [
    "std::fs",
    "std::process",
    "std::net",
    "std::env",
    "SystemTime",
    "Instant::now",
    "std::time::Instant",
    "nix::",
    "libc::",
];

/// One step up to the module around.
const CLIMB: &str = "super::";

/// One source file: its path below `src/` and its code without comments and tests.
struct Source {
    path: PathBuf,
    code: String,
}

impl Source {
    /// The top-level module that the file belongs to; `lib` and `main` for themselves.
    fn module(&self) -> &str {
        let first = self
            .path
            .components()
            .next()
            .and_then(|component| component.as_os_str().to_str())
            .unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many modules the file's own lies in, itself included: 0 for the root, 1 for `sys` in `sys/mod.rs` or `sys.rs`.
    fn depth(&self) -> usize {
        let names = self.path.with_extension("");
        let names = names.iter().filter(|name| *name != "mod" && *name != "lib");
        names.count()
    }

    /// The modules on floors that the code names, from the root of the crate or climbing to it.
    fn named_modules(&self) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        for after in self
            .code
            .split("crate::")
            .skip(1)
            .chain(self.climbs_to_the_root())
        {
            match after.strip_prefix('{') {
                Some(group) => named.extend(first_names_of_group(group)),
                None => named.extend(leading_name(after)),
            }
        }
        named
    }

    /// What follows each `super::super::` that leads to the root.
    fn climbs_to_the_root(&self) -> impl Iterator<Item = &str> {
        let climbs = self.code.match_indices(CLIMB);
        let first = climbs.filter(|(place, _)| !self.code[..*place].ends_with(CLIMB));
        first.filter_map(|(place, _)| {
            let mut rest = &self.code[place..];
            let mut steps = 0;
            while let Some(after) = rest.strip_prefix(CLIMB) {
                (rest, steps) = (after, steps + 1);
            }
            (steps >= self.depth()).then_some(rest)
        })
    }

    /// The lines that contain `text`, as `path: line`.
    fn lines_with(&self, text: &str) -> Vec<String> {
        let lines = self.code.lines().filter(|line| line.contains(text));
        lines
            .map(|line| format!("{}: {}", self.path.display(), line.trim()))
            .collect()
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let code = without_comments_and_tests(&std::fs::read_to_string(&path).unwrap());
                found.push(Source {
                    path: path.strip_prefix(&root).unwrap().to_owned(),
                    code,
                });
            }
        }
    }
    assert!(found.len() > 10, "the sources are not where they are expected");
    found
}

fn without_comments_and_tests(text: &str) -> String {
    let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    code.map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The first name of each entry of a `use` group, nested groups skipped.
fn first_names_of_group(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut expects_name = true;
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expects_name = true,
            _ if expects_name && depth == 0 && !character.is_whitespace() => {
                names.extend(leading_name(&group[index..]));
                expects_name = false;
            }
            _ => {}
        }
    }
    names
}

fn leading_name(code: &str) -> Option<String> {
    let name: String = code
        .chars()
        .take_while(|character| character.is_alphanumeric() || *character == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

/// How far up a module is; none for what is not on a floor (lib, main).
fn height(module: &str) -> Option<usize> {
    if module == GROUND {
        return Some(0);
    }
    FLOORS
        .iter()
        .position(|row| row.contains(&module))
        .map(|position| FLOORS.len() - position)
}

#[track_caller]
fn assert_none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn every_module_is_on_a_floor() {
    let modules: BTreeSet<String> = sources()
        .iter()
        .map(|source| source.module().to_owned())
        .collect();
    let homeless = modules
        .into_iter()
        .filter(|module| height(module).is_none() && module != "lib" && module != "main");
    assert_none("modules that no floor names", homeless.collect());
}

#[test]
fn arrows_go_down_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = height(source.module()) else {
            continue;
        };
        for named in source.named_modules() {
            let goes_up = height(&named).is_some_and(|other| other >= own && named != source.module());
            if goes_up {
                wrong.push(format!("{} names {named}", source.path.display()));
            }
        }
    }
    assert_none("a module may name lower floors only", wrong);
}

#[test]
fn unsafe_code_is_in_sys_alone() {
    let is_unsafe = |line: &String| {
        let words = line.split(|character: char| !character.is_alphanumeric() && character != '_');
        words.into_iter().any(|word| word == "unsafe")
    };
    let elsewhere = sources().into_iter().filter(|source| source.module() != GROUND);
    let found = elsewhere.flat_map(|source| {
        source
            .lines_with("unsafe")
            .into_iter()
            .filter(is_unsafe)
            .collect::<Vec<_>>()
    });
    assert_none("unsafe outside sys", found.collect());
}

#[test]
fn policy_and_diagnose_are_pure() {
    let pure = sources()
        .into_iter()
        .filter(|source| matches!(source.module(), "policy" | "diagnose"));
    let found = pure.flat_map(|source| IMPURE.map(|text| source.lines_with(text)).concat());
    assert_none(
        "policy and diagnose touch no process, file or clock",
        found.collect(),
    );
}

#[test]
fn trace_knows_no_report_and_report_no_trace() {
    let mut found = Vec::new();
    for source in sources() {
        match source.module() {
            "trace" => found.extend(source.lines_with("report::")),
            "report" => found.extend(
                ["ptrace", "trace::", "tracer::"]
                    .map(|text| source.lines_with(text))
                    .concat(),
            ),
            _ => {}
        }
    }
    assert_none(
        "trace does not know what a report is, report not what ptrace is",
        found,
    );
}

#[test]
fn only_registers_and_their_readers_name_an_architecture() {
    let found = sources()
        .into_iter()
        .filter(|source| source.module() != GROUND && source.module() != "diagnose");
    let found = found.flat_map(|source| source.lines_with("target_arch"));
    assert_none(
        "code for one architecture belongs to sys or diagnose",
        found.collect(),
    );
}

#[test]
fn the_reader_of_these_sources_reads() {
    let named = |path: &str, code: &str| {
        let source = Source {
            path: path.into(),
            code: without_comments_and_tests(code),
        };
        source.named_modules().into_iter().collect::<Vec<_>>()
    };
    let code =
        "use crate::{sys::ids, capture::{Capture, maps}, report};\nuse crate::trace::Engine; // crate::cli\n";
    assert_eq!(named("x.rs", code), ["capture", "report", "sys", "trace"]);
    let climbs =
        "use super::super::{sys::ids, store};\nfn f() { super::near(); super::super::super::daemon::g() }\n";
    assert_eq!(named("policy/rules.rs", climbs), ["daemon", "store", "sys"]);
    assert_eq!(named("policy/rules/mod.rs", climbs), ["daemon", "store", "sys"]);
    assert_eq!(named("policy/rules/one.rs", climbs), ["daemon"]);
    assert_eq!(named("policy/mod.rs", "use super::cli;"), ["cli"]);
    assert!(height("cli") > height("tracer") && height("tracer") == height("recorder"));
    assert!(height("trace") > height("sys"));
}
