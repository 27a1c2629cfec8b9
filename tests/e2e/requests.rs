//! A C++ server with a handler around each request: what ten faults in a hundred requests leave behind, and which of its builds
//! can throw at all.
#![cfg(target_arch = "x86_64")]

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{DEADLINE, Ended, Report, Running, Sickbay, fixture, proc};

/// Clients at once, each with a connection of its own, and a worker of the server for each.
const CONNECTIONS: usize = 50;
/// One in so many requests faults.
const ONE_IN: usize = 11;
/// How long a client waits before it looks what became of its request.
const LOOK: Duration = Duration::from_millis(100);
/// What the C++ runtime says when an exception finds no handler.
const TERMINATES: &str = "terminate called";

/// One connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, request: &str) {
        self.0
            .get_mut()
            .write_all(format!("{request}\n").as_bytes())
            .unwrap();
    }

    fn ask(&mut self, request: &str) -> String {
        self.send(request);
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Good requests and faulting ones, the latter with and without the lock; how many of the latter there were.
    fn load(&mut self, requests: usize) -> usize {
        let mut faults = 0;
        for number in 1..=requests {
            if number % ONE_IN == 0 {
                faults += 1;
                let said = self.ask(["CRASH", "CRASH FREE"][faults % 2]);
                let expected = "failed: SIGSEGV: null pointer dereference at 0x0 in parse_header";
                assert!(said.starts_with(expected), "{said:?}");
            } else {
                let key = number % 100;
                assert_eq!(self.ask(&format!("GET {key}")), format!("value of {key}"));
            }
        }
        faults
    }
}

fn port_of(server: &mut Running) -> u16 {
    server.stdout_line("listening on 127.0.0.1:").parse().unwrap()
}

/// What a process has: threads, descriptors, resident memory in KiB.
fn belongings(pid: i32) -> (usize, usize, usize) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let resident = resident.trim().trim_end_matches(" kB").parse().unwrap();
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    (proc::tasks(pid).len(), descriptors, resident)
}

/// So many requests from all connections, of which one in [`ONE_IN`] faults: none of the others fails, and nothing is left.
fn loaded(requests: usize) {
    let sickbay = Sickbay::new().configured(
        "[[service]]\nname = \"api\"\non_fault = \"throw\"\n[service.isolation]\nthrows_per_second = 100000\n\
         [service.report]\nmax_per_minute = 3\n",
    );
    let mut server = sickbay.start(fixture("requests"), &[CONNECTIONS.to_string()]);
    let port = port_of(&mut server);
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::connect(port)).collect();
    // Every thread has thrown, and has what it keeps.
    for client in &mut clients {
        client.load(2 * ONE_IN);
    }
    let pid = proc::children(server.pid())
        .into_iter()
        .find(|pid| proc::tasks(*pid).len() > CONNECTIONS)
        .unwrap();
    let before = belongings(pid);
    let begun = Instant::now();
    let each = requests / CONNECTIONS;
    let asking: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            thread::spawn(move || {
                let faults = client.load(each);
                (client, faults)
            })
        })
        .collect();
    let done: Vec<(Client, usize)> = asking.into_iter().map(|asking| asking.join().unwrap()).collect();
    let took = begun.elapsed().as_secs_f64();
    let after = belongings(pid);
    let faults: usize = done.iter().map(|(_, faults)| faults).sum();
    println!(
        "{faults} faulting among {} good requests in {took:.1} s: {:.0} requests and {:.0} exceptions a second; \
         resident {} KiB before, {} KiB after",
        each * CONNECTIONS - faults,
        (each * CONNECTIONS) as f64 / took,
        faults as f64 / took,
        before.2,
        after.2
    );
    assert_eq!(before.0, after.0, "threads");
    assert_eq!(before.1, after.1, "descriptors");
    assert!(
        after.2 < before.2 + GROWTH,
        "memory: {} KiB before, {} KiB after",
        before.2,
        after.2
    );
    // Each connection is still served, and the lock is free.
    for (mut client, _) in done {
        client.load(1);
    }
    assert!(!server.has_ended());
}

/// What allocators may keep, KiB: less than a hundred bytes for each of ten thousand faults.
const GROWTH: usize = 1000;

#[test]
fn no_good_request_fails_beside_faulting_ones() {
    loaded(ONE_IN * 300);
}

#[test]
#[ignore = "long: make soak"]
fn no_good_request_fails_beside_ten_thousand_faulting_ones() {
    loaded(ONE_IN * 10_000);
}

/// What came of faults in one build.
struct Converted {
    /// How many became exceptions, of how many.
    thrown: usize,
    faults: usize,
    /// What was done about the first that did not, and why.
    instead: Option<(String, String)>,
}

