//! The README's examples: every command exists, the configuration is good, and the demonstration prints what it says.

use std::path::Path;
use std::process::Command;

use crate::support::{Raising, Sickbay, await_that, fixture, pythons, run, spawn};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn readme() -> String {
    std::fs::read_to_string(Path::new(ROOT).join("README.md")).expect("read README.md")
}

/// The blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let text = readme();
    let mut blocks = Vec::new();
    for part in text.split(&format!("```{language}\n")).skip(1) {
        blocks.push(part.split("```").next().unwrap_or_default().to_owned());
    }
    assert!(!blocks.is_empty(), "no {language} block");
    blocks
}

/// The words of every command in the console blocks, comments cut off.
fn commands() -> Vec<Vec<String>> {
    let console = blocks("console").concat();
    let lines = console.lines().filter_map(|line| line.strip_prefix("$ "));
    lines
        .map(|line| {
            line.split('#')
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect()
        })
        .collect()
}

#[test]
fn every_verb_and_option_exists() {
    for command in commands().iter().filter(|command| command[0] == "sickbay") {
        // The verb, and what may be a verb of the verb.
        let words = command[1..].iter().take_while(|word| !word.starts_with('-'));
        let help = run(Command::new(Sickbay::program()).args(words.take(2)).arg("--help"));
        assert_eq!(help.code(), 0, "{command:?}: {help:#?}");
        let own = command.iter().take_while(|word| *word != "--");
        for option in own.filter(|word| word.starts_with("--")) {
            assert!(
                help.stdout.contains(option.as_str()),
                "{command:?} has no {option}"
            );
        }
    }
}

#[test]
fn every_target_exists() {
    let makefile = std::fs::read_to_string(Path::new(ROOT).join("Makefile")).expect("read Makefile");
    for command in commands().iter().filter(|command| command[0] == "make") {
        assert!(
            makefile
                .lines()
                .any(|line| line.starts_with(&format!("{}:", command[1]))),
            "{command:?}"
        );
    }
}

#[test]
fn the_configuration_is_good() {
    let sickbay = Sickbay::new();
    for text in blocks("toml") {
        let file = sickbay.scratch().join("readme.toml");
        std::fs::write(&file, &text).unwrap();
        let outcome = run(Command::new(Sickbay::program()).arg("check").arg(&file));
        assert_eq!(outcome.code(), 0, "{outcome:#?}");
        assert!(
            outcome.stdout.contains("1 service, 0 errors, 0 warnings"),
            "{outcome:#?}"
        );
    }
}

/// Digits, paths, terminal attributes and what else differs from run to run are taken out; words stay.
fn skeleton(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let words = line.split_whitespace().filter(|word| !word.contains('/'));
        let plain = words.map(|word| word.replace("\u{1b}[1m", "").replace("\u{1b}[0m", ""));
        let letters = plain.map(|word| {
            let hexadecimal = word.contains("0x");
            if hexadecimal {
                "#".to_owned()
            } else {
                word.replace(|c: char| c.is_ascii_digit(), "")
            }
        });
        letters.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_demonstration_prints_what_the_readme_shows() {
    let outcome = run(Command::new(Path::new(ROOT).join("tests/demo"))
        .arg(Sickbay::program())
        .arg(fixture("server").parent().unwrap()));
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    let shown = skeleton(&blocks("text")[0]);
    let printed = skeleton(&outcome.stdout);
    // Ids and host names differ; which workers are busy does too.
    let varies = |line: &str| {
        ["Report", "When", "Others"]
            .iter()
            .any(|word| line.starts_with(word))
    };
    let steady = |lines: Vec<String>| lines.into_iter().filter(|line| !varies(line)).collect::<Vec<_>>();
    let (shown, printed) = (steady(shown), steady(printed));
    assert_eq!(shown.as_slice(), &printed[..shown.len().min(printed.len())]);
}

#[test]
fn isolation_comes_out_as_the_readme_shows() {
    let outcome = run(Command::new(Path::new(ROOT).join("tests/demo-isolation"))
        .arg(Sickbay::program())
        .arg(fixture("requests").parent().unwrap()));
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    assert_eq!(outcome.stdout, blocks("text")[2]);
}

#[test]
fn a_panic_comes_out_as_the_readme_shows() {
    let mut subject = Raising::start(Sickbay::new(), fixture("panicker"), &[]);
    subject.state_after("fault\n", " 1 failed");
    let said = await_that("both lines of the panic", || {
        let said = subject.supervisor.stderr_so_far();
        said.contains("parse_header").then_some(said)
    });
    let report = subject.sickbay.awaited_report();
    let panicked = said.lines().skip_while(|line| !line.contains("panicked")).take(2);
    let printed: Vec<&str> = panicked.chain([report.text("action.reason")]).collect();
    assert_eq!(skeleton(&printed.join("\n")), skeleton(&blocks("text")[3]));
}

#[test]
fn a_python_exception_comes_out_as_the_readme_shows() {
    for python in pythons("sys.version_info[:2] == (3, 11)") {
        let sickbay = Sickbay::new().option("--action", "throw");
        let outcome = sickbay.run(&python, &["-c", "import ctypes; ctypes.string_at(0)"]);
        assert_eq!(outcome.code(), 1, "{outcome:#?}");
        let printed = outcome.program_stderr();
        assert_eq!(skeleton(&printed), skeleton(&blocks("text")[4]), "{python}");
    }
}

/// What a hung process says of itself, but for names, ids and addresses.
#[test]
fn a_deadlock_is_told_as_the_readme_shows() {
    let mut program = spawn(Command::new(fixture("locks")).args(["cycle", "3"]));
    program.stdout_line("ready");
    let (_, outcome) = Sickbay::new().capture(program.pid());
    let circle = |text: &str| {
        let line = text.lines().find_map(|line| line.split_once(": deadlock: "));
        skeleton(line.expect("a line about a deadlock").1)
    };
    assert_eq!(circle(&outcome.stderr), circle(&blocks("text")[1]));
}

#[test]
fn the_picture_is_there_and_small() {
    let text = readme();
    let (_, rest) = text.split_once("![").expect("a picture");
    let (path, _) = rest.split_once("](").unwrap().1.split_once(')').unwrap();
    let size = std::fs::metadata(Path::new(ROOT).join(path))
        .expect("the picture")
        .len();
    assert!(size < 150_000, "{size} bytes");
}
