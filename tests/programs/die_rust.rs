//! die_rust HOW: the ways a Rust program ends, built with panic=abort and, as die_rust_unwind, without.
//! Each leaves the runtime's own message on stderr and SIGABRT.

use std::hint::black_box;
use std::panic;
use std::process::abort;

/// Panics when it goes out of scope.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        panic!("the guard panics too");
    }
}

extern "C" fn called_by_c(balance: i32) {
    panic!("a balance of {balance} in a callback");
}

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
        "values" => panic!("{} of {:?}\n  are missing", black_box(3), black_box("apples")),
        "unwrap" => drop(black_box(Err::<(), _>(std::io::Error::other("no ledger"))).unwrap()),
        "hook" => {
            panic::set_hook(Box::new(|_| abort()));
            panic!("told to a hook");
        }
        "any" => panic::panic_any(black_box(42)),
        "while-panicking" => {
            let _guard = black_box(Guard);
            panic!("the first");
        }
        "through-c" => called_by_c(black_box(-7)),
        "caught-before" => {
            let _ = panic::catch_unwind(|| panic!("caught long ago"));
            abort();
        }
        "no-memory" => drop(black_box(Vec::<u8>::with_capacity(black_box(isize::MAX as usize)))),
        "stack-overflow" => println!("{}", recurse(0)),
        _ => eprintln!("fixture: no way named {how}"),
    }
    std::process::exit(99);
}
