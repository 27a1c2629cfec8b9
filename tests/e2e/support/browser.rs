//! A headless Chromium, driven through its debugging protocol (two pipes, JSON messages with a zero byte behind each).

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::deadline::{DEADLINE, await_that};
use super::process::{Running, spawn};
use super::programs::found_in_path;

/// What keeps the browser to itself: it asks nobody for updates and settings.
const OPTIONS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
    "--remote-debugging-pipe",
];

/// Gives the browser its two pipes as descriptors 3 and 4.
const WITH_PIPES: &str =
    "program=$1; orders=$2; answers=$3; shift 3; exec \"$program\" \"$@\" 3<\"$orders\" 4>\"$answers\"";

/// A browser with one page. It ends with the test.
pub(crate) struct Browser {
    orders: File,
    answers: Receiver<Value>,
    session: Value,
    number: u64,
    _process: Running,
    _profile: TempDir,
}

impl Browser {
    /// Starts the browser with an empty page; none where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let program = found_in_path("chromium")?;
        let profile = tempfile::tempdir().expect("a directory for the browser");
        let pipe = |name: &str| {
            let path = profile.path().join(name);
            mkfifo(&path, Mode::S_IRWXU).expect("a pipe");
            path
        };
        let (orders, answers) = (pipe("orders"), pipe("answers"));
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", WITH_PIPES, "sh"])
            .arg(program)
            .args([&orders, &answers])
            .args(OPTIONS)
            .arg(format!(
                "--user-data-dir={}",
                profile.path().join("profile").display()
            ));
        let process = spawn(&mut command);
        // Both sides wait for each other.
        let orders = File::options().write(true).open(orders).expect("open the orders");
        let mut browser = Self {
            orders,
            answers: read_from(&answers),
            session: Value::Null,
            number: 0,
            _process: process,
            _profile: profile,
        };
        let page = browser.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        browser.session = browser.ask("Target.attachToTarget", attach)["sessionId"].clone();
        Some(browser)
    }

    /// Opens a file and waits until it is there.
    #[track_caller]
    pub(crate) fn open(&mut self, path: &Path) {
        let url = format!("file://{}", path.display());
        self.ask("Page.navigate", json!({"url": url}));
        let ready = format!(
            "document.readyState === 'complete' && location.href === {}",
            json!(url)
        );
        await_that("the page", || {
            self.evaluate(&ready).as_bool().filter(|ready| *ready)
        });
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true});
        let answer = self.ask("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer:#}");
        answer["result"]["value"].clone()
    }

    /// Sends an order and returns its result; events in between are passed over.
    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut order = json!({"id": self.number, "method": method, "params": parameters});
        if !self.session.is_null() {
            order["sessionId"] = self.session.clone();
        }
        let mut bytes = order.to_string().into_bytes();
        bytes.push(0);
        self.orders.write_all(&bytes).expect("send an order");
        loop {
            let answer = self.answers.recv_timeout(3 * DEADLINE).expect("an answer");
            if answer["id"] == self.number {
                assert!(answer["error"].is_null(), "{method}: {answer:#}");
                return answer["result"].clone();
            }
        }
    }
}

fn read_from(path: &Path) -> Receiver<Value> {
    let (sender, receiver) = channel();
    let path = path.to_owned();
    std::thread::spawn(move || {
        let mut source = BufReader::new(File::open(path).expect("open the answers"));
        loop {
            let mut message = Vec::new();
            match source.read_until(0, &mut message) {
                Ok(1..) => message.pop(),
                _ => return,
            };
            let Ok(message) = serde_json::from_slice(&message) else {
                continue;
            };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}
