//! A Python server with a thread for each connection, whose requests fault in native code of every make: `except RuntimeError`
//! gets the fault, and nothing is left of it.
#![cfg(target_arch = "x86_64")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;

use crate::support::{DEADLINE, Ended, Raising, Running, Sickbay, fixture, is_built, pythons, skip};

/// Requests whose fault becomes a RuntimeError, and the function that the text of it names; none where the module has no
/// symbols.
const RAISED: [(&str, Option<&str>); 15] = [
    ("ctypes/held", None),
    ("ctypes/released", None),
    ("native/held", Some("parse_header")),
    ("native/released", Some("parse_header")),
    ("cython/held", Some("parse_header")),
    ("cython/released", Some("parse_header")),
    ("cython/in_place", Some("in_place")),
    ("cython/below", Some("parse_header")),
    ("cython/method", Some("parse_header")),
    ("translated/held", None),
    ("translated/released", None),
    ("pybind/held", Some("parse_header")),
    ("pybind/released", Some("parse_header")),
    ("pybind/guarded", Some("parse_header")),
    ("pybind/method", Some("parse_header")),
];

/// Connections at once, each with a thread of the server.
const CONNECTIONS: usize = 4;

/// The server under supervision.
struct Server {
    sickbay: Sickbay,
    supervisor: Running,
    port: u16,
}

/// One connection.
struct Client(BufReader<TcpStream>);

impl Server {
    fn start(python: &str, on_fault: &str) -> Self {
        let sickbay = Sickbay::new().configured(&format!(
            "[[service]]\nname = \"api\"\non_fault = \"{on_fault}\"\n[service.isolation]\nthrows_per_second = 100000\n\
             [service.report]\nmax_per_minute = 3\n"
        ));
        let mut supervisor = sickbay.start(python, &[fixture("python_server.py")]);
        let port = supervisor.stdout_line("listening on 127.0.0.1:").parse().unwrap();
        Self {
            sickbay,
            supervisor,
            port,
        }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Client(BufReader::new(stream))
    }
}

impl Client {
    fn send(&mut self, path: &str) {
        let request = format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
    }

