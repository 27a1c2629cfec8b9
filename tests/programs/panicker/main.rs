// panicker: a worker answers lines on stdin, each as one request with a catch_unwind of its own around it, under a lock:
//   good      prints "ok"                            fault     writes through a null pointer, in an unsafe block
//   library   a C library reads through it           boundary  faults below a function that is extern "C"
//   leaf      faults in a function that cannot panic, so that its caller's tables have nothing for it
//   inlined   faults in the function that holds the lock
//   thread    faults in a thread that catches nothing itself, and joins it
//   state     prints "state: D destructors, F failed, N threads, KiB of memory, descriptors"
// A request that fails prints "failed: " and the text of the panic. With an argument, the main thread is the worker, and
// catches nothing.

use std::hint::black_box;
use std::io::{BufRead, Write};
use std::panic::catch_unwind;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

static DESTRUCTORS: AtomicUsize = AtomicUsize::new(0);
static LOCK: Mutex<()> = Mutex::new(());

struct Witness;

impl Drop for Witness {
    fn drop(&mut self) {
        DESTRUCTORS.fetch_add(1, Ordering::Relaxed);
    }
}

unsafe extern "C" {
    fn read_header(header: *const i32) -> i32;
}

#[inline(never)]
fn parse_header(request: &[u8], header: *mut i32) -> u8 {
    unsafe { ptr::write_volatile(black_box(header), 42) };
    request[black_box(0)]
}

#[inline(never)]
fn ask_library(request: &[u8], header: *const i32) -> u8 {
    let answer = unsafe { read_header(black_box(header)) };
    request[answer as usize]
}

#[inline(never)]
fn leaf(header: *mut i32) {
    unsafe { ptr::write_volatile(header, 42) };
}

extern "C" fn boundary(first: u8, header: *mut i32) -> u8 {
    parse_header(&[first], header)
}

#[inline(never)]
fn handle(request: &str, header: *mut i32) {
    let _guard = LOCK.lock();
    let _witness = Witness;
    let bytes = request.as_bytes();
    match request {
        "fault" => assert_ne!(parse_header(bytes, header), 0),
        "library" => assert_ne!(ask_library(bytes, header), 0),
        "boundary" => assert_ne!(black_box(boundary as extern "C" fn(u8, *mut i32) -> u8)(bytes[0], header), 0),
        "leaf" => leaf(black_box(header)),
        "inlined" => unsafe { ptr::write_volatile(black_box(header), 42) },
        _ => {}
    }
    println!("ok");
}

fn spawned() {
    let joined = std::thread::spawn(|| parse_header(b"thread", ptr::null_mut())).join();
    println!("joined: {}", joined.is_err());
}

fn state(failed: usize) {
    let count = |directory: &str| std::fs::read_dir(directory).map_or(0, Iterator::count);
    let memory = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident: usize = memory.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    println!(
        "state: {} destructors, {failed} failed, {} threads, {} KiB, {} files, locked {}",
        DESTRUCTORS.load(Ordering::Relaxed),
        count("/proc/self/task"),
        resident * 4,
        count("/proc/self/fd"),
        LOCK.try_lock().is_err_and(|error| matches!(error, std::sync::TryLockError::WouldBlock)),
    );
}

fn work() {
    let mut failed = 0;
    println!("ready {}", std::process::id());
    for line in std::io::stdin().lock().lines() {
        let request = line.unwrap();
        match request.as_str() {
            "state" => state(failed),
            "thread" => spawned(),
            request => {
                if let Err(error) = catch_unwind(|| handle(request, black_box(ptr::null_mut()))) {
                    failed += 1;
                    println!("failed: {}", error.downcast_ref::<&'static str>().unwrap_or(&"?"));
                }
            }
        }
        std::io::stdout().flush().unwrap();
    }
}

fn main() {
    if std::env::args().len() > 1 {
        println!("ready {}", std::process::id());
        for _ in std::io::stdin().lock().lines() {
            parse_header(b"main", black_box(ptr::null_mut()));
        }
        return;
    }
    let worker = std::thread::Builder::new().name("worker".to_owned()).spawn(work).unwrap();
    worker.join().unwrap();
}
