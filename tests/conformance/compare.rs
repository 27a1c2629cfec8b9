//! One program, plain and supervised in each [`Way`], with equal results.
//!
//! The programs (`tests/programs/conform`) go through a scene again and again until their stdin ends, and print only
//! what does not depend on how often. So the supervisor is surely there while they do, whatever the machine's load.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{Ended, Outcome, Running, Sickbay, await_that, fixture, run, spawn};

/// How a program is supervised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// By `sickbay run`, from its first instruction.
    Started,
    /// By `sickbay attach` from a random moment on, to its end.
    Attached,
    /// By one `sickbay attach` after another, each let go after milliseconds.
    Churned,
}

impl Way {
    const ALL: [Self; 3] = [Self::Started, Self::Attached, Self::Churned];
}

/// Attachments of [`Way::Churned`] before the program is asked to come to its end.
const CHURNS: usize = 5;
/// The longest that a random moment is away: a program reaches its scene within that time.
const MOMENT: Duration = Duration::from_millis(20);
/// The longest that a churning supervisor stays, and stays away.
const STAY: Duration = Duration::from_millis(5);

/// Few reports: the suite is about programs, and one that ends many children would make one for each.
const CONFIGURATION: &str = "[[service]]\nname = \"api\"\n[service.report]\nmax_per_minute = 1\n";

/// A program of `tests/programs/conform` and what is expected of it.
pub(crate) struct Comparison {
    program: std::path::PathBuf,
    arguments: Vec<String>,
    forgives: bool,
}

/// The program of that name, which is expected to exit with 0.
pub(crate) fn compare(program: &str) -> Comparison {
    compare_path(fixture(&format!("conform/{program}")))
}

/// Any other program.
pub(crate) fn compare_path(program: std::path::PathBuf) -> Comparison {
    Comparison {
        program,
        arguments: Vec::new(),
        forgives: false,
    }
}

impl Comparison {
    /// Passes arguments to the program.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Forgives one system call that returned too early, or too late, for each time that a supervisor let go: a signal
    /// that comes within the tens of microseconds in which it does is stopped for, and not repaired.
    pub(crate) fn but_for_the_moment_of_release(mut self) -> Self {
        self.forgives = true;
        self
    }

    /// Runs it plain and in every way, and holds that nothing differs; returns what it came to.
    #[track_caller]
    pub(crate) fn in_every_way(self) -> Outcome {
        let plain = run(&mut self.command());
        assert_eq!(plain.ended, Ended::Exited(0), "unsupervised: {plain:#?}");
        for way in Way::ALL {
            let mut supervised = self.supervised(way);
            if way == Way::Churned && self.forgives {
                supervised.stdout = forgiven(&supervised.stdout);
            }
            let differences = [
                differences(&plain.stdout, &supervised.stdout),
                differences(&plain.stderr, &supervised.program_stderr()),
            ];
            assert!(
                supervised.ended == plain.ended && differences.concat().is_empty(),
                "{way:?}: {:?}\n{}\n{}",
                supervised.ended,
                differences.concat().join("\n"),
                supervised.messages().join("\n")
            );
        }
        plain
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }

    #[track_caller]
    fn supervised(&self, way: Way) -> Outcome {
        let sickbay = few_reports();
        match way {
            Way::Started => sickbay.run(&self.program, &self.arguments),
            Way::Attached => {
                let mut program = spawn(&mut self.command());
                random_pause(MOMENT);
                let (supervisor, _) = sickbay.attach(program.pid());
                program.write("\n");
                let outcome = program.finish();
                let supervisor = supervisor.finish();
                assert_eq!(supervisor.code(), 0, "{supervisor:#?}");
                outcome
            }
            Way::Churned => {
                let mut program = spawn(&mut self.command());
                for _ in 0..CHURNS {
                    random_pause(STAY);
                    attach_for_a_moment(&sickbay, &mut program);
                }
                program.close_stdin();
                // What it does last is churned too.
                attach_for_a_moment(&sickbay, &mut program);
                program.finish()
            }
        }
    }
}

/// A supervisor that writes few reports.
pub(crate) fn few_reports() -> Sickbay {
    Sickbay::new().configured(CONFIGURATION)
}

/// Attaches, stays for a moment and lets go; a program that has ended meanwhile cannot be attached.
#[track_caller]
pub(crate) fn attach_for_a_moment(sickbay: &Sickbay, program: &mut Running) {
    let mut supervisor = spawn(&mut sickbay.attach_command(program.pid()));
    let held = await_that("attached, or over", || {
        if supervisor.stderr_so_far().contains("sickbay: attached: ") {
            return Some(true);
        }
        supervisor.has_ended().then_some(false)
    });
    if held {
        random_pause(STAY);
        supervisor.signal(Signal::SIGINT);
    }
    let outcome = supervisor.finish();
    assert!(
        program.has_ended() || outcome.code() == 0,
        "while churning: {outcome:#?}"
    );
}

/// `CALL: interrupted N times of M`, where N is nearly 0 or nearly M, as the programs say it where it is exactly that.
fn forgiven(output: &str) -> String {
    let say = |line: &str| {
        let (call, counts) = line.split_once(": interrupted ")?;
        let (interrupted, sent) = counts.split_once(" times of ")?;
        let (interrupted, sent): (usize, usize) = (interrupted.parse().ok()?, sent.parse().ok()?);
        match (interrupted, sent.checked_sub(interrupted)?) {
            (0..=CHURNS, left) if left > interrupted => Some(format!("{call}: never interrupted\n")),
            (_, 0..=CHURNS) => Some(format!("{call}: interrupted each time\n")),
            _ => None,
        }
    };
    let lines = output.lines();
    lines
        .map(|line| say(line).unwrap_or_else(|| format!("{line}\n")))
        .collect()
}

/// The lines that only one of two outputs has, in order.
fn differences(plain: &str, supervised: &str) -> Vec<String> {
    let missing = |here: &str, elsewhere: &str, sign: char| {
        let others: Vec<&str> = elsewhere.lines().collect();
        let lines = here.lines().filter(|line| !others.contains(line));
        lines.map(|line| format!("{sign} {line}")).collect::<Vec<_>>()
    };
    let mut found = missing(plain, supervised, '-');
    found.extend(missing(supervised, plain, '+'));
    if found.is_empty() && plain != supervised {
        found.push(format!(
            "the same lines in another order or number:\n{plain}\n--\n{supervised}"
        ));
    }
    found
}

/// Waits for up to that time, by chance.
pub(crate) fn random_pause(longest: Duration) {
    let nanoseconds = u32::try_from(longest.as_nanos()).expect("a short time");
    let chance = getrandom::u32().expect("randomness") % nanoseconds;
    std::thread::sleep(Duration::from_nanos(chance.into()));
}
