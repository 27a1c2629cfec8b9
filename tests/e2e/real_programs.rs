//! Services as people run them: redis under load, redis with its own crash handler, Python.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{Running, Sickbay, await_that, found_in_path, proc, run, skip, spawn};

const REQUESTS: &str = "100000";

/// Arguments of a redis that keeps nothing and listens on a socket file only.
fn redis_arguments(socket: &str) -> Vec<String> {
    [
        "--port",
        "0",
        "--unixsocket",
        socket,
        "--save",
        "",
        "--appendonly",
        "no",
        "--daemonize",
        "no",
    ]
    .into_iter()
    .chain(["--enable-debug-command", "yes"])
    .map(str::to_owned)
    .collect()
}

fn benchmark(socket: &str) -> Running {
    spawn(
        Command::new("redis-benchmark")
            .args(["-s", socket, "-q", "-t", "set,get", "-n", REQUESTS, "-c", "20"]),
    )
}

#[track_caller]
fn await_answering(socket: &str) {
    await_that("redis to answer", || {
        let ping = run(Command::new("redis-cli").args(["-s", socket, "ping"]));
        (ping.stdout.trim() == "PONG").then_some(())
    });
}

#[test]
fn redis_under_load_is_taken_and_let_go() {
    let Some(redis) = found_in_path("redis-server").filter(|_| found_in_path("redis-benchmark").is_some())
    else {
        return skip("redis is not installed");
    };
    let sickbay = Sickbay::new();
    let socket = sickbay.scratch().join("redis.sock");
    let socket = socket.to_str().unwrap();
    let redis = spawn(
        Command::new(redis)
            .args(redis_arguments(socket))
            .current_dir(sickbay.scratch()),
    );
    await_answering(socket);

    let under_attach = benchmark(socket);
    let (supervisor, announced) = sickbay.attach(redis.pid());
    assert!(announced.starts_with("1 process, "), "{announced}");
    let tasks = proc::tasks(redis.pid());
    assert!(tasks.iter().all(|task| task.tracer != 0), "{tasks:?}");
    let supervised = under_attach.finish();

    let during_release = benchmark(socket);
    supervisor.signal(Signal::SIGINT);
    assert_eq!(supervisor.finish().code(), 0);
    proc::assert_let_go(redis.pid());
    let released = during_release.finish();

    for outcome in [&supervised, &released] {
        assert_eq!(outcome.code(), 0, "{outcome:#?}");
        assert!(
            outcome.stdout.contains("SET: ") && outcome.stdout.contains("GET: "),
            "{outcome:#?}"
        );
        assert!(!outcome.stderr.to_lowercase().contains("error"), "{outcome:#?}");
        println!("{}", outcome.stdout.replace('\r', "\n"));
    }
    assert!(sickbay.reports().is_empty());
}

#[test]
fn redis_prints_its_own_crash_report_and_leaves_one_of_ours() {
    let Some(redis) = found_in_path("redis-server").filter(|_| found_in_path("redis-cli").is_some()) else {
        return skip("redis is not installed");
    };
    let sickbay = Sickbay::new();
    let socket = sickbay.scratch().join("redis.sock");
    let socket = socket.to_str().unwrap();
    let mut command = sickbay.run_command(redis, &redis_arguments(socket));
    let supervisor = spawn(command.current_dir(sickbay.scratch()));
    await_answering(socket);
    run(Command::new("redis-cli").args(["-s", socket, "debug", "segfault"]));
    let outcome = supervisor.finish();
    assert_eq!(outcome.code(), 139, "{outcome:#?}");
    assert!(outcome.stdout.contains("REDIS BUG REPORT"), "{outcome:#?}");
    let report = sickbay.only_report();
    assert_eq!(report.text("process.comm"), "redis-server");
    assert_eq!(report.text("signal.name"), "SIGSEGV");
}

#[test]
fn redis_under_load_is_captured() {
    let Some(redis) = found_in_path("redis-server").filter(|_| found_in_path("redis-benchmark").is_some())
    else {
        return skip("redis is not installed");
    };
    let sickbay = Sickbay::new();
    let socket = sickbay.scratch().join("redis.sock");
    let socket = socket.to_str().unwrap();
    let redis = spawn(
        Command::new(redis)
            .args(redis_arguments(socket))
            .current_dir(sickbay.scratch()),
    );
    await_answering(socket);
    let load = benchmark(socket);
    for _ in 0..5 {
        let (report, outcome) = sickbay.capture(redis.pid());
        assert_eq!(outcome.code(), 0, "{outcome:#?}");
        assert_eq!(report.text("process.comm"), "redis-server");
        assert!(report.list("threads").len() > 1);
    }
    let outcome = load.finish();
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    assert!(outcome.stdout.contains("GET: "), "{outcome:#?}");
    assert!(!outcome.stderr.to_lowercase().contains("error"), "{outcome:#?}");
    proc::assert_let_go(redis.pid());
}

#[test]
fn python_is_captured() {
    let Some(python) = found_in_path("python3") else {
        return skip("python3 is not installed");
    };
    let script = "import sys, threading\n\
        lock = threading.Lock(); lock.acquire()\n\
        for _ in range(3): threading.Thread(target=lock.acquire, daemon=True).start()\n\
        print('ready', flush=True); sys.stdin.read(); print('done')";
    let mut program = spawn(Command::new(python).args(["-c", script]));
    program.stdout_line("ready");
    await_that("three threads that wait for the lock", || {
        let tasks = proc::tasks(program.pid()).into_iter();
        let waiting = tasks.filter(|task| proc::system_call(task.tid) == Some(libc::SYS_futex));
        (waiting.count() == 3).then_some(())
    });
    let (report, outcome) = Sickbay::new().capture(program.pid());
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    let waits = |kind: &str| {
        let threads = report.list("threads").iter();
        threads.filter(|thread| thread["waiting"]["kind"] == kind).count()
    };
    assert_eq!((waits("semaphore"), waits("read")), (3, 1), "{report:?}");
    let outcome = program.finish();
    assert_eq!(
        (outcome.code(), outcome.stdout.as_str()),
        (0, "ready\ndone\n"),
        "{outcome:#?}"
    );
}
