//! What the renderings for people say alike: the first lines, what threads do, what addresses mean.
//!
//! Plain text, not escaped: each rendering escapes for where it goes.

pub(super) mod frame;
pub(super) mod groups;
pub(super) mod head;
pub(super) mod locks;
pub(super) mod place;
pub(super) mod thread;
