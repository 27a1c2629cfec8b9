//! One end of a socket pair, with a queue for what the other end is too slow to take.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys::{Pid, socket};

/// The largest message; the kernel's default send buffer holds three.
const MAX_MESSAGE: usize = 64 << 10;
/// The most messages that wait for the other end. Past it the newest is refused.
const MAX_QUEUE: usize = 256;

/// Why a message did not pass.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other process is gone.
    #[error("the other process is gone")]
    Closed,
    /// The other process does not read.
    #[error("the other process does not take its messages; one was dropped")]
    Full,
    /// The message is larger than any may be.
    #[error("a message of {0} bytes is larger than {MAX_MESSAGE}")]
    TooLarge(usize),
    /// What came is no message.
    #[error("failed to read a message: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The socket failed.
    #[error("failed to transfer a message: {0}")]
    Io(io::Error),
}

/// What a look at the socket found.
#[derive(Debug)]
pub enum Received<T> {
    /// A message and the descriptors beside it.
    Message(T, Vec<OwnedFd>),
    /// Nothing yet.
    Nothing,
}

/// One end of a pair.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    queue: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    buffer: Vec<u8>,
}

impl Channel {
    /// A channel over a connected socket.
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            queue: VecDeque::new(),
            buffer: vec![0; MAX_MESSAGE],
        }
    }

    /// A pair: our end, and the socket for a child's descriptor 0.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socket::pair()?;
        Ok((Self::new(ours), theirs))
    }

    /// The process that made the pair.
    pub fn peer(&self) -> io::Result<Pid> {
        socket::peer(self.socket.as_fd())
    }

    /// Sends, or queues while the other end does not take it. Never waits.
    pub fn send(&mut self, message: &impl Serialize, descriptors: Vec<OwnedFd>) -> Result<(), ChannelError> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MAX_MESSAGE {
            return Err(ChannelError::TooLarge(bytes.len()));
        }
        self.flush()?;
        if self.queue.len() >= MAX_QUEUE {
            return Err(ChannelError::Full);
        }
        self.queue.push_back((bytes, descriptors));
        self.flush()
    }

    /// Sends, waiting until the other end takes it.
    pub fn send_waiting(
        &mut self,
        message: &impl Serialize,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), ChannelError> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MAX_MESSAGE {
            return Err(ChannelError::TooLarge(bytes.len()));
        }
        self.queue.push_back((bytes, descriptors));
        self.pass_on(true)
    }

    /// Sends what is queued, as far as the other end takes it.
    pub fn flush(&mut self) -> Result<(), ChannelError> {
        self.pass_on(false)
    }

    /// Whether messages are queued.
    pub fn is_behind(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Receives, without waiting.
    pub fn try_receive<T: DeserializeOwned>(&mut self) -> Result<Received<T>, ChannelError> {
        self.receive_if(false)
    }

    /// Receives, waiting for a message.
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<(T, Vec<OwnedFd>), ChannelError> {
        loop {
            if let Received::Message(message, descriptors) = self.receive_if(true)? {
                return Ok((message, descriptors));
            }
        }
    }

    fn receive_if<T: DeserializeOwned>(&mut self, wait: bool) -> Result<Received<T>, ChannelError> {
        match socket::receive(self.socket.as_fd(), &mut self.buffer, wait) {
            Ok((0, _)) => Err(ChannelError::Closed),
            Ok((size, descriptors)) => Ok(Received::Message(
                serde_json::from_slice(&self.buffer[..size])?,
                descriptors,
            )),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Ok(Received::Nothing)
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(ChannelError::Closed),
            Err(error) => Err(ChannelError::Io(error)),
        }
    }

    fn pass_on(&mut self, wait: bool) -> Result<(), ChannelError> {
        while let Some((bytes, descriptors)) = self.queue.front() {
            let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
            match socket::send(self.socket.as_fd(), bytes, &borrowed, wait) {
                Ok(()) => drop(self.queue.pop_front()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    return Err(ChannelError::Closed);
                }
                Err(error) => {
                    self.queue.pop_front();
                    return Err(ChannelError::Io(error));
                }
            }
        }
        Ok(())
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn messages_keep_their_bounds_and_descriptors() {
        let (mut ours, theirs) = Channel::pair().unwrap();
        let mut theirs = Channel::new(theirs);
        ours.send(&"one", vec![File::open("/dev/null").unwrap().into()])
            .unwrap();
        ours.send(&"two", Vec::new()).unwrap();
        let (first, descriptors): (String, _) = theirs.receive().unwrap();
        assert_eq!((first.as_str(), descriptors.len()), ("one", 1));
        assert!(
            matches!(theirs.try_receive::<String>().unwrap(), Received::Message(text, _) if text == "two")
        );
        assert!(matches!(
            theirs.try_receive::<String>().unwrap(),
            Received::Nothing
        ));
        drop(ours);
        assert!(matches!(
            theirs.try_receive::<String>(),
            Err(ChannelError::Closed)
        ));
    }

    #[test]
    fn a_reader_that_sleeps_never_blocks_the_writer() {
        let (mut ours, theirs) = Channel::pair().unwrap();
        let text = "x".repeat(60 << 10);
        let refused = (0..2 * MAX_QUEUE).find_map(|_| ours.send(&text, Vec::new()).err());
        assert!(matches!(refused, Some(ChannelError::Full)));
        let mut theirs = Channel::new(theirs);
        let mut count = 0;
        while let Received::Message(..) = theirs.try_receive::<String>().unwrap() {
            count += 1;
            ours.flush().unwrap();
        }
        assert!(count >= MAX_QUEUE && !ours.is_behind());
    }
}
