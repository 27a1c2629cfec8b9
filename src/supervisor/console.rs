//! What is said to the operator: lines on stderr, written by a thread of their own.
//!
//! Whoever reads our stderr may have stopped reading, and ctrl-S holds a terminal. A front that waited for them would
//! start no recorder, pass no signal on, and keep its caller waiting for the program's status. So lines wait in a
//! queue with a bound; past it they are counted, and the count is said when there is room again.
//!
//! The thread takes no signals. For SIGTTOU that decides more than who handles it: under `stty tostop` a job in the
//! background is stopped for what it writes, and one that catches the signal tries for ever. A thread that blocks it
//! may write (kernel, `__tty_check_change`): the job is stopped for the program's output, not for ours.
//!
//! Not taken: `O_NONBLOCK` on stderr, since its open file description is the program's and the shell's as well; a
//! description of our own from `/proc/self/fd/2`, which sockets and other users' pipes refuse.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow};

use crate::report::escape::escaped;

/// What tells our lines from those of the program that is run.
const NAME: &str = "sickbay: ";
/// The most lines that wait. Past it the newest are left out.
const MAX_LINES: usize = 1000;
/// How long a process that ends waits for its last lines to be taken.
const LAST_LINES: Duration = Duration::from_secs(1);

static CONSOLE: OnceLock<Console> = OnceLock::new();

#[derive(Default)]
struct Console {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<String>,
    left_out: u64,
    /// Whether the thread is in the middle of a line.
    busy: bool,
}

/// Says a line, soon. What a process may have chosen of it cannot act on the terminal.
pub fn say(line: &str) {
    put(NAME, line);
}

fn put(name: &str, line: &str) {
    let console = CONSOLE.get_or_init(start);
    console.lock().add(name, line);
    console.changed.notify_all();
}

/// Waits until everything is said, for a while. Nobody waits where nothing was.
pub fn finish() {
    let Some(console) = CONSOLE.get() else { return };
    let queue = console.lock();
    let unsaid = |queue: &mut Queue| queue.busy || queue.has_more();
    // What is still unsaid then, nobody reads.
    let _ = console.changed.wait_timeout_while(queue, LAST_LINES, unsaid);
}

/// Takes log records, one for each call of `write`.
#[derive(Debug)]
pub struct Log {
    name: &'static str,
}

impl Log {
    /// For a process whose stderr is read by people, or is the supervised program's as well.
    pub fn with_name() -> Self {
        Self { name: NAME }
    }

    /// For a service of the machine: the journal writes its name before each line.
    pub fn of_service() -> Self {
        let journal = std::env::var_os("JOURNAL_STREAM").is_some();
        Self {
            name: if journal { "" } else { NAME },
        }
    }
}

impl Write for Log {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        put(self.name, String::from_utf8_lossy(record).trim_end());
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start() -> Console {
    let ours = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK);
    thread::spawn(|| CONSOLE.wait().write());
    if let Ok(ours) = ours {
        let _ = ours.thread_set_mask();
    }
    Console::default()
}

impl Console {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes, for ever.
    fn write(&self) {
        let mut queue = self.lock();
        loop {
            match queue.next() {
                Some(line) => {
                    queue.busy = true;
                    drop(queue);
                    // Nobody is left to be told where stderr is closed.
                    let _ = io::stderr().lock().write_all(line.as_bytes());
                    queue = self.lock();
                }
                None => {
                    queue.busy = false;
                    self.changed.notify_all();
                    queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Queue {
    fn add(&mut self, name: &str, line: &str) {
        if self.lines.len() >= MAX_LINES {
            self.left_out += 1;
            return;
        }
        let gap = self.gap();
        self.lines.extend(gap);
        self.lines.push_back(format!("{name}{}\n", escaped(line)));
    }

    fn next(&mut self) -> Option<String> {
        self.lines.pop_front().or_else(|| self.gap())
    }

    fn has_more(&self) -> bool {
        !self.lines.is_empty() || self.left_out > 0
    }

    /// What stands in the place of the lines that were left out, once.
    fn gap(&mut self) -> Option<String> {
        match std::mem::take(&mut self.left_out) {
            0 => None,
            count => Some(format!(
                "sickbay: {count} lines were left out here: nobody read them\n"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_past_the_bound_are_counted_in_their_place() {
        let mut queue = Queue::default();
        for number in 0..MAX_LINES + 3 {
            queue.add(NAME, &format!("line {number}"));
        }
        assert_eq!(queue.next().as_deref(), Some("sickbay: line 0\n"));
        queue.add(NAME, "after");
        let rest: Vec<String> = std::iter::from_fn(|| queue.next()).collect();
        assert_eq!(rest.len(), MAX_LINES + 1);
        assert_eq!(
            rest[MAX_LINES - 1..],
            [
                "sickbay: 3 lines were left out here: nobody read them\n",
                "sickbay: after\n"
            ]
        );
        assert!(!queue.has_more());
    }

    #[test]
    fn a_gap_at_the_end_is_said_too() {
        let mut queue = Queue::default();
        for _ in 0..=MAX_LINES {
            queue.add(NAME, "line");
        }
        assert!(
            std::iter::from_fn(|| queue.next())
                .last()
                .is_some_and(|line| line.contains("1 lines"))
        );
    }
}
