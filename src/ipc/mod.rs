//! Messages between the three processes.
//!
//! One SOCK_SEQPACKET pair joins a front with each tracer and each recorder; the child has its end as descriptor
//! 0, so nothing but the standard descriptors crosses an exec. A message is one JSON document with descriptors
//! beside it; bulk travels in sealed memory files. End of file means that the other process is gone.

mod bulk;
mod channel;
mod message;
pub mod role_log;

pub use bulk::{read_capture, seal_capture};
pub use channel::{Channel, ChannelError, Received};
pub use message::{
    COPY_FILES, Captured, Census, FromTracer, Incident, IsolatedState, IsolatedThread, NotSettled,
    ProcessEnd, ToTracer, Verdict,
};
