//! Servers from packages, unmodified, in which one request faults: what is done about it, what the report says, and who is
//! served afterwards.
#![cfg(target_arch = "x86_64")]

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::support::{
    Outcome, Report, Running, Sickbay, await_that, fixture, found_in_path, is_root, run, skip, spawn,
};

fn sickbay() -> Sickbay {
    Sickbay::new().configured(
        "[[service]]\nname = \"api\"\non_fault = \"isolate\"\n[service.isolation]\nprobation = \"100ms\"\n",
    )
}

/// How setpriv(1) becomes that user.
const NOBODY: [&str; 3] = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"];

/// Starts a server that faults when it reads the marker; `words` are its program and arguments.
fn start(sickbay: &Sickbay, words: &[&str]) -> Running {
    start_with(sickbay, &fixture("poisoned_read.so"), words)
}

fn start_with(sickbay: &Sickbay, library: &Path, words: &[&str]) -> Running {
    let preload = format!("LD_PRELOAD={}", library.display());
    sickbay.start("env", &[&[preload.as_str()], words].concat())
}

/// The same as another user, who may not be allowed to read where this project is: the library is copied to a directory of
/// that user.
fn start_as_nobody(sickbay: &Sickbay, directory: &str, words: &[&str]) -> Running {
    let library = Path::new(directory).join("poisoned_read.so");
    std::fs::copy(fixture("poisoned_read.so"), &library).unwrap();
    start_with(sickbay, &library, &[&["setpriv"], &NOBODY[..], words].concat())
}

#[track_caller]
fn settled(sickbay: &Sickbay) -> Report {
    await_that("a settled report", || {
        let reports = sickbay.reports();
        reports.into_iter().find(|report| report.has("threads"))
    })
}

/// A port of the loopback interface that nobody has.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn get(port: u16, path: &str) -> Outcome {
    let url = format!("http://127.0.0.1:{port}/{path}");
    run(Command::new("curl").args(["--silent", "--max-time", "2", &url]))
}

