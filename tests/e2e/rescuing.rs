//! Servers from packages, unmodified, in which one request faults: the thread returns to its event loop.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::support::{Ended, Report, Running, Sickbay, await_that, fixture, found_in_path, skip};

/// Connections before the fault, and after it.
const CONNECTIONS: usize = 40;
const THREADS: &str = "4";
/// How long one answer may take before its connection counts as unserved.
const PATIENCE: Duration = Duration::from_secs(2);

/// memcached with its four workers, under supervision.
struct Memcached {
    sickbay: Sickbay,
    supervisor: Running,
}

impl Memcached {
    fn start(configuration: &str) -> Option<Self> {
        Self::with(Sickbay::new(), configuration)
    }

    fn with(sickbay: Sickbay, configuration: &str) -> Option<Self> {
        let memcached = found_in_path("memcached")?;
        let sickbay = sickbay.configured(&format!(
            "[[service]]\nname = \"api\"\n{configuration}\nprobation = \"100ms\"\n"
        ));
        let socket = sickbay.scratch().join("memcached.sock");
        let preload = format!("LD_PRELOAD={}", fixture("poisoned_read.so").display());
        let arguments = [
            preload.as_str(),
            memcached.to_str().unwrap(),
            "-t",
            THREADS,
            "-u",
            "root",
            "-s",
            socket.to_str().unwrap(),
        ];
        let supervisor = sickbay.start("env", &arguments);
        await_that("memcached to listen", || UnixStream::connect(&socket).ok());
        Some(Self { sickbay, supervisor })
    }

    fn connect(&self) -> Client {
        Client::connect(&self.sickbay.scratch().join("memcached.sock"))
    }

    fn connect_all(&self) -> Vec<Client> {
        (0..CONNECTIONS).map(|_| self.connect()).collect()
    }

    /// One request faults; returns its connection, and the settled report.
    fn fault(&self) -> (Client, Report) {
        let mut poisoned = self.connect();
        assert!(poisoned.is_served());
        poisoned.send("get poison\r\n");
        let report = await_that("a settled report", || {
            let reports = self.sickbay.reports().into_iter();
            reports.into_iter().find(|report| report.has("threads"))
        });
        (poisoned, report)
    }
}

/// One connection to it.
struct Client(BufReader<UnixStream>);

impl Client {
    fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, request: &str) {
        let _ = self.0.get_mut().write_all(request.as_bytes());
    }

    /// The next line; none where there is none in time, empty where the connection is at its end.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok().map(|_| line)
    }

    fn is_served(&mut self) -> bool {
        self.send("get nothing\r\n");
        self.line().as_deref() == Some("END\r\n")
    }
}

/// How many are served. All are asked before one is waited for, so that those without an answer cost one wait.
fn served(clients: &mut [Client]) -> usize {
    for client in clients.iter_mut() {
        client.send("get nothing\r\n");
    }
    let mut patience = PATIENCE;
    let mut served = 0;
    for client in clients {
        client.0.get_ref().set_read_timeout(Some(patience)).unwrap();
        if client.line().as_deref() == Some("END\r\n") {
            served += 1;
        } else {
            // Those that come now have had as long.
            patience = Duration::from_millis(1);
        }
    }
    served
}

#[test]
fn memcached_serves_every_connection_after_a_rescue() {
    let configuration = "on_fault = \"rescue\"\n[service.isolation]\nshutdown = true";
    let Some(memcached) = Memcached::start(configuration) else {
        return skip("memcached is not installed");
    };
    let mut open = memcached.connect_all();
    assert_eq!(served(&mut open), CONNECTIONS);
    for _ in 0..3 {
        let (mut poisoned, report) = memcached.fault();
        assert_eq!(report.text("action.taken"), "rescue", "{report:?}");
        let reason = report.text("action.reason");
        assert!(reason.contains("by the dispatcher of libevent"), "{reason}");
        let evidence = format!("{:?}", report.list("action.evidence"));
        assert!(
            evidence.contains("the connection that it was serving was shut down"),
            "{evidence}"
        );
        assert_eq!(poisoned.line().as_deref(), Some(""), "its client reads an end");
    }
    let mut new = memcached.connect_all();
    println!(
        "rescue: {} of {CONNECTIONS} open and {} of {CONNECTIONS} new connections are served",
        served(&mut open),
        served(&mut new)
    );
    assert_eq!((served(&mut open), served(&mut new)), (CONNECTIONS, CONNECTIONS));
}

/// The thread is gone, and its share of the connections with it.
#[test]
fn memcached_serves_the_connections_of_the_other_threads_after_an_exit() {
    let Some(memcached) = Memcached::start("on_fault = \"exit\"\n[service.isolation]") else {
        return skip("memcached is not installed");
    };
    let mut open = memcached.connect_all();
    assert_eq!(served(&mut open), CONNECTIONS);
    let (_, report) = memcached.fault();
    assert_eq!(report.text("action.taken"), "exit", "{report:?}");
    let mut new = memcached.connect_all();
    let (of_open, of_new) = (served(&mut open), served(&mut new));
    println!(
        "exit: {of_open} of {CONNECTIONS} open and {of_new} of {CONNECTIONS} new connections are served"
    );
    assert_eq!(of_open, CONNECTIONS * 3 / 4);
    assert_eq!(of_new, CONNECTIONS * 3 / 4);
}

#[test]
fn memcached_dies_with_its_report_when_its_signal_is_delivered() {
    let Some(mut memcached) = Memcached::start("on_fault = \"deliver\"\n[service.isolation]") else {
        return skip("memcached is not installed");
    };
    let (mut poisoned, report) = memcached.fault();
    assert_eq!(report.text("action.taken"), "deliver");
    assert_eq!(report.text("process.comm"), "memcached");
    assert_eq!(memcached.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
    assert_eq!(poisoned.line().unwrap_or_default(), "");
}

/// The thread takes its own signal when its tracer dies in front of its return.
#[cfg(feature = "fail-points")]
#[test]
fn a_tracer_that_dies_in_front_of_a_rescue_leaves_the_thread_with_its_signal() {
    let sickbay = Sickbay::new();
    let mark = sickbay.scratch().join("mark");
    let sickbay = sickbay
        .variable("SICKBAY_FAIL", "tracer.rescue.prepared")
        .variable("SICKBAY_FAIL_MARK", &mark);
    let Some(mut memcached) = Memcached::with(sickbay, "on_fault = \"rescue\"\n[service.isolation]") else {
        return skip("memcached is not installed");
    };
    memcached.connect().send("get poison\r\n");
    assert_eq!(memcached.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
    assert!(mark.exists());
}
