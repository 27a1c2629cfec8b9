//! Terminal job control: a supervised program is stopped, resumed and interrupted from the keyboard as ever.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use nix::unistd::Pid;

use crate::support::{DEADLINE, Running, Sickbay, await_that, fixture, found_in_path, skip, spawn};

const INTERRUPT: &str = "\u{3}";
const QUIT: &str = "\u{1c}";
const SUSPEND: &str = "\u{1a}";
const END_OF_FILE: &str = "\u{4}";

/// An interactive shell on a terminal of its own.
struct Terminal {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    shell_group: Option<Pid>,
    _shell: Running,
}

impl Terminal {
    fn with_shell() -> Self {
        let pair = nix::pty::openpty(None, None).expect("a pseudoterminal");
        let slave = nix::unistd::ttyname(&pair.slave).expect("the terminal's name");
        // setsid --ctty makes its stdin the controlling terminal of the new session.
        let script = "exec setsid --ctty bash --norc --noprofile --noediting -i <\"$0\" >\"$0\" 2>&1";
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script])
            .arg(slave)
            .env("PS1", "")
            .env("TERM", "dumb");
        let shell = spawn(&mut command);

        let keyboard = File::from(pair.master);
        let mut source = keyboard.try_clone().expect("the terminal twice");
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = source.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut terminal = Self {
            keyboard,
            screen,
            seen: String::new(),
            shell_group: None,
            _shell: shell,
        };
        terminal.type_in("stty -echo; PS1=; echo terminal-is-$((40 + 2))\n");
        terminal.expect("terminal-is-42");
        terminal.shell_group = Some(terminal.foreground_group());
        terminal
    }

    fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("type");
    }

    fn foreground_group(&self) -> Pid {
        nix::unistd::tcgetpgrp(&self.keyboard).expect("the terminal's foreground process group")
    }

    /// Presses a key that ends the foreground job, and waits until the shell has the terminal again.
    ///
    /// The kernel throws away what is typed before it has handled such a key.
    #[track_caller]
    fn end_job_by(&mut self, key: &str) {
        self.type_in(key);
        await_that("the shell to take the terminal", || {
            (Some(self.foreground_group()) == self.shell_group).then_some(())
        });
    }

    /// Waits until the screen shows `text` after everything expected before.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            if let Some(position) = self.seen.find(text) {
                self.seen.drain(..position + text.len());
                return;
            }
            let rest = DEADLINE.checked_sub(start.elapsed());
            match self.screen.recv_timeout(rest.unwrap_or_default()) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("waited for {text:?}; the screen shows {:?}", self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the terminal closed; it shows {:?}", self.seen)
                }
            }
        }
    }
}

/// A `cat` started by this prefix behaves at the keyboard as `cat` does.
fn keyboard_session(prefix: &str) {
    let mut terminal = Terminal::with_shell();
    terminal.type_in(&format!("{prefix} cat\n"));
    terminal.type_in("first line\n");
    terminal.expect("first line");

    for round in ["one", "two"] {
        terminal.type_in(SUSPEND);
        terminal.expect("Stopped");
        terminal.type_in("echo shell-has-the-terminal-$((40 + 2))\n");
        terminal.expect("shell-has-the-terminal-42");
        terminal.type_in("fg\n");
        terminal.expect("cat");
        terminal.type_in(&format!("resumed {round}\n"));
        terminal.expect(&format!("resumed {round}"));
    }

    terminal.end_job_by(INTERRUPT);
    terminal.type_in("echo status-$?\n");
    terminal.expect("status-130");

    // A program may stop itself as well.
    terminal.type_in(&format!(
        "{prefix} bash -c 'kill -STOP $$; echo went-on-$((40 + 2))'\n"
    ));
    terminal.expect("Stopped");
    terminal.type_in("echo shell-has-the-terminal-$((40 + 2))\n");
    terminal.expect("shell-has-the-terminal-42");
    terminal.type_in("bg\n");
    terminal.expect("went-on-42");
    terminal.type_in("wait; echo status-$?\n");
    terminal.expect("status-0");

    terminal.type_in(&format!("{prefix} cat\n"));
    terminal.type_in("second program\n");
    terminal.expect("second program");
    terminal.end_job_by(QUIT);
    terminal.type_in("echo status-$?\n");
    terminal.expect("status-131");

    // In the background it is stopped as soon as it reads from the terminal.
    terminal.type_in(&format!("{prefix} cat &\n"));
    terminal.type_in("until jobs | grep -q Stopped; do :; done; echo stopped-in-background-$((40 + 2))\n");
    terminal.expect("stopped-in-background-42");
    terminal.type_in("fg\n");
    terminal.expect("cat");
    terminal.type_in("in the foreground\n");
    terminal.expect("in the foreground");
    terminal.end_job_by(END_OF_FILE);
    terminal.type_in("echo status-$?\n");
    terminal.expect("status-0");
}

/// `stty tostop` stops a job in the background for what the program writes, not for what we have to say about it.
#[test]
fn lines_from_the_background_neither_stop_nor_spin() {
    if !has_what_it_needs() {
        return skip("bash or setsid is not installed");
    }
    let sickbay = Sickbay::new();
    let run = format!(
        "{} run --state-dir {} --",
        Sickbay::program().display(),
        sickbay.state().display()
    );
    let mut terminal = Terminal::with_shell();
    terminal.type_in("stty tostop\n");
    terminal.type_in(&format!("{run} {} null-write &\n", fixture("die").display()));
    terminal.type_in("wait $!; echo status-$?\n");
    terminal.expect("took SIGSEGV");
    terminal.expect("status-139");

    terminal.type_in(&format!("{run} echo written &\n"));
    terminal.type_in("until jobs | grep -q Stopped; do :; done; echo stopped-in-background-$((40 + 2))\n");
    terminal.expect("stopped-in-background-42");
    terminal.type_in("fg\n");
    terminal.expect("written");
}

fn has_what_it_needs() -> bool {
    ["bash", "setsid"]
        .iter()
        .all(|program| found_in_path(program).is_some())
}

#[test]
fn keyboard_without_a_supervisor() {
    if !has_what_it_needs() {
        return skip("bash or setsid is not installed");
    }
    keyboard_session("");
}

#[test]
fn keyboard_under_a_supervisor() {
    if !has_what_it_needs() {
        return skip("bash or setsid is not installed");
    }
    let sickbay = Sickbay::new();
    let (program, state) = (Sickbay::program().display(), sickbay.state());
    keyboard_session(&format!(
        "{program} run --quiet --state-dir {} --",
        state.display()
    ));
}
