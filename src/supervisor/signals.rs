//! Signals to the front: what is for the program, and what the terminal has sent to both.
//!
//! The program stays in our process group, so the terminal's own signals reach it without us. Those that somebody
//! sent to us are passed on ([`super::passing`]): all but those that cannot be caught, those that an instruction of ours
//! would raise, and SIGPIPE, SIGXCPU and SIGXFSZ, which are about our own writing and time. A stop by the terminal is
//! followed, not obeyed: the front stops when the program has, so that the shell sees the job as it is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::sys::signal::SigSet;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::raw::WithRawSiginfo;

use crate::sys::SigNo;
use crate::sys::process::{self, bit, inheritance};
use crate::sys::signal::SigInfo;
use crate::sys::signal_queue::SignalQueue;

/// What is for every front.
const CAUGHT: [i32; 11] = [
    libc::SIGCHLD,
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
];
/// What is for a program alone.
const PASSED_ON: [i32; 9] = [
    libc::SIGABRT,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGCONT,
    libc::SIGWINCH,
    libc::SIGURG,
    libc::SIGIO,
    libc::SIGPWR,
    libc::SIGSTKFLT,
];

/// What a signal to the front means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    /// A child changed its state.
    Child,
    /// Somebody sent this to us.
    Sent(SigInfo),
    /// The kernel sent this to us: for the terminal, and to the program as well.
    Terminal(SigNo),
}

/// The signals of this process as descriptors.
#[derive(Debug)]
pub(crate) struct Signals {
    delivery: SignalDelivery<UnixStream, WithRawSiginfo>,
    realtime: Option<SignalQueue>,
    ignored: u64,
}

impl Signals {
    pub(crate) fn install() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        // What our caller had us ignore stays ignored when the terminal sends it (a script's background job), and
        // a hang-up always (nohup(1)).
        let ignored = inheritance().ignored;
        let caught = CAUGHT
            .iter()
            .filter(|signal| **signal != libc::SIGHUP || ignored & bit(SigNo::HUP) == 0);
        process::fail_at_the_limit_of_file_sizes();
        // What our caller had blocked is blocked in the program; here it would never be heard of.
        SigSet::empty().thread_set_mask()?;
        let delivery = SignalDelivery::with_pipe(read, write, WithRawSiginfo, caught)?;
        Ok(Self {
            delivery,
            realtime: None,
            ignored,
        })
    }

    /// Takes from now on whatever somebody may send to us for a program.
    pub(super) fn take_those_for_a_program(&mut self) -> io::Result<()> {
        let handle = self.delivery.handle();
        for signal in PASSED_ON {
            handle.add_signal(signal)?;
        }
        self.realtime = Some(SignalQueue::of_realtime_signals()?);
        Ok(())
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

    /// The next realtime signal that somebody sent to us; what is not taken waits in the kernel.
    pub(super) fn next_realtime(&self) -> Option<SigInfo> {
        self.realtime.as_ref()?.take()
    }

    /// What to wait for; `realtime` if such signals can be taken.
    pub(super) fn sources(&self, realtime: bool) -> impl Iterator<Item = BorrowedFd<'_>> {
        let queue = self.realtime.as_ref().filter(|_| realtime);
        std::iter::once(self.as_fd()).chain(queue.map(AsFd::as_fd))
    }
}

/// Realtime signals aside.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

fn meaning(info: &SigInfo) -> Meaning {
    match info.signal() {
        SigNo::CHLD => Meaning::Child,
        _ if info.is_sent() => Meaning::Sent(*info),
        signal => Meaning::Terminal(signal),
    }
}
