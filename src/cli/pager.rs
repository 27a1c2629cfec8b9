//! The pager: long texts on a terminal are read through `$PAGER`, or less(1).
//!
//! `LESS=FRX` unless it is set: what fits the screen is printed without further ado, colours pass, the text stays on
//! the screen. An empty `PAGER` and `PAGER=cat` mean none. Where there is no pager the text is printed as it is.

use std::env;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{SigSet, Signal};

/// What is started where `PAGER` says nothing.
const DEFAULT: &str = "less";
/// What less(1) is told where `LESS` says nothing: quit if it fits the screen, pass colours, do not clear the screen.
const LESS: &str = "FRX";

/// Shows a text through the pager. False: there is none.
pub(super) fn show(text: &str) -> io::Result<bool> {
    let Some(mut pager) = start() else {
        return Ok(false);
    };
    // ctrl-C is for the pager, which would be left alone with the terminal.
    let _ = SigSet::from(Signal::SIGINT).thread_block();
    if let Some(mut stdin) = pager.stdin.take() {
        match stdin.write_all(text.as_bytes()) {
            // Who leaves the pager early has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
    }
    pager.wait()?;
    Ok(true)
}

fn start() -> Option<Child> {
    let wish = env::var_os("PAGER").unwrap_or_else(|| DEFAULT.into());
    let wish = wish.to_str()?.trim();
    if wish.is_empty() || wish == "cat" {
        return None;
    }
    // Through the shell, as git(1) and man(1) do: it may have arguments.
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("exec {wish}"))
        .stdin(Stdio::piped());
    if env::var_os("LESS").is_none() {
        command.env("LESS", LESS);
    }
    is_there(wish).then(|| command.spawn().ok()).flatten()
}

/// Whether the shell would find the first word: text that goes to a pager which is not there would be lost.
fn is_there(wish: &str) -> bool {
    let program = wish.split_whitespace().next().unwrap_or_default();
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\"", program])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}
