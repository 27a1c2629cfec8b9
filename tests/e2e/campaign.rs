//! A campaign: random faults in random workers of a C++ server under load, each beside the same fault without a tool.
//!
//! What came of each is counted and printed. Whatever that is, nobody may be left waiting for ever: a server of which a thread
//! was taken has to serve all that the thread did not.
#![cfg(target_arch = "x86_64")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::{Report, Running, Sickbay, fixture, spawn};

/// Clients beside the one that brings the fault about: with it, one for each worker.
const CLIENTS: usize = 3;
/// How many answers after the fault show that a client is served.
const ANSWERS: usize = 20;
/// How long that may take; whoever has them no sooner is left waiting.
const PATIENCE: Duration = Duration::from_secs(5);

/// The time between two requests of a client: without it they would keep the processors from whoever writes the report.
const BETWEEN: Duration = Duration::from_millis(1);
/// How much longer it may take where a fault was seen and its report is still being written, on a busy machine.
const TO_SETTLE: Duration = Duration::from_secs(60);

/// What came of one fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    ServedOn,
    Isolated,
    Reversed,
    WrongAnswers,
    Dead,
    Hung,
}

/// Random numbers that are the same each time (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// The request that brings a fault about.
    fn fault(&mut self) -> String {
        let locked = ["", " LOCKED"][self.below(2) as usize];
        match self.below(5) {
            0 => format!("NULLCALL{locked}"),
            1 => format!("READ {:#x}{locked}", self.below(1 << 47)),
            2 => format!("DIVIDE{locked}"),
            _ => format!("FLIP {} {} {}", self.below(4), self.below(17), self.below(64)),
        }
    }
}

/// One client that asks again and again.
struct Client {
    answers: Arc<AtomicUsize>,
    wrong: Arc<AtomicBool>,
    stream: TcpStream,
    asking: JoinHandle<()>,
}

impl Client {
    fn start(port: u16, key: usize) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (answers, wrong) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let asking = {
            let (answers, wrong) = (answers.clone(), wrong.clone());
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            thread::spawn(move || {
                let mut line = String::new();
                loop {
                    line.clear();
                    let asked = reader.get_mut().write_all(format!("GET {key}\n").as_bytes());
                    if asked.is_err() || !matches!(reader.read_line(&mut line), Ok(1..)) {
                        return;
                    }
                    if line != format!("value of {key}\n") {
                        wrong.store(true, Ordering::Relaxed);
                    }
                    answers.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(BETWEEN);
                }
            })
        };
        Self {
            answers,
            wrong,
            stream,
            asking,
        }
    }

    fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }

    fn end(self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.asking.join().unwrap();
    }
}

/// The action that the report of a fault names, once it is settled.
fn action_of(sickbay: Option<&Sickbay>) -> Option<(String, String)> {
    let reports = sickbay?.reports();
    let settled = |report: &&Report| report.has("threads");
    let report = reports.iter().find(settled)?;
    Some((
        report.text("action.taken").to_owned(),
        report.text("action.reason").to_owned(),
    ))
}

