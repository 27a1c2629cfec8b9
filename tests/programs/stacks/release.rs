//! release: a Rust program as it is shipped: threads that wait in a channel, a mutex, a condition variable, a panic's
//! hook, a drop while it unwinds. Prints "ready pid=P".

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};

struct Request<T> {
    body: T,
}

trait Handler {
    fn handle(&self, request: Request<String>) -> usize;
}

struct Store {
    entries: Mutex<BTreeMap<String, usize>>,
}

impl Handler for Store {
    #[inline(never)]
    fn handle(&self, request: Request<String>) -> usize {
        let mut entries = self.entries.lock().unwrap();
        *entries.entry(request.body).or_insert(1)
    }
}

struct WaitsOnDrop<'a>(&'a (Mutex<bool>, Condvar));

impl Drop for WaitsOnDrop<'_> {
    #[inline(never)]
    fn drop(&mut self) {
        wait_for(self.0);
    }
}

#[inline(never)]
fn wait_for(event: &(Mutex<bool>, Condvar)) -> bool {
    let (flag, changed) = event;
    let mut set = flag.lock().unwrap();
    while !*set {
        set = changed.wait(set).unwrap();
    }
    *set
}

#[inline(never)]
fn receive(requests: &Receiver<Request<String>>) -> usize {
    requests.iter().map(|request| request.body.len()).sum()
}

#[inline(never)]
fn fail(event: &(Mutex<bool>, Condvar)) -> usize {
    let _guard = WaitsOnDrop(event);
    let empty: Vec<usize> = Vec::new();
    empty[std::hint::black_box(3)]
}

fn spawn(name: &str, run: impl FnOnce() -> usize + Send + 'static) {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(move || std::hint::black_box(run())).unwrap();
}

fn main() {
    let store: Arc<Store> = Arc::new(Store {
        entries: Mutex::default(),
    });
    let event = Arc::new((Mutex::new(false), Condvar::new()));
    let held = store.entries.lock().unwrap();
    let (sender, requests): (Sender<Request<String>>, _) = channel();
    std::panic::set_hook(Box::new(|_| ()));
    spawn("channel", move || receive(&requests));
    let behind = Arc::clone(&store);
    spawn("mutex", move || {
        let handler: Arc<dyn Handler> = behind;
        handler.handle(Request {
            body: "request".to_owned(),
        })
    });
    let waiting = Arc::clone(&event);
    spawn("panic", move || fail(&waiting));
    println!("ready pid={}", std::process::id());
    wait_for(&event);
    drop((held, sender));
}
