// tokio_server: a server on tokio with a task for each connection, one line is one request:
//   GET key     answers "value of key", from a store under a lock
//   CRASH       writes through a null pointer, in an unsafe block, while the task holds the lock
//   CRASH FREE  the same without the lock             CRASH LIBRARY  a C library reads through it
//   CRASH LEAF  the same in a function that cannot panic
//   STATE       answers "D destructors, E ended, N threads, KiB of memory, F files, locked L"
// A task that panics takes its connection with it, and prints "ended: " and the text of its panic. Port on stdout.

use std::collections::HashMap;
use std::hint::black_box;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError, TryLockError};

use tokio::net::{TcpListener, TcpStream};

const WORKERS: usize = 4;

static DESTRUCTORS: AtomicUsize = AtomicUsize::new(0);
static ENDED: AtomicUsize = AtomicUsize::new(0);
static STORE: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);

/// What each connection has.
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

fn answer(request: &str) -> String {
    let null = black_box(ptr::null_mut());
    match request {
        "CRASH" => {
            let _store = STORE.lock().unwrap_or_else(PoisonError::into_inner);
            parse_header(request.as_bytes(), null).to_string()
        }
        "CRASH FREE" => parse_header(request.as_bytes(), null).to_string(),
        "CRASH LIBRARY" => ask_library(request.as_bytes(), null).to_string(),
        "CRASH LEAF" => {
            let _store = STORE.lock().unwrap_or_else(PoisonError::into_inner);
            leaf(black_box(null));
            String::new()
        }
        "STATE" => state(),
        _ => {
            let key = request.strip_prefix("GET ").unwrap_or(request);
            let mut store = STORE.lock().unwrap_or_else(PoisonError::into_inner);
            let value = store.entry(key.to_owned());
            value.or_insert_with(|| format!("value of {key}")).clone()
        }
    }
}

fn state() -> String {
    let count = |directory: &str| std::fs::read_dir(directory).map_or(0, Iterator::count);
    let memory = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident: usize = memory.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    format!(
        "{} destructors, {} ended, {} threads, {} KiB, {} files, locked {}",
        DESTRUCTORS.load(Ordering::Relaxed),
        ENDED.load(Ordering::Relaxed),
        count("/proc/self/task"),
        resident * 4,
        count("/proc/self/fd"),
        matches!(STORE.try_lock(), Err(TryLockError::WouldBlock)),
    )
}

async fn serve(connection: TcpStream) -> io::Result<()> {
    let _witness = Witness;
    let mut pending = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        connection.readable().await?;
        match connection.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => pending.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let mut said = answer(String::from_utf8_lossy(&line).trim_end());
            said.push('\n');
            let mut left = said.as_bytes();
            while !left.is_empty() {
                connection.writable().await?;
                match connection.try_write(left) {
                    Ok(written) => left = &left[written..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

async fn accept() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        let task = tokio::spawn(serve(connection));
        tokio::spawn(async move {
            if let Err(error) = task.await
                && let Ok(panic) = error.try_into_panic()
            {
                ENDED.fetch_add(1, Ordering::Relaxed);
                println!("ended: {}", panic.downcast_ref::<&'static str>().unwrap_or(&"?"));
            }
        });
    }
}

fn main() -> io::Result<()> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(WORKERS).enable_io().build()?.block_on(accept())
}
