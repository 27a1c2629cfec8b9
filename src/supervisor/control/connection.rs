//! One client: lines in, lines out, within bounds.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;

use crate::sys::Pid;

use super::http;
use super::message::{Answer, Failure, Reason, Request};

/// The longest request, bytes.
const MAX_REQUEST: usize = 4096;
/// The most bytes that wait for a client to read them.
const MAX_ANSWER: usize = 4 << 20;
/// How long a client may leave us waiting for its next byte, or with bytes that it does not read.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer may take us; past it the client is told so by the end of its connection.
const WORK: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    user: u32,
    peer: Pid,
    trusted: bool,
    received: Vec<u8>,
    unsent: Vec<u8>,
    /// Whether a request is being answered.
    busy: bool,
    /// Whether that is a request over HTTP.
    http: bool,
    closed: bool,
    deadline: Instant,
}

impl Connection {
    pub(super) fn new(stream: UnixStream, now: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let credentials = getsockopt(&stream, PeerCredentials)?;
        let (user, peer) = (credentials.uid(), Pid(credentials.pid()));
        Ok(Self {
            stream,
            user,
            peer,
            trusted: (user == 0 || user == geteuid().as_raw()) && is_of_our_namespace(peer),
            received: Vec::new(),
            unsent: Vec::new(),
            busy: false,
            http: false,
            closed: false,
            deadline: now + PATIENCE,
        })
    }

    /// The process that connected, as our pid namespace calls it.
    pub(super) fn peer(&self) -> Pid {
        self.peer
    }

    pub(super) fn user(&self) -> u32 {
        self.user
    }

    /// Whether it is root, or the user that this daemon runs as, and in our pid namespace: who could end it as well.
    pub(super) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// What it is waited for; nothing while it waits for us, for poll(2) tells of an end whether asked or not.
    pub(super) fn source(&self) -> Option<PollFd<'_>> {
        let events = if !self.unsent.is_empty() {
            PollFlags::POLLOUT
        } else if !self.busy {
            PollFlags::POLLIN
        } else {
            return None;
        };
        Some(PollFd::new(self.stream.as_fd(), events))
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether it is gone, or has had its time.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.deadline || (self.closed && !self.busy && self.unsent.is_empty())
    }

    /// Sends what is unsent, then reads the next request.
    pub(super) fn advance(&mut self, now: Instant) -> Result<Option<Request>, Failure> {
        self.send(now);
        if self.busy || !self.unsent.is_empty() {
            return Ok(None);
        }
        self.receive(now)?;
        let Some(end) = self.end_of_request() else {
            return Ok(None);
        };
        let text: Vec<u8> = self.received.drain(..end).collect();
        self.http = text.starts_with(http::GET);
        let request = if self.http {
            // Monitoring asks for its numbers, under whatever path.
            Request::Metrics
        } else {
            serde_json::from_slice(&text).map_err(|error| Failure {
                reason: Reason::Malformed,
                message: format!("not a request: {error}"),
            })?
        };
        self.busy = true;
        self.deadline = now + WORK;
        Ok(Some(request))
    }

    /// Sends an answer, as far as the client takes it now.
    pub(super) fn answer(&mut self, answer: &Answer, now: Instant) {
        self.busy = false;
        self.deadline = now + PATIENCE;
        if self.http {
            self.closed = true;
            self.unsent.extend(http::response(answer));
            return self.send(now);
        }
        match serde_json::to_vec(answer) {
            Ok(bytes) if bytes.len() <= MAX_ANSWER => self.unsent.extend(bytes),
            // Better no answer than half of one.
            _ => self.closed = true,
        }
        self.unsent.push(b'\n');
        self.send(now);
    }

    fn send(&mut self, now: Instant) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => {
                    self.unsent.drain(..sent);
                    self.deadline = now + PATIENCE;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.unsent.clear();
                    self.closed = true;
                }
            }
        }
    }

    /// How many of the received bytes are the next request, if it is whole.
    fn end_of_request(&self) -> Option<usize> {
        let end: &[u8] = if self.received.starts_with(http::GET) {
            http::END
        } else {
            b"\n"
        };
        let place = self.received.windows(end.len()).position(|bytes| bytes == end);
        place.map(|place| place + end.len())
    }

    fn receive(&mut self, now: Instant) -> Result<(), Failure> {
        let mut bytes = [0; 1024];
        while self.end_of_request().is_none() {
            match self.stream.read(&mut bytes) {
                Ok(0) => {
                    self.closed = true;
                    return Ok(());
                }
                Ok(length) => {
                    self.received
                        .extend_from_slice(bytes.get(..length).unwrap_or_default());
                    self.deadline = now + PATIENCE;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => {
                    self.closed = true;
                    return Ok(());
                }
            }
            if self.received.len() > MAX_REQUEST {
                self.received.clear();
                self.closed = true;
                return Err(Failure {
                    reason: Reason::Malformed,
                    message: format!("a request is at most {MAX_REQUEST} bytes"),
                });
            }
        }
        Ok(())
    }
}