/// Faults in the way of that request, until one does not become an exception.
fn convert(build: &Path, request: &str, faults: usize) -> Converted {
    let sickbay = Sickbay::new().configured(
        "[[service]]\nname = \"api\"\non_fault = \"isolate\"\n[service.isolation]\nprobation = \"50ms\"\n\
         throws_per_second = 100000\n",
    );
    let mut server = sickbay.start(build, &["4"]);
    let port = port_of(&mut server);
    let mut client = Client::connect(port);
    let mut converted = Converted {
        thrown: 0,
        faults: 0,
        instead: None,
    };
    while converted.faults < faults && converted.instead.is_none() {
        converted.faults += 1;
        client.send(request);
        match answer_or_report(&mut client, &sickbay, converted.faults) {
            Ok(said) => {
                assert!(
                    said.starts_with("failed: SIGSEGV: "),
                    "{}: {said:?}",
                    build.display()
                );
                converted.thrown += 1;
            }
            Err(report) => {
                let action = report.text("action.taken").to_owned();
                converted.instead = Some((action, report.text("action.reason").to_owned()));
            }
        }
    }
    match &converted.instead {
        Some((action, _)) if action == "deliver" => {
            assert_eq!(
                server.ended(),
                Ended::Exited(128 + libc::SIGSEGV),
                "{}",
                build.display()
            );
        }
        _ => {
            assert_eq!(
                Client::connect(port).ask("GET 1"),
                "value of 1",
                "{}",
                build.display()
            );
        }
    }
    let said = server.stderr_so_far();
    assert!(!said.contains(TERMINATES), "{}: {said}", build.display());
    converted
}

/// What the client reads; or the report of its fault, if that says that nothing was thrown.
fn answer_or_report(client: &mut Client, sickbay: &Sickbay, number: usize) -> Result<String, Report> {
    let deadline = Instant::now() + DEADLINE;
    client.0.get_ref().set_read_timeout(Some(LOOK)).unwrap();
    let mut line = String::new();
    loop {
        let ended = match client.0.read_line(&mut line) {
            Ok(1..) => return Ok(line.trim_end().to_owned()),
            Ok(0) => true,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        let mut settled = sickbay
            .reports()
            .into_iter()
            .filter(|report| report.has("threads"));
        if let Some(report) = settled.find(|report| report.text("action.taken") != "throw") {
            return Err(report);
        }
        assert!(
            Instant::now() < deadline,
            "neither an answer nor a report of fault {number}"
        );
        if ended {
            thread::sleep(LOOK);
        }
    }
}

/// Each of these builds throws or says why it cannot, and takes the next step; none terminates.
fn build_all(builds: &[PathBuf], faults: usize) {
    println!(
        "{:<42}{:>6}{:>8}{:>9}  where not",
        "build", "free", "locked", "inlined"
    );
    for build in builds {
        let name = build.file_name().unwrap().to_str().unwrap();
        let kinds = ["CRASH FREE", "CRASH", "CRASH INLINED"].map(|kind| convert(build, kind, faults));
        let shares: Vec<String> = kinds
            .iter()
            .map(|kind| format!("{:.0} %", 100.0 * kind.thrown as f64 / kind.faults as f64))
            .collect();
        let mut reasons: Vec<String> = kinds
            .iter()
            .filter_map(|kind| kind.instead.as_ref())
            .map(|(action, reason)| {
                let (_, why) = reason
                    .split_once("throw is not possible: ")
                    .unwrap_or_else(|| panic!("{name}: nothing says why it cannot throw: {reason}"));
                let why = why.split(';').next().unwrap_or(why);
                format!("{why}; {action}")
            })
            .collect();
        reasons.dedup();
        println!(
            "{name:<42}{:>6}{:>8}{:>9}  {}",
            shares[0],
            shares[1],
            shares[2],
            reasons.join(" / ")
        );
        let has_symbols = !name.ends_with("static-stripped");
        if has_symbols {
            // Where the library's function can be found, only inlining takes a fault away from it.
            assert_eq!(
                (kinds[0].thrown, kinds[1].thrown),
                (faults, faults),
                "{name}: {reasons:?}"
            );
        } else {
            assert_eq!((kinds[0].thrown, kinds[1].thrown), (0, 0), "{name}");
        }
    }
}

/// The builds that there are, by a part of their name.
fn builds(part: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixture("builds")).unwrap();
    let mut builds: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    builds.retain(|build| build.file_name().unwrap().to_str().unwrap().contains(part));
    builds.sort();
    builds
}

#[test]
fn builds_throw_or_say_why_they_cannot() {
    let few = [
        "gcc-O0-pie-shared",
        "gcc-O2-nopie-shared-stripped",
        "gcc-lto-nopie-static",
        "gcc-lto-nopie-static-stripped",
        "clang-O2-pie-shared-stripped",
        "clang-lto-nopie-static",
    ];
    let there = builds("requests-");
    let wanted = |build: &PathBuf| few.iter().any(|few| build.ends_with(format!("requests-{few}")));
    let chosen: Vec<PathBuf> = there.into_iter().filter(wanted).collect();
    assert!(chosen.len() >= 4, "{chosen:?}");
    build_all(&chosen, 5);
}

#[test]
#[ignore = "long: make soak"]
fn all_builds_throw_ten_thousand_times_or_say_why_they_cannot() {
    let all = builds("requests-");
    build_all(&all, 10_000 / all.len() / 3);
}
