//! The control socket: what operators ask a running daemon, `run` or `attach`. The protocol is described in `PROTOCOL.md`.
//!
//! | file | subject |
//! |---|---|
//! | [`message`] | requests and answers |
//! | [`connection`] | one client: lines in, lines out, within bounds |
//! | [`http`] | the same for monitoring, which speaks HTTP |
//! | [`client`] | the other end, for the command line |
//! | [`socket`] | where it is, and who may open it |
//! | [`watch`] | where it is of `run` and `attach` |
//!
//! Nothing here waits. A client that does not read, does not write or writes without end is dropped when its time or
//! its room is over; one user's clients leave room for another's.

pub mod client;
mod connection;
mod http;
pub mod message;
mod socket;
mod watch;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};

use crate::sys::Pid;

pub use client::{Client, ClientError};
use connection::Connection;
pub use message::{Answer, Failure, Reason, Request};
pub(crate) use socket::Access;
pub use socket::{default_path, enrolment_path};

/// The most clients at once, and of one user.
const MAX_CLIENTS: usize = 64;
const MAX_CLIENTS_OF_ONE: usize = 16;
/// The most clients that are taken, or turned away, in one turn: the others wait, and so does not the daemon.
const MAX_NEW: usize = 64;

/// Names a client for the time of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClientId {
    pub(crate) access: Access,
    number: u64,
}

#[cfg(test)]
impl ClientId {
    pub(crate) const fn sample(number: u64) -> Self {
        Self {
            access: Access::Group,
            number,
        }
    }
}

/// A request, and who asks.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) client: ClientId,
    pub(crate) request: Request,
    /// Whether the client may change anything.
    pub(crate) trusted: bool,
    /// The user that it runs as.
    pub(crate) user: u32,
    /// The process that connected.
    pub(crate) peer: Pid,
}

/// The socket and its clients.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    access: Access,
    /// Removed at the end.
    _name: socket::Name,
    clients: Vec<(ClientId, Connection)>,
    next: u64,
}

impl Control {
    /// Listens at that path.
    pub(crate) fn listen(path: &std::path::Path, access: Access) -> io::Result<Self> {
        let (listener, name) = socket::listen(path, access)?;
        Ok(Self {
            listener,
            access,
            _name: name,
            clients: Vec::new(),
            next: 0,
        })
    }

    /// Listens where whoever supervises a process in the foreground is asked, for this process.
    pub(crate) fn of_watch() -> io::Result<Self> {
        watch::listen(|place| Self::listen(place, Access::Trusted))
    }

    /// What to wait for.
    pub(crate) fn sources(&self) -> impl Iterator<Item = PollFd<'_>> {
        let listener = PollFd::new(self.listener.as_fd(), PollFlags::POLLIN);
        let clients = self.clients.iter().filter_map(|(_, client)| client.source());
        std::iter::once(listener).chain(clients)
    }

    /// When the next client has had its time.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.clients.iter().map(|(_, client)| client.deadline()).min()
    }

    /// Takes new clients and what the others ask. One whose answer is due is not read before it has it.
    pub(crate) fn attend(&mut self, now: Instant) -> Vec<Asked> {
        self.accept(now);
        let mut asked = Vec::new();
        for (id, client) in &mut self.clients {
            match client.advance(now) {
                Ok(Some(request)) if self.access == Access::All && !request.is_enrolment() => {
                    client.answer(&Answer::Failed(Failure::not_here()), now);
                }
                Ok(Some(_)) if self.access == Access::Trusted && !client.is_trusted() => {
                    client.answer(&Answer::Failed(Failure::not_yours()), now);
                }
                Ok(Some(request)) => asked.push(Asked {
                    client: *id,
                    request,
                    trusted: client.is_trusted(),
                    user: client.user(),
                    peer: client.peer(),
                }),
                Ok(None) => {}
                Err(failure) => client.answer(&Answer::Failed(failure), now),
            }
        }
        self.clients.retain(|(_, client)| !client.is_over(now));
        asked
    }

    /// Answers a client, if it is still there.
    pub(crate) fn answer(&mut self, client: ClientId, answer: &Answer) {
        let now = Instant::now();
        if let Some((_, connection)) = self.clients.iter_mut().find(|(id, _)| *id == client) {
            connection.answer(answer, now);
        }
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..MAX_NEW {
            let Ok((stream, _)) = self.listener.accept() else {
                return;
            };
            let Ok(connection) = Connection::new(stream, now) else {
                continue;
            };
            // Who may change nothing takes no room of who may, although it be root in a container.
            let of_user = |(_, other): &&(ClientId, Connection)| {
                other.user() == connection.user() && other.is_trusted() == connection.is_trusted()
            };
            // What is refused hears it from the end of its connection.
            if self.clients.len() < MAX_CLIENTS
                && self.clients.iter().filter(of_user).count() < MAX_CLIENTS_OF_ONE
            {
                self.next += 1;
                let id = ClientId {
                    access: self.access,
                    number: self.next,
                };
                self.clients.push((id, connection));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_client_that_leaves_before_its_answer_wakes_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let mut control = Control::listen(&path, Access::Trusted).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"{\"verb\":\"status\"}\n").unwrap();
        let asked = control.attend(Instant::now());
        drop(client);
        let ready = |control: &Control| {
            let mut sources: Vec<PollFd<'_>> = control.sources().collect();
            nix::poll::poll(&mut sources, nix::poll::PollTimeout::ZERO).unwrap()
        };
        assert_eq!(ready(&control), 0);
        control.answer(asked[0].client, &Answer::Done);
        control.attend(Instant::now());
        assert!(control.clients.is_empty());
    }

    #[test]
    fn a_crowd_is_taken_in_turns_and_leaves_room_for_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let mut control = Control::listen(&path, Access::All).unwrap();
        let crowd: Vec<UnixStream> = (0..MAX_NEW + 10)
            .map(|_| UnixStream::connect(&path).unwrap())
            .collect();
        control.attend(Instant::now());
        assert_eq!(control.clients.len(), MAX_CLIENTS_OF_ONE);
        let mut listener = [PollFd::new(control.listener.as_fd(), PollFlags::POLLIN)];
        let waiting = nix::poll::poll(&mut listener, nix::poll::PollTimeout::ZERO).unwrap();
        assert_eq!(waiting, 1, "the rest is left for the next turn");
        drop(crowd);
    }
}
