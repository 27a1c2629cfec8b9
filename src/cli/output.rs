//! What verbs print: data on stdout, messages on stderr.
//!
//! A reader that closes its end early (`| head`) has what it wanted: a broken pipe is success. Colour is for
//! terminals, and only while `NO_COLOR` is unset (no-color.org); so is the pager.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::pager;
use crate::report::escape::{escaped, json_escaped};

/// Where data goes: stdout, or a buffer in tests.
pub struct Output<'a> {
    writer: Box<dyn Write + 'a>,
    colour: bool,
    terminal: bool,
}

impl Output<'_> {
    /// Standard output.
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let terminal = stdout.is_terminal();
        Self {
            writer: Box::new(stdout.lock()),
            colour: terminal && !no_color,
            terminal,
        }
    }
}

impl<'a> Output<'a> {
    /// Any writer, without colour.
    pub fn to(writer: impl Write + 'a) -> Self {
        Self {
            writer: Box::new(writer),
            colour: false,
            terminal: false,
        }
    }

    /// Whether to use colour.
    pub fn colour(&self) -> bool {
        self.colour
    }

    /// Writes all of a text. The caller has escaped what came from a process.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        match self
            .writer
            .write_all(text.as_bytes())
            .and_then(|()| self.writer.flush())
        {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            done => done,
        }
    }

    /// Writes a text that may be long: on a terminal it is read through the pager.
    pub fn document(&mut self, text: &str) -> io::Result<()> {
        if self.terminal && pager::show(text)? {
            return Ok(());
        }
        self.text(text)
    }

    /// Writes a value as JSON, readable and without characters that act on a terminal.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let json = serde_json::to_string_pretty(value)?;
        self.text(&format!("{}\n", json_escaped(&json)))
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("colour", &self.colour)
            .finish_non_exhaustive()
    }
}

/// Writes one message to stderr: `sickbay: ...`. A closed stderr is not an error.
pub fn message(message: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "sickbay: {}", escaped(&message.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_broken_pipe_is_success_and_a_full_disk_is_not() {
        assert!(Output::to(Failing(io::ErrorKind::BrokenPipe)).text("x").is_ok());
        assert!(Output::to(Failing(io::ErrorKind::StorageFull)).text("x").is_err());
    }

    #[test]
    fn json_cannot_act_on_a_terminal() {
        let mut written = Vec::new();
        let text = "a\u{9b}31m\u{202e}\u{7f}\u{e0041}é\n";
        Output::to(&mut written).json(&text).unwrap();
        let json = String::from_utf8(written).unwrap();
        assert_eq!(json, "\"a\\u009b31m\\u202e\\u007f\\udb40\\udc41é\\n\"\n");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
