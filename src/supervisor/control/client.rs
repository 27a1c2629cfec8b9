//! The client's end of the control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::message::{Answer, Failure, Request};
use super::socket::watch_address;
use crate::sys::Pid;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(130);
/// The longest answer that is read, bytes.
const MAX_ANSWER: u64 = 16 << 20;

/// A connection to a daemon.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
}

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon listens at {}; start it with 'systemctl start sickbay' or 'sickbay daemon'", .0.display())]
    NoDaemon(PathBuf),
    /// The socket is not for us.
    #[error("not permitted to ask the daemon at {}; be root, or a member of the group sickbay", .0.display())]
    NotPermitted(PathBuf),
    /// The daemon said no.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The connection failed.
    #[error("failed to talk to the daemon at {}: {source}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Client {
    /// Connects to the daemon at that path.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NoDaemon(path.to_owned())
            }
            io::ErrorKind::PermissionDenied => ClientError::NotPermitted(path.to_owned()),
            _ => ClientError::Io {
                path: path.to_owned(),
                source,
            },
        })?;
        Ok(Self {
            stream,
            path: path.to_owned(),
        })
    }

    /// Connects to the process that supervises others in the foreground; none if it is not asked that way.
    ///
    /// Anybody may listen under such a name, so who does is looked at.
    pub fn connect_to_watch(front: Pid) -> Option<Self> {
        let stream = UnixStream::connect_addr(&watch_address(front).ok()?).ok()?;
        let listens = getsockopt(&stream, PeerCredentials).ok()?;
        (listens.pid() == front.0).then(|| Self {
            stream,
            path: PathBuf::from(format!("process {front}")),
        })
    }

    /// Asks, and waits for the answer. A failure is an error.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, ClientError> {
        self.ask_within(request, PATIENCE)
    }

    /// The same, and gives up after that time.
    pub fn ask_within(&mut self, request: &Request, time: Duration) -> Result<Answer, ClientError> {
        match self.exchange(request, time) {
            Ok(Answer::Failed(failure)) => Err(failure.into()),
            Ok(answer) => Ok(answer),
            Err(source) => Err(ClientError::Io {
                path: self.path.clone(),
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
