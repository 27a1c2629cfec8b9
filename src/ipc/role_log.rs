//! The log of a role: its lines go to the front, beside its messages, and never wait.
//!
//! A tracer that wrote to the stderr it inherited would wait for whoever reads that, with threads held. So the roles
//! have no stderr at all: a line is one message on their socket, and is left out where the socket is full. A panic,
//! whose text would have gone to stderr too, is such a line.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic;

use env_logger::{Builder, Env, Target};
use serde::Serialize;

use crate::sys::socket;

use super::Channel;

/// The most bytes of a line.
const MAX_LINE: usize = 4096;

/// What a process has to say that is worth that level, or the one that a variable asks for.
pub fn builder(level: &str) -> Builder {
    let mut builder = Builder::from_env(Env::new().filter_or("SICKBAY_LOG", level));
    builder.format(|line, record| writeln!(line, "{}", record.args()));
    builder
}

/// Sends this process's log through `channel`, each line as `message` makes one of it.
pub fn send_through<M: Serialize + 'static>(channel: &Channel, message: fn(String) -> M) -> io::Result<()> {
    let sink = Sink {
        socket: channel.as_fd().try_clone_to_owned()?,
        message,
        left_out: 0,
    };
    builder("warn").target(Target::Pipe(Box::new(sink))).init();
    panic::set_hook(Box::new(|panic| log::error!("{panic}")));
    Ok(())
}

/// Takes log records, one for each call of `write`.
struct Sink<M> {
    socket: OwnedFd,
    message: fn(String) -> M,
    left_out: u64,
}

impl<M: Serialize> Write for Sink<M> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let kept = record.get(..MAX_LINE).unwrap_or(record);
        let mut line = String::from_utf8_lossy(kept).trim_end().to_owned();
        if self.left_out > 0 {
            line.push_str(&format!(
                " ({} lines before this one were left out)",
                self.left_out
            ));
        }
        let bytes = serde_json::to_vec(&(self.message)(line))?;
        match socket::send(self.socket.as_fd(), &bytes, &[], false) {
            Ok(()) => self.left_out = 0,
            Err(_) => self.left_out += 1,
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::Received;

    #[test]
    fn a_full_socket_costs_lines_and_no_time() {
        let (mut ours, theirs) = Channel::pair().unwrap();
        let mut sink = Sink {
            socket: theirs,
            message: |line| line,
            left_out: 0,
        };
        let record = "x".repeat(2 * MAX_LINE);
        while sink.left_out == 0 {
            sink.write_all(record.as_bytes()).unwrap();
        }
        sink.write_all(b"lost\n").unwrap();
        while let Received::Message(line, _) = ours.try_receive::<String>().unwrap() {
            assert_eq!(line.len(), MAX_LINE);
        }
        sink.write_all(b"found\n").unwrap();
        assert!(matches!(
            ours.try_receive::<String>().unwrap(),
            Received::Message(line, _) if line == "found (2 lines before this one were left out)"
        ));
    }
}