/// Whether a process is in our pid namespace and in none below it, as root in a container is.
fn is_of_our_namespace(peer: Pid) -> bool {
    fs::read_to_string(format!("/proc/{peer}/status")).is_ok_and(|status| has_one_id(&status))
}

/// One for each pid namespace that it is in, from ours down (proc(5)).
fn has_one_id(status: &str) -> bool {
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    ids.is_some_and(|ids| ids.split_whitespace().count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Connection::new(ours, Instant::now()).unwrap(), theirs)
    }

    #[test]
    fn a_request_is_a_line_and_the_next_waits_for_its_answer() {
        let (mut connection, mut client) = pair();
        let now = Instant::now();
        client.write_all(b"{\"verb\":\"rel").unwrap();
        assert_eq!(connection.advance(now).unwrap(), None);
        client.write_all(b"oad\"}\n{\"verb\":\"status\"}\n").unwrap();
        assert_eq!(connection.advance(now).unwrap(), Some(Request::Reload));
        assert_eq!(connection.advance(now).unwrap(), None);
        connection.answer(&Answer::Done, now);
        assert_eq!(
            connection.advance(now).unwrap(),
            Some(Request::Status { service: None })
        );
        let mut answer = [0; 64];
        let length = client.read(&mut answer).unwrap();
        assert_eq!(&answer[..length], b"\"done\"\n");
    }

    #[test]
    fn root_of_a_container_is_not_trusted() {
        assert!(has_one_id("Tgid:\t812\nNSpid:\t812\n"));
        assert!(!has_one_id("Tgid:\t812\nNSpid:\t812\t1\n"));
        assert!(!has_one_id(""));
        assert!(
            !is_of_our_namespace(Pid(0)),
            "of a namespace that is not below ours"
        );
        assert!(pair().0.is_trusted());
    }

    #[test]
    fn monitoring_may_ask_over_http() {
        let (mut connection, mut client) = pair();
        let now = Instant::now();
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n").unwrap();
        assert_eq!(connection.advance(now).unwrap(), None);
        client.write_all(b"\r\n").unwrap();
        assert_eq!(connection.advance(now).unwrap(), Some(Request::Metrics));
        connection.answer(&Answer::Metrics("a 1\n".to_owned()), now);
        assert!(connection.is_over(now));
        drop(connection);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("Content-Length: 4\r\n\r\na 1\n"), "{answer}");
    }

    #[test]
    fn nonsense_is_answered_and_an_endless_line_ends_the_connection() {
        let (mut connection, mut client) = pair();
        let now = Instant::now();
        client.write_all(b"hello\n").unwrap();
        assert_eq!(connection.advance(now).unwrap_err().reason, Reason::Malformed);
        client.write_all(&[b'x'; 2 * MAX_REQUEST]).unwrap();
        assert!(connection.advance(now).is_err());
        assert!(connection.is_over(now));
    }

    #[test]
    fn a_client_that_does_not_read_has_its_time() {
        let (mut connection, _client) = pair();
        let now = Instant::now();
        let long = Answer::Captured(vec!["x".repeat(1 << 20).into()]);
        connection.answer(&long, now);
        assert!(!connection.unsent.is_empty() && !connection.is_over(now));
        assert!(connection.is_over(now + PATIENCE));
        let longer = Answer::Captured(vec!["x".repeat(MAX_ANSWER).into()]);
        let (mut connection, _client) = pair();
        connection.answer(&longer, now);
        assert!(connection.is_over(now));
    }
}
