//! Programs that others have written, and their own checks, as judges: plain and supervised with equal results.
//!
//! Those that take longer than seconds are run by `make soak`, for `SICKBAY_SOAK_SECONDS` each where they have no end of
//! their own.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::compare::{attach_for_a_moment, compare_path, few_reports};
use crate::support::{Outcome, Running, Sickbay, await_that, fixture, found_in_path, run, skip, spawn};

/// Stressors of stress-ng that live on what a tracer touches, each with a number of operations that takes about a second.
const STRESSORS: [(&str, &str); 14] = [
    ("signal", "2000"),
    ("sigq", "2000"),
    ("sigsuspend", "500"),
    ("sigsegv", "500"),
    ("clone", "100"),
    ("fork", "200"),
    ("vfork", "200"),
    ("pthread", "100"),
    ("exec", "30"),
    ("timer", "200"),
    ("futex", "2000"),
    ("seccomp", "50"),
    ("bad-altstack", "50"),
    ("fault", "500"),
];

/// The modules of CPython's own test suite about signals, threads and processes.
const PYTHON_TESTS: [&str; 6] = [
    "test_signal",
    "test_eintr",
    "test_faulthandler",
    "test_threading",
    "test_subprocess",
    "test_asyncio",
];
/// The one that the package libpython3.11-testsuite is for.
const PYTHON: &str = "/usr/bin/python3.11";

fn stress(stressor: &str, operations: &str) -> Vec<String> {
    let arguments = [
        &format!("--{stressor}"),
        "1",
        &format!("--{stressor}-ops"),
        operations,
        "--verify",
        "--timeout",
        "60",
        "--temp-path",
        "/tmp",
    ];
    arguments.into_iter().map(str::to_owned).collect()
}

fn stressors(share: usize) {
    let Some(stress_ng) = found_in_path("stress-ng") else {
        return skip("stress-ng is not installed");
    };
    for (stressor, operations) in STRESSORS {
        let operations = (operations.parse::<usize>().unwrap() / share).max(1).to_string();
        let arguments = stress(stressor, &operations);
        let plain = run(Command::new(&stress_ng).args(&arguments));
        let sickbay = few_reports();
        let supervised = sickbay.run(&stress_ng, &arguments);
        assert_eq!(supervised.code(), plain.code(), "{stressor}: {supervised:#?}");
        let complaints = |outcome: &Outcome| {
            let lines = outcome.stderr.lines().chain(outcome.stdout.lines());
            lines.filter(|line| line.contains(" fail")).count()
        };
        assert_eq!(
            complaints(&supervised),
            complaints(&plain),
            "{stressor}: {supervised:#?}"
        );
    }
}

#[test]
fn stress_ng_for_a_moment() {
    stressors(10);
}

#[test]
#[ignore = "long: make soak"]
fn stress_ng() {
    stressors(1);
}