/// Runs the server, has it fault, and sees what comes of it.
fn outcome_of(fault: &str, sickbay: Option<&Sickbay>) -> Outcome {
    let mut server: Running = match sickbay {
        Some(sickbay) => sickbay.start(fixture("campaign"), &[] as &[&str]),
        None => spawn(&mut Command::new(fixture("campaign"))),
    };
    let port: u16 = server.stdout_line("listening on 127.0.0.1:").parse().unwrap();
    let clients: Vec<Client> = (0..CLIENTS).map(|key| Client::start(port, key)).collect();
    let deadline = Instant::now() + PATIENCE;
    while clients.iter().any(|client| client.answers() < ANSWERS) {
        assert!(Instant::now() < deadline, "the server serves nobody");
        thread::yield_now();
    }
    let mut bringer = TcpStream::connect(("127.0.0.1", port)).unwrap();
    bringer.write_all(format!("{fault}\n").as_bytes()).unwrap();
    bringer.set_nonblocking(true).unwrap();
    let answers = || -> Vec<usize> { clients.iter().map(Client::answers).collect() };
    let mut before = answers();
    let mut is_brought = false;
    let deadline = Instant::now() + PATIENCE;
    let outcome = loop {
        // Answered, or at the end of its connection: what it asked for has happened.
        if !is_brought && bringer.read(&mut [0; 256]).is_ok() {
            is_brought = true;
            before = answers();
        }
        let is_served = |(client, before): (&Client, &usize)| client.answers() >= before + ANSWERS;
        let served = clients
            .iter()
            .zip(&before)
            .filter(|pair| is_served(*pair))
            .count();
        // Before the action is read, so that none that comes in between is overlooked.
        let pending = is_pending(sickbay);
        let action = action_of(sickbay);
        let taken = action.as_ref().map(|(taken, _)| taken.as_str());
        if clients.iter().any(|client| client.wrong.load(Ordering::Relaxed)) {
            break Outcome::WrongAnswers;
        }
        if server.has_ended() {
            let reversed = action_of(sickbay).is_some_and(|(_, reason)| reason.contains("was taken back"));
            break if reversed {
                Outcome::Reversed
            } else {
                Outcome::Dead
            };
        }
        // Of those who were served by the thread that is gone nobody is.
        if served >= CLIENTS - 1 && matches!(taken, Some("exit" | "park" | "unwind")) {
            break Outcome::Isolated;
        }
        // A server that has its signal dies, and one whose thread is held is not settled.
        if is_brought && served == CLIENTS && !matches!(taken, Some("deliver")) && !pending {
            break Outcome::ServedOn;
        }
        let patience = if pending { TO_SETTLE } else { Duration::ZERO };
        if Instant::now() > deadline + patience {
            break Outcome::Hung;
        }
        thread::sleep(Duration::from_millis(10));
    };
    clients.into_iter().for_each(Client::end);
    if outcome == Outcome::Hung {
        println!("{fault}: hung, {:?}", action_of(sickbay));
    }
    outcome
}

/// Whether a fault was seen about which nothing is settled.
fn is_pending(sickbay: Option<&Sickbay>) -> bool {
    sickbay.is_some_and(|sickbay| sickbay.reports().iter().any(|report| !report.has("threads")))
}

fn campaign(faults: usize) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut counts: BTreeMap<Outcome, [usize; 2]> = BTreeMap::new();
    let mut unnoticed = Vec::new();
    for _ in 0..faults {
        let fault = random.fault();
        let sickbay = Sickbay::new().configured(
            "[[service]]\nname = \"api\"\non_fault = \"isolate\"\n[service.isolation]\nprobation = \"100ms\"\n",
        );
        let with = outcome_of(&fault, Some(&sickbay));
        let without = outcome_of(&fault, None);
        counts.entry(with).or_default()[1] += 1;
        counts.entry(without).or_default()[0] += 1;
        // A flipped bit may make a server wait for ever without any fault: nobody is told then, with or without a tool.
        if with == Outcome::Hung && action_of(Some(&sickbay)).is_some() {
            unnoticed.push(fault);
        }
    }
    println!("{faults} faults     no tool  isolate");
    for (outcome, [without, with]) in &counts {
        println!("{:<14}{without:>8}{with:>9}", format!("{outcome:?}"));
    }
    assert_eq!(unnoticed, [] as [String; 0], "hung after an action");
    let served = |column: usize| {
        let good = [Outcome::ServedOn, Outcome::Isolated];
        good.iter()
            .filter_map(|outcome| counts.get(outcome))
            .map(|both| both[column])
            .sum::<usize>()
    };
    assert!(served(1) > served(0), "{counts:?}");
}

#[test]
fn ten_faults_leave_nobody_waiting() {
    campaign(10);
}

#[test]
#[ignore = "long: make soak"]
fn a_thousand_faults_leave_nobody_waiting() {
    campaign(1000);
}