#[track_caller]
fn await_served(port: u16) {
    await_that("the server to answer", || {
        (get(port, "good").stdout == "fine\n").then_some(())
    });
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// The thread of one request goes; the others of its process serve.
#[test]
fn apache_loses_one_of_its_threads() {
    let apache = Path::new("/usr/sbin/apache2");
    if !apache.exists() || !is_root() || found_in_path("curl").is_none() {
        return skip("apache2 or curl is not installed, or nobody is root");
    }
    let sickbay = sickbay();
    let (root, port) = (sickbay.scratch().to_owned(), free_port());
    // It serves nothing as root.
    std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let configuration = root.join("apache.conf");
    write(&root.join("good"), "fine\n");
    let modules = "/usr/lib/apache2/modules";
    write(
        &configuration,
        &format!(
            "ServerRoot {0}\nServerName localhost\nPidFile {0}/pid\nErrorLog {0}/error.log\nListen 127.0.0.1:{port}\n\
             LoadModule mpm_event_module {modules}/mod_mpm_event.so\n\
             LoadModule authz_core_module {modules}/mod_authz_core.so\n\
             StartServers 1\nServerLimit 1\nThreadsPerChild 4\nMaxRequestWorkers 4\nDocumentRoot {0}\n\
             User nobody\nGroup nogroup\n",
            root.display()
        ),
    );
    let arguments = ["-X", "-f", configuration.to_str().unwrap()];
    let _server = start(&sickbay, &[&[apache.to_str().unwrap()], &arguments[..]].concat());
    await_served(port);
    assert_eq!(get(port, "poison").stdout, "");
    let report = settled(&sickbay);
    let taken = report.text("action.taken");
    assert!(matches!(taken, "unwind" | "exit"), "{report:?}");
    for _ in 0..8 {
        await_served(port);
    }
}

/// A thread of its pool reads the file, and goes; the loop and the other thread serve.
#[test]
fn nginx_loses_a_thread_of_its_pool() {
    let Some(nginx) = found_in_path("nginx").filter(|_| is_root() && found_in_path("curl").is_some()) else {
        return skip("nginx or curl is not installed, or nobody is root");
    };
    let sickbay = sickbay();
    let (root, port) = (sickbay.scratch().to_owned(), free_port());
    let configuration = root.join("nginx.conf");
    write(&root.join("good"), "fine\n");
    write(&root.join("bad"), "poison\n");
    write(
        &configuration,
        &format!(
            "daemon off; worker_processes 1; pid {0}/pid; error_log {0}/error.log; user root;\n\
             thread_pool default threads=2; events {{ worker_connections 64; }}\n\
             http {{ access_log off; aio threads; sendfile off; client_body_temp_path {0}/b; proxy_temp_path {0}/p;\n\
             fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;\n\
             server {{ listen 127.0.0.1:{port}; root {0}; }} }}\n",
            root.display()
        ),
    );
    let words = [
        nginx.to_str().unwrap(),
        "-c",
        configuration.to_str().unwrap(),
        "-p",
        root.to_str().unwrap(),
    ];
    let _server = start(&sickbay, &words);
    await_served(port);
    assert_eq!(get(port, "bad").stdout, "");
    assert_eq!(settled(&sickbay).text("action.taken"), "exit");
    for _ in 0..8 {
        await_served(port);
    }
}

/// Each of its processes is one thread: nothing is isolated, and its postmaster starts anew.
#[test]
fn postgres_is_left_to_its_postmaster() {
    if found_in_path("initdb").is_none() || found_in_path("psql").is_none() || !is_root() {
        return skip("postgresql is not installed, or nobody is root");
    }
    let sickbay = sickbay();
    let directory = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
    let root = directory.path().to_str().unwrap().to_owned();
    assert_eq!(run(Command::new("chown").args(["nobody", &root])).code(), 0);
    let data = format!("{root}/data");
    let made = run(Command::new("setpriv")
        .args(NOBODY)
        .args(["initdb", "-D", &data, "-U", "postgres", "--no-sync"])
        .current_dir(&root));
    assert_eq!(made.code(), 0, "{made:#?}");
    let server = ["postgres", "-D", &data, "-k", &root, "-h", "", "-c", "fsync=off"];
    let _server = start_as_nobody(&sickbay, &root, &server);
    let ask =
        |question: &str| run(Command::new("psql").args(["-h", &root, "-U", "postgres", "-Atc", question]));
    let answers = || (ask("select 42").stdout == "42\n").then_some(());
    await_that("the server to answer", answers);
    let _ = ask("select 'poison'");
    let report = settled(&sickbay);
    assert_eq!(report.text("action.taken"), "deliver", "{report:?}");
    let reason = report.text("action.reason");
    assert!(reason.contains("only thread of a process"), "{reason}");
    await_that("the server to answer again", answers);
}

/// Its own handler of the signal says what it was doing, and ends it: nothing comes between.
#[test]
fn mariadb_ends_as_its_handler_wants() {
    let installed = Path::new("/usr/sbin/mariadbd").exists() && found_in_path("mariadb").is_some();
    if !installed || !is_root() {
        return skip("mariadb-server is not installed, or nobody is root");
    }
    let sickbay = sickbay();
    let directory = tempfile::Builder::new().prefix("my").tempdir_in("/tmp").unwrap();
    let root = directory.path().to_str().unwrap().to_owned();
    assert_eq!(run(Command::new("chown").args(["nobody", &root])).code(), 0);
    let socket = format!("{root}/s");
    let options = [
        "mariadbd".to_owned(),
        "--no-defaults".to_owned(),
        format!("--datadir={root}"),
        format!("--socket={socket}"),
        "--skip-networking".to_owned(),
        // Without its tables of users.
        "--skip-grant-tables".to_owned(),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut server = start_as_nobody(&sickbay, &root, &options);
    let client = |question: &str| {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-uroot", "-S", &socket, "-N", "-e", question]);
        command
    };
    await_that("the server to answer", || {
        (run(&mut client("select 42")).stdout == "42\n").then_some(())
    });
    let _asking = spawn(&mut client("select 'poison'"));
    let report = settled(&sickbay);
    assert_eq!(report.text("action.taken"), "deliver", "{report:?}");
    let reason = report.text("action.reason");
    assert!(reason.contains("it is inside a signal handler"), "{reason}");
    await_that("its end", || server.has_ended().then_some(()));
}
