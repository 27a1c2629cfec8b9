//! A server on tokio, with a task for each connection: a fault becomes a panic of its task, and of no other.
#![cfg(target_arch = "x86_64")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{DEADLINE, Ended, Raising, Running, Sickbay, await_that, fixture, is_built, skip};

/// Requests that fault, and the function that the panic names.
const PANICS: [(&str, &str); 3] = [
    ("CRASH", "tokio_server::parse_header"),
    ("CRASH FREE", "tokio_server::parse_header"),
    ("CRASH LIBRARY", "read_header"),
];

/// The server under supervision.
struct Server {
    sickbay: Sickbay,
    supervisor: Running,
    port: u16,
}

/// One connection.
struct Client(BufReader<TcpStream>);

impl Server {
    /// None where it was not built.
    fn start(program: &str, on_fault: &str) -> Option<Self> {
        if !is_built(program) {
            skip("tokio could not be downloaded when the programs were built");
            return None;
        }
        let sickbay = Sickbay::new().configured(&format!(
            "[[service]]\nname = \"api\"\non_fault = \"{on_fault}\"\n[service.isolation]\nthrows_per_second = 100000\n\
             probation = \"50ms\"\n[service.report]\nmax_per_minute = 3\n"
        ));
        let mut supervisor = sickbay.start(fixture(program), &[] as &[&str]);
        let port = supervisor.stdout_line("listening on 127.0.0.1:").parse().unwrap();
        Some(Self {
            sickbay,
            supervisor,
            port,
        })
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Client(BufReader::new(stream))
    }

    /// Each on a connection of its own, which ends without an answer.
    #[track_caller]
    fn faults(&self, request: &str, times: usize) {
        for _ in 0..times {
            assert_eq!(self.connect().ask(request), "", "{request}");
        }
    }

    /// What the server says of itself once that many tasks have ended.
    #[track_caller]
    fn state(&self, ended: usize) -> String {
        let mut client = self.connect();
        let wanted = format!(" {ended} ended");
        await_that(&wanted, || {
            let state = client.ask("STATE");
            state.contains(&wanted).then_some(state)
        })
    }
}

impl Client {
    /// The answer; nothing where the connection ends.
    #[track_caller]
    fn ask(&mut self, request: &str) -> String {
        self.0
            .get_mut()
            .write_all(format!("{request}\n").as_bytes())
            .unwrap();
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(_) => line.trim_end().to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => String::new(),
            Err(error) => panic!("{request}: {error}"),
        }
    }
}

#[test]
fn a_fault_ends_its_task_and_no_other() {
    for (request, function) in PANICS {
        let Some(mut server) = Server::start("tokio_server", "throw") else {
            return;
        };
        let mut other = server.connect();
        assert_eq!(other.ask("GET 1"), "value of 1");
        server.faults(request, 3);
        assert_eq!(other.ask("GET 2"), "value of 2");
        let state = server.state(3);
        assert_eq!(Raising::number(&state, "destructors"), 3, "{request}: {state}");
        assert!(state.ends_with("locked false"), "{request}: {state}");
        assert_eq!(
            server.supervisor.stdout_line("ended: "),
            format!("SIGSEGV: null pointer dereference at 0x0 in {function}")
        );
        let report = server.sickbay.awaited_report();
        let reason = report.text("action.reason");
        assert!(
            reason.contains(" gets a Rust panic, which frame ") && reason.contains("tokio::runtime::task"),
            "{reason}"
        );
    }
}

/// The compiler knew that the function cannot panic, so nothing would release the lock around its call.
#[test]
fn a_lock_around_a_call_that_cannot_panic_is_not_left_behind() {
    let Some(mut server) = Server::start("tokio_server", "throw") else {
        return;
    };
    server.connect().ask("CRASH LEAF");
    assert_eq!(server.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
    let report = server.sickbay.awaited_report();
    let reason = report.text("action.reason");
    assert!(reason.contains("throw is not possible: frame 1 "), "{reason}");
}

/// The next step of the ladder: the worker's share of the work is lost with it, the others serve.
#[test]
fn a_server_that_cannot_panic_loses_the_thread_instead() {
    for (program, why) in [
        ("tokio_server_abort", "it was built with panic=abort"),
        ("tokio_server_stripped", "the program was stripped of its symbols"),
    ] {
        let Some(server) = Server::start(program, "isolate") else {
            return;
        };
        let mut client = server.connect();
        client
            .0
            .get_ref()
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        client.0.get_mut().write_all(b"CRASH FREE\n").unwrap();
        let report = server.sickbay.awaited_report();
        let action = report.text("action.taken");
        let reason = report.text("action.reason");
        assert!(reason.contains(why), "{program}: {action}: {reason}");
        assert!(
            ["exit", "park"].contains(&action),
            "{program}: {action}: {reason}"
        );
        println!("{program}: {action}: {reason}");
    }
}

fn panics_leave_nothing_behind(times: usize) {
    let Some(server) = Server::start("tokio_server", "throw") else {
        return;
    };
    let (few, all) = (times / 10, times - times / 10);
    server.faults("CRASH", few);
    let before = server.state(few);
    server.faults("CRASH", all);
    let after = server.state(times);
    for what in ["threads", "files"] {
        assert_eq!(
            Raising::number(&before, what),
            Raising::number(&after, what),
            "{before}: {after}"
        );
    }
    let grown = Raising::number(&after, "KiB").saturating_sub(Raising::number(&before, "KiB"));
    println!("{times} panics: {grown} KiB more");
    assert!(grown < 1024, "{before}: {after}");
    assert!(after.ends_with("locked false"), "{after}");
}

#[test]
fn panics_of_tasks_leave_nothing_behind() {
    panics_leave_nothing_behind(100);
}

#[test]
#[ignore = "long: make soak"]
fn ten_thousand_panics_of_tasks_leave_nothing_behind() {
    panics_leave_nothing_behind(10_000);
}
