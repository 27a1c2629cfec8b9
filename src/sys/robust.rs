//! Robust lists: which robust mutexes a thread holds, for the kernel to mark when it dies (get_robust_list(2)).

use nix::errno::Errno;

use super::Tid;

/// The address of a thread's `struct robust_list_head` in its own memory; none where it has registered none, is gone,
/// or may not be looked at. Needs the same rights as attaching to it.
pub fn list_head(tid: Tid) -> Option<u64> {
    let mut head = 0_u64;
    let mut size = 0_usize;
    // SAFETY: both results are written to live locals of the sizes that the call writes (a pointer and a size_t).
    let outcome = unsafe { libc::syscall(libc::SYS_get_robust_list, tid.0, &raw mut head, &raw mut size) };
    Errno::result(outcome).ok().filter(|_| head != 0).map(|_| head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_thread_has_one() {
        assert!(
            list_head(Tid(0)).is_some(),
            "the C library registers one for each thread"
        );
        assert_eq!(list_head(Tid(i32::MAX)), None);
    }
}
