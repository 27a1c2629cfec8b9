//! Signals to the front: what is passed on to the program, what ends the watch.
//!
//! The program stays in our process group, so the terminal's own signals reach it without us. Those that somebody
//! sent to us alone are passed on. A stop by the terminal is followed, not obeyed: the front stops when the
//! program has, so that the shell sees the job as it is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2,
};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::raw::WithRawSiginfo;

use crate::sys::SigNo;
use crate::sys::process::{bit, inherited_signal_state};
use crate::sys::signal::SigInfo;

const CAUGHT: [i32; 11] = [
    SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU,
];

/// What a signal to the front means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    /// A child changed its state.
    Child,
    /// Somebody sent this to us alone.
    Sent(SigInfo),
    /// The terminal sent this to us and to the program.
    Terminal(SigNo),
}

/// The signals of this process as a descriptor.
#[derive(Debug)]
pub(crate) struct Signals {
    delivery: SignalDelivery<UnixStream, WithRawSiginfo>,
    ignored: u64,
}

impl Signals {
    pub(crate) fn install() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        // What our caller had us ignore stays ignored when the terminal sends it (a script's background job), and
        // a hang-up always (nohup(1)).
        let ignored = inherited_signal_state().ignored;
        let caught = CAUGHT
            .iter()
            .filter(|signal| **signal != SIGHUP || ignored & bit(SigNo::HUP) == 0);
        let delivery = SignalDelivery::with_pipe(read, write, WithRawSiginfo, caught)?;
        Ok(Self { delivery, ignored })
    }

    /// The signals since the last call.
    pub(crate) fn pending(&mut self) -> Vec<Meaning> {
        let ignored = self.ignored;
        let meanings = self
            .delivery
            .pending()
            .map(|info| meaning(&SigInfo::from_libc(&info)));
        meanings
            .filter(|meaning| !matches!(meaning, Meaning::Terminal(signal) if ignored & bit(*signal) != 0))
            .collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

fn meaning(info: &SigInfo) -> Meaning {
    match info.signal().0 {
        SIGCHLD => Meaning::Child,
        SIGTSTP | SIGTTIN | SIGTTOU => Meaning::Terminal(info.signal()),
        _ if info.is_sent() => Meaning::Sent(*info),
        _ => Meaning::Terminal(info.signal()),
    }
}
