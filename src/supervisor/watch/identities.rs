//! What the service manager calls the processes of a service.

use std::collections::VecDeque;

use crate::config::Target;
use crate::service::Identity;
use crate::sys::Pid;

/// The most processes whose unit is remembered.
const MAX_IDENTITIES: usize = 256;

/// What the last processes that were taken up were called then: a unit's run has no name any more once it has ended.
#[derive(Debug, Default)]
pub(super) struct Identities(VecDeque<(Pid, Identity)>);

impl Identities {
    /// A process of that target is taken up.
    pub(super) fn note(&mut self, process: Pid, target: Option<&Target>) {
        self.0.truncate(MAX_IDENTITIES - 1);
        self.0.push_front((process, Identity::of(process, target)));
    }

    /// What a process is called, or was when it was taken up.
    pub(super) fn of(&self, process: Pid, target: Option<&Target>) -> Identity {
        let known = |(pid, _): &&(Pid, Identity)| *pid == process;
        if let Some((_, identity)) = self.0.iter().find(known) {
            return identity.clone();
        }
        let mut identity = Identity::of(process, target);
        // A child of one that was taken up, gone already: of the same run.
        let relative = self.0.iter().find(|(_, other)| other.unit == identity.unit);
        if let (None, Some((_, relative))) = (&identity.invocation_id, relative) {
            identity.invocation_id.clone_from(&relative.invocation_id);
        }
        identity
    }
}