    /// The status and the body.
    #[track_caller]
    fn get(&mut self, path: &str) -> (u16, String) {
        self.send(path);
        let mut line = || {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "/{path}: the connection has ended");
            line.trim_end().to_owned()
        };
        let status = line().split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = 0;
        loop {
            let header = line();
            match header.split_once(": ") {
                Some(("Content-Length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    /// A request that faults, and what its traceback is.
    #[track_caller]
    fn fails(&mut self, path: &str, function: Option<&str>) -> String {
        let (status, said) = self.get(path);
        let expected = "RuntimeError: SIGSEGV: null pointer dereference at 0x0 in ";
        let text = said.strip_prefix(expected);
        let text = text.unwrap_or_else(|| panic!("/{path}: {status} {said}"));
        assert_eq!(status, 500, "/{path}: {said}");
        let (place, traceback) = text.split_once(" | ").unwrap();
        assert!(
            function.is_none_or(|function| place.contains(function)),
            "/{path}: {said}"
        );
        traceback.to_owned()
    }
}

/// The interpreters of the version for which exceptions are raised, where the modules were built.
fn interpreters() -> Vec<String> {
    let found: Vec<String> = pythons("sys.version_info[:2] == (3, 11)");
    if found.is_empty() || !is_built("fault_pybind.so") {
        skip("Python 3.11 is not installed, or its headers, Cython or pybind11 are not");
        return Vec::new();
    }
    found
}

#[test]
fn a_request_that_faults_fails_by_itself_with_the_traceback_of_its_call() {
    for python in interpreters() {
        let server = Server::start(&python, "throw");
        let mut client = server.connect();
        for (path, function) in RAISED {
            let traceback = client.fails(path, function);
            let mut passed = traceback.split(" | ");
            assert_eq!(
                passed.next(),
                Some("do_GET:text = str(call(*self.path[1:].split(\"/\")))")
            );
            let (module, name) = path.split_once('/').unwrap();
            let call = match (module, name) {
                ("ctypes", _) => "call:return call_ctypes(function)",
                (_, "method") => "call:return parsers[module].parse(argument)",
                ("native", _) => "call:return getattr(fault_native, function)()",
                _ => "call:return getattr(modules[module], function)(argument)",
            };
            assert_eq!(passed.next(), Some(call), "{path}");
            let last = match path {
                "ctypes/held" => Some("call_ctypes:return length_with_lock(None)".to_owned()),
                "ctypes/released" => Some("call_ctypes:return length(None)".to_owned()),
                // What Cython made of an exception of C++ is of its own function.
                _ if module == "translated" => Some(format!("fault_translated.{name}:")),
                _ => None,
            };
            assert_eq!(passed.map(str::to_owned).next(), last, "{path}");
            assert_eq!(client.get("good"), (200, "ok".to_owned()));
        }
    }
}

/// A function of Cython that called the one that faulted runs its `finally`.
#[test]
fn handlers_of_cython_run_on_the_way() {
    for python in interpreters() {
        let server = Server::start(&python, "throw");
        let mut client = server.connect();
        let traceback = client.fails("cython/cleaned", Some("parse_header"));
        assert!(traceback.ends_with("fault_cython.cleaned:"), "{traceback}");
        let (_, state) = client.get("state");
        assert_eq!(Raising::number(&state, "noted"), 1, "{state}");
    }
}

/// In a function of Python that C called, the exception goes where any other would: nowhere further.
#[test]
fn a_fault_below_a_callback_stays_in_it() {
    for python in interpreters() {
        let mut server = Server::start(&python, "throw");
        let mut client = server.connect();
        assert_eq!(client.get("ctypes/callback").0, 200);
        server
            .supervisor
            .stderr_line("RuntimeError: SIGSEGV: null pointer dereference at 0x0 in libc.so.6");
    }
}

/// Never made to sleep or to end, with the interpreter lock or where that is not known.
#[test]
fn what_cannot_be_raised_is_delivered() {
    for python in interpreters() {
        for (path, why) in [
            ("cython/attribute", "calls what returns no object"),
            (
                "pybind/in_place",
                "frame 0 has destructors or handlers that would not run",
            ),
        ] {
            let mut server = Server::start(&python, "isolate");
            server.connect().send(path);
            assert_eq!(
                server.supervisor.ended(),
                Ended::Exited(128 + libc::SIGSEGV),
                "{path}"
            );
            let report = server.sickbay.awaited_report();
            assert_eq!(report.text("action.taken"), "deliver", "{path}");
            let reason = report.text("action.reason");
            assert!(reason.contains("throw is not possible: "), "{path}: {reason}");
            assert!(reason.contains(why), "{path}: {reason}");
            assert!(
                reason.contains("may hold its interpreter lock (GIL)"),
                "{path}: {reason}"
            );
        }
    }
}

/// So many times from each connection, with a good request after each.
fn failing(clients: Vec<Client>, path: &'static str, times: usize) -> Vec<Client> {
    let (_, function) = RAISED.into_iter().find(|(known, _)| *known == path).unwrap();
    let failing: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            thread::spawn(move || {
                for _ in 0..times {
                    client.fails(path, function);
                    assert_eq!(client.get("good"), (200, "ok".to_owned()));
                }
                client
            })
        })
        .collect();
    let clients = failing.into_iter().map(|failing| failing.join().unwrap());
    clients.collect()
}

/// `leak`: what a call may leave behind, bytes.
fn faults_leave_nothing_behind(python: &str, path: &'static str, times: usize, leak: usize) {
    let server = Server::start(python, "throw");
    let clients = (0..CONNECTIONS).map(|_| server.connect()).collect();
    // Every thread has raised, and has what it keeps.
    let mut clients = failing(clients, path, 3);
    let (_, before) = clients[0].get("state");
    let mut clients = failing(clients, path, times / CONNECTIONS);
    let (_, after) = clients[0].get("state");
    for what in ["threads", "files", "references", "alive"] {
        assert_eq!(
            Raising::number(&before, what),
            Raising::number(&after, what),
            "{python}, {path}: {what}: {before}: {after}"
        );
    }
    // Another thread may be on its way to its next request.
    let objects = [&before, &after].map(|state| Raising::number(state, "objects"));
    assert!(
        objects[1] < objects[0] + times / 2,
        "{python}, {path}: {before}: {after}"
    );
    let grown = Raising::number(&after, "KiB").saturating_sub(Raising::number(&before, "KiB"));
    println!("{path}, {times} times: {grown} KiB more");
    assert!(
        grown < 1024 + times * leak / 1024,
        "{python}, {path}: {before}: {after}"
    );
}

/// With one interpreter: it takes a while.
fn one_leaves_nothing_behind(path: &'static str) {
    for python in interpreters().into_iter().take(1) {
        faults_leave_nothing_behind(&python, path, 52, 1024);
    }
}

#[test]
fn faults_in_ctypes_leave_nothing_behind() {
    one_leaves_nothing_behind("ctypes/released");
}

#[test]
fn faults_in_an_extension_leave_nothing_behind() {
    one_leaves_nothing_behind("native/held");
}

#[test]
fn faults_in_cython_leave_nothing_behind() {
    one_leaves_nothing_behind("cython/released");
}

#[test]
fn faults_in_pybind11_leave_nothing_behind() {
    one_leaves_nothing_behind("pybind/guarded");
}

/// What a call through `ctypes` has made for itself is not given back.
#[test]
#[ignore = "long: make soak"]
fn ten_thousand_faulting_requests_of_a_python_server_leave_nothing_behind() {
    let each = 10_000 / RAISED.len();
    for python in interpreters().into_iter().take(1) {
        for (path, _) in RAISED {
            let leak = if path.starts_with("ctypes/") { 1024 } else { 0 };
            faults_leave_nothing_behind(&python, path, each, leak);
        }
    }
}
