//! Ending the thread that traces before its process.
//!
//! A process that ends gives its memory back first, and lets its tracees go after that, hundreds of microseconds later
//! (kernel/exit.c, `do_exit`: `exit_mm` comes before `exit_notify`). A thread that ends while another one of its
//! process stays has no memory to give back, and lets its tracees go at once. Everything that is not pressing is left
//! to the thread that stays.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// 0 once the thread that called [`end_before`] has ended: the kernel clears it (set_tid_address(2)).
static TRACING: AtomicU32 = AtomicU32::new(1);

/// Does what is `pressing` and ends this thread, then does the `rest` in another one and ends the process with the
/// status that it returns. To be called once, by the thread that traces; threads that only read are left to the end of the
/// process.
///
/// Where no other thread can be made, the process ends after what is pressing, with `Err` in the log and status 1.
pub fn end_before(rest: impl FnOnce() -> i32 + Send + 'static, pressing: impl FnOnce()) -> ! {
    let other = thread::Builder::new().spawn(move || {
        await_the_end();
        std::process::exit(rest())
    });
    pressing();
    if let Err(error) = other {
        log::error!("failed to make a thread for the last messages: {error}");
        std::process::exit(1);
    }
    // SAFETY: the word is static; the kernel writes zero to it when this thread ends.
    unsafe { libc::syscall(libc::SYS_set_tid_address, TRACING.as_ptr()) };
    loop {
        // SAFETY: ends this thread alone; nothing that other threads use lies on its stack.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}

fn await_the_end() {
    while TRACING.load(Ordering::Acquire) != 0 {
        // The kernel wakes with the shared form, so that is what waits. A signal, or a word that has changed already,
        // leads to another look.
        // SAFETY: the word is static; no timeout.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                TRACING.as_ptr(),
                libc::FUTEX_WAIT,
                1_u32,
                std::ptr::null::<libc::timespec>(),
            )
        };
    }
}
