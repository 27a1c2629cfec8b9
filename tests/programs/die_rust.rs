//! die_rust HOW: the ways a Rust program built with panic=abort ends.
//! Each leaves the runtime's own message on stderr and SIGABRT.

use std::hint::black_box;

#[expect(unconditional_recursion, reason = "overflows the stack")]
fn recurse(depth: u64) -> u64 {
    let page = black_box([depth; 128]);
    recurse(depth + 1) + page[0]
}

fn main() {
    let how = std::env::args().nth(1).unwrap_or_default();
    match how.as_str() {
        "panic" => panic!("the ledger does not balance"),
        "index" => drop(black_box(vec![1, 2, 3])[black_box(7)]),
        "panic-in-thread" => {
            let worker = std::thread::Builder::new().name("worker-1".into());
            let _ = worker.spawn(|| panic!("a worker's panic")).map(|handle| handle.join());
        }
        "stack-overflow" => println!("{}", recurse(0)),
        _ => eprintln!("fixture: no way named {how}"),
    }
    std::process::exit(99);
}