fn python_tests(module: &str) {
    if !std::path::Path::new("/usr/lib/python3.11/test/test_signal.py").exists() {
        return skip("libpython3.11-testsuite is not installed");
    }
    let arguments = ["-m", "test", "-u", "none", module];
    let plain = run_long(Command::new(PYTHON).args(arguments));
    let sickbay = few_reports();
    let supervised = run_long(&mut sickbay.run_command(PYTHON, &arguments));
    let verdict = |outcome: &Outcome| {
        let lines = outcome
            .stdout
            .lines()
            .filter(|line| line.starts_with("Tests result:") || line.contains(" failed:"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        (supervised.code(), verdict(&supervised)),
        (plain.code(), verdict(&plain)),
        "{module}: {supervised:#?}"
    );
}

/// Runs a command that may take minutes.
fn run_long(command: &mut Command) -> Outcome {
    let mut running = spawn(command);
    let start = Instant::now();
    while !running.has_ended() {
        assert!(
            start.elapsed() < Duration::from_secs(600),
            "{command:?} takes too long"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    running.finish()
}

#[test]
#[ignore = "long: make soak"]
fn python_tests_its_signals_threads_and_processes() {
    for module in PYTHON_TESTS {
        python_tests(module);
    }
}

#[test]
fn jobs_of_an_interactive_shell() {
    let python = std::path::PathBuf::from("/usr/bin/python3");
    let has_pexpect =
        python.exists() && run(Command::new(&python).args(["-c", "import pexpect"])).code() == 0;
    if !has_pexpect {
        return skip("python3-pexpect is not installed");
    }
    let script = fixture("job_control.py");
    compare_path(python)
        .with(&[script.to_str().unwrap()])
        .in_every_way();
}

/// How long a soak goes on.
fn soak() -> Duration {
    let seconds = std::env::var("SICKBAY_SOAK_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// Attaches and lets go for that time, at least once.
fn churn(server: &mut Running, time: Duration) -> usize {
    let sickbay = Sickbay::new();
    let start = Instant::now();
    let mut rounds = 0;
    while rounds == 0 || start.elapsed() < time {
        attach_for_a_moment(&sickbay, server);
        rounds += 1;
    }
    assert!(sickbay.reports().is_empty());
    rounds
}

fn redis(time: Duration) {
    let (Some(redis), Some(benchmark)) = (found_in_path("redis-server"), found_in_path("redis-benchmark"))
    else {
        return skip("redis is not installed");
    };
    let scene = tempfile::tempdir().unwrap();
    let socket = scene.path().join("redis.sock");
    let socket = socket.to_str().unwrap();
    let options = [
        "--port",
        "0",
        "--unixsocket",
        socket,
        "--save",
        "",
        "--appendonly",
        "no",
    ];
    let mut server = spawn(Command::new(redis).args(options).current_dir(scene.path()));
    await_that("redis to answer", || {
        let ping = run(Command::new("redis-cli").args(["-s", socket, "ping"]));
        (ping.stdout.trim() == "PONG").then_some(())
    });
    let load = [
        "-s",
        socket,
        "-q",
        "-t",
        "set,get,incr,lpush",
        "-n",
        "100000000",
        "-c",
        "20",
    ];
    let mut clients = spawn(Command::new(benchmark).args(load));
    let rounds = churn(&mut server, time);
    assert!(
        !clients.has_ended(),
        "the clients gave up: {:#?}",
        clients.finish()
    );
    clients.signal(Signal::SIGKILL);
    println!("redis: attached {rounds} times");
    let info = run(Command::new("redis-cli").args(["-s", socket, "info", "stats"]));
    let errors = info
        .stdout
        .lines()
        .find(|line| line.starts_with("total_error_replies:"));
    assert_eq!(errors.map(str::trim), Some("total_error_replies:0"), "{info:#?}");
}

#[test]
fn redis_under_load_for_a_moment() {
    redis(Duration::from_secs(1));
}

#[test]
#[ignore = "long: make soak"]
fn redis_under_load() {
    redis(soak());
}

/// A configuration of nginx that needs no privileges and no directories of the system.
fn nginx_configuration(scene: &std::path::Path) -> String {
    let scene = scene.display();
    format!(
        "daemon off; master_process on; worker_processes 2; pid {scene}/pid; error_log stderr error;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; client_body_temp_path {scene}/a; proxy_temp_path {scene}/b; fastcgi_temp_path {scene}/c;\n\
         uwsgi_temp_path {scene}/d; scgi_temp_path {scene}/e;\n\
         server {{ listen 127.0.0.1:PORT; location / {{ return 200 'well\\n'; }} }} }}\n"
    )
}

fn nginx(time: Duration) {
    let (Some(nginx), Some(wrk)) = (found_in_path("nginx"), found_in_path("wrk")) else {
        return skip("nginx or wrk is not installed");
    };
    let scene = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let file = scene.path().join("nginx.conf");
    let text = nginx_configuration(scene.path()).replace("PORT", &port.to_string());
    std::fs::write(&file, text).unwrap();
    let mut server = spawn(
        Command::new(nginx)
            .arg("-c")
            .arg(&file)
            .arg("-p")
            .arg(scene.path()),
    );
    await_that("nginx to listen", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });
    let seconds = format!("{}s", time.as_secs() + 2);
    let url = format!("http://127.0.0.1:{port}/");
    let mut clients = spawn(Command::new(wrk).args(["-t1", "-c8", "-d", &seconds, "--timeout", "10", &url]));
    let rounds = churn(&mut server, time);
    while !clients.has_ended() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let outcome = clients.finish();
    println!("nginx: attached {rounds} times\n{}", outcome.stdout);
    assert!(
        outcome.code() == 0
            && !outcome.stdout.contains("Socket errors")
            && !outcome.stdout.contains("Non-2xx"),
        "{outcome:#?}"
    );
}

#[test]
fn nginx_under_load_for_a_moment() {
    nginx(Duration::from_secs(1));
}

#[test]
#[ignore = "long: make soak"]
fn nginx_under_load() {
    nginx(soak());
}
