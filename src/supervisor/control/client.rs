//! The client's end of the control socket.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::message::{Answer, Failure, Request};
use super::{socket, watch};
use crate::sys::Pid;

/// How long an answer of a daemon may take.
const PATIENCE: Duration = Duration::from_secs(130);
/// The same of a process that supervises in the foreground, which writes no reports meanwhile.
const PATIENCE_WITH_FRONT: Duration = Duration::from_secs(35);
/// The longest answer that is read, bytes.
const MAX_ANSWER: u64 = 16 << 20;

/// A connection to a daemon, or to a process that supervises others in the foreground.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    whom: Whom,
}

/// Who is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom {
    /// The daemon at that socket.
    Daemon(PathBuf),
    /// `run` or `attach`, by its process.
    Front(Pid),
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon(path) => write!(f, "the daemon at {}", path.display()),
            Self::Front(pid) => write!(f, "process {pid}, which supervises it"),
        }
    }
}

impl Whom {
    const fn who_may(&self) -> &'static str {
        match self {
            Self::Daemon(_) => "be root, or a member of the group sickbay",
            Self::Front(_) => "only root and the user that supervises may",
        }
    }

    const fn patience(&self) -> Duration {
        match self {
            Self::Daemon(_) => PATIENCE,
            Self::Front(_) => PATIENCE_WITH_FRONT,
        }
    }
}

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon listens at {}; start it with 'systemctl start sickbay' or 'sickbay daemon'", .0.display())]
    NoDaemon(PathBuf),
    /// Who supervises does not listen.
    #[error(
        "process {front} supervises it and cannot be asked: it does not listen at {}; if it is a daemon, name its socket with \
         --socket, else start it where it may write that directory, in a unit with 'RuntimeDirectory=NAME'",
        .path.display()
    )]
    NoFront {
        /// The process.
        front: Pid,
        /// Where it would listen.
        path: PathBuf,
    },
    /// The socket is not for us.
    #[error("not permitted to ask {0}; {who_may}", who_may = .0.who_may())]
    NotPermitted(Whom),
    /// Too many others wait to be taken.
    #[error("{0} is busy with other clients; try again")]
    Busy(Whom),
    /// The answer is no.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The connection failed.
    #[error("failed to talk to {whom}: {source}")]
    Io {
        /// Who was asked.
        whom: Whom,
        /// Why.
        source: io::Error,
    },
}

impl Client {
    /// Connects to the daemon at that path.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let nobody = || ClientError::NoDaemon(path.to_owned());
        Self::connect_to(path, Whom::Daemon(path.to_owned()), nobody)
    }

    /// Connects to the process that supervises others in the foreground, and to no other.
    pub fn connect_to_watch(front: Pid) -> Result<Self, ClientError> {
        let whom = Whom::Front(front);
        let failed = |source| ClientError::Io {
            whom: whom.clone(),
            source,
        };
        // The directory belongs to the effective user of the process.
        let owner = fs::metadata(format!("/proc/{front}")).map_err(failed)?.uid();
        let mut error = None;
        let ours = |name: &str| std::env::var_os(name);
        for path in watch::places_of(front, owner, ours, |name| watch::variable_of(front, name)) {
            let nobody = || ClientError::NoFront {
                front,
                path: path.clone(),
            };
            match Self::connect_to(&path, whom.clone(), nobody) {
                Ok(client) => {
                    let listens =
                        getsockopt(&client.stream, PeerCredentials).map_err(|errno| failed(errno.into()))?;
                    if (listens.pid(), listens.uid()) == (front.0, owner) {
                        return Ok(client);
                    }
                    error = error.or_else(|| Some(nobody()));
                }
                Err(other) => error = error.or(Some(other)),
            }
        }
        Err(error.unwrap_or_else(|| failed(io::ErrorKind::NotFound.into())))
    }

    fn connect_to(
        path: &Path,
        whom: Whom,
        nobody: impl FnOnce() -> ClientError,
    ) -> Result<Self, ClientError> {
        match socket::connect(path) {
            Ok(stream) => Ok(Self { stream, whom }),
            Err(source) => Err(match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => nobody(),
                io::ErrorKind::PermissionDenied => ClientError::NotPermitted(whom),
                io::ErrorKind::WouldBlock => ClientError::Busy(whom),
                _ => ClientError::Io { whom, source },
            }),
        }
    }

    /// Whether that process listens at the other end.
    pub fn is_with(&self, process: Pid) -> bool {
        getsockopt(&self.stream, PeerCredentials).is_ok_and(|listens| listens.pid() == process.0)
    }

    /// Asks, and waits for the answer. A failure is an error.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, ClientError> {
        self.ask_within(request, self.whom.patience())
    }

    /// The same, and gives up after that time.
    pub fn ask_within(&mut self, request: &Request, time: Duration) -> Result<Answer, ClientError> {
        match self.exchange(request, time) {
            Ok(Answer::Failed(failure)) => Err(failure.into()),
            Ok(answer) => Ok(answer),
            Err(source) => Err(ClientError::Io {
                whom: self.whom.clone(),
                source,
            }),
        }
    }

    fn exchange(&mut self, request: &Request, time: Duration) -> io::Result<Answer> {
        self.stream.set_read_timeout(Some(time))?;
        self.stream.set_write_timeout(Some(time))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.write_all(&line)?;
        let mut answer = Vec::new();
        BufReader::new(&self.stream)
            .take(MAX_ANSWER)
            .read_until(b'\n', &mut answer)?;
        if answer.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it closed the connection; it may be busy, ask again",
            ));
        }
        Ok(serde_json::from_slice(&answer)?)
    }
}
