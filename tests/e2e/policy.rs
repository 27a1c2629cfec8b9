//! What the configuration says is done with a signal: the first rule that matches, and never what would do harm.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Sickbay, await_that, fixture, proc};

const SUPPRESS_SIGTERM: &str = r#"
[[service]]
name = "api"
[[service.rule]]
signals = ["SIGTERM"]
action = "suppress"
"#;

#[test]
fn a_signal_from_another_process_can_be_suppressed() {
    let sickbay = Sickbay::new().configured(SUPPRESS_SIGTERM);
    let mut supervisor = sickbay.start(fixture("die"), &["wait"]);
    let pid: i32 = supervisor.stdout_line("ready").parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    let report = sickbay.awaited_report();
    assert_eq!(report.text("signal.name"), "SIGTERM");
    assert_eq!(report.text("action.taken"), "suppress");

    kill(Pid::from_raw(pid), Signal::SIGQUIT).unwrap();
    assert_eq!(
        supervisor.finish().code(),
        128 + libc::SIGQUIT,
        "no rule for SIGQUIT"
    );
}

#[test]
fn a_hardware_fault_is_never_suppressed() {
    let sickbay = Sickbay::new().option("--action", "suppress");
    assert_eq!(sickbay.run(fixture("die"), &["null-write"]).code(), 139);
    let report = sickbay.only_report();
    assert_eq!(report.text("action.requested"), "suppress");
    assert_eq!(report.text("action.taken"), "deliver");
    assert!(!report.text("action.reason").is_empty());
}

#[test]
fn abort_is_never_suppressed() {
    let sickbay = Sickbay::new().option("--action", "suppress");
    assert_eq!(sickbay.run(fixture("die"), &["abort"]).code(), 134);
    assert_eq!(sickbay.only_report().text("action.taken"), "deliver");
}

/// Rules look at the name of the thread that the kernel chose, in their order.
#[test]
fn rules_match_by_thread_name_in_order() {
    let configuration = r#"
[[service]]
name = "api"
[[service.rule]]
signals = ["SIGFPE"]
threads = "other-*"
action = "suppress"
[[service.rule]]
signals = ["SIGFPE"]
threads = "target"
action = "deliver"
"#;
    let sickbay = Sickbay::new().configured(configuration);
    assert_eq!(
        sickbay.run(fixture("die"), &["pthread-kill", "SIGFPE"]).code(),
        128 + libc::SIGFPE
    );
    let report = sickbay.only_report();
    assert_eq!(report.text("fault.thread_name"), "target");
    assert_eq!(report.text("action.taken"), "deliver");
}

/// The function goes by its name in the symbol table, as a report writes it.
#[test]
fn rules_match_by_the_function_that_faulted() {
    for (pattern, taken) in [
        ("write_through_*", "exit"),
        ("parse_*", "deliver"),
        ("work", "deliver"),
    ] {
        let sickbay = Sickbay::new().configured(&format!(
            "[[service]]\nname = \"api\"\n[service.isolation]\nprobation = \"50ms\"\n\
             [[service.rule]]\nfunction = \"{pattern}\"\naction = \"exit\"\n"
        ));
        let mut supervisor = sickbay.start(fixture("isolated"), &["nothing"]);
        supervisor.stdout_line("ready ");
        supervisor.write("fault 2\n");
        let report = await_that("a settled report", || {
            sickbay.reports().into_iter().find(|report| report.has("threads"))
        });
        assert_eq!(report.text("action.taken"), taken, "{pattern}: {report:?}");
        if taken == "deliver" {
            let evidence = report.list("action.evidence");
            let said = |line: &serde_json::Value| {
                line.as_str()
                    .unwrap()
                    .contains("function 'write_through_null' is not among its functions")
            };
            assert!(evidence.iter().any(said), "{evidence:?}");
        }
    }
}

/// The others run on: what /proc tells of them needs no stop.
#[test]
fn siblings_of_a_thread_that_goes_on_are_described() {
    let sickbay = Sickbay::new().configured(SUPPRESS_SIGTERM);
    let mut supervisor = sickbay.start(fixture("server"), &["4"]);
    supervisor.stdout_line("listening");
    let is_server = |pid: &i32| {
        proc::tasks(*pid)
            .first()
            .is_some_and(|task| task.name == "server")
    };
    let pid = proc::children(supervisor.pid())
        .into_iter()
        .find(is_server)
        .unwrap();
    // A thread that runs is in no call.
    await_that("five threads asleep", || {
        let tasks = proc::tasks(pid);
        (tasks.len() == 5 && tasks.iter().all(|task| task.state == 'S')).then_some(())
    });
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    let report = await_that("a whole report", || {
        sickbay.reports().into_iter().find(|report| report.has("threads"))
    });
    let threads = report.list("threads");
    let with_registers = threads.iter().filter(|thread| thread["registers"].is_object());
    assert_eq!((threads.len(), with_registers.count()), (5, 1), "{report:?}");
    assert!(
        threads.iter().all(|thread| thread["syscall"]["name"].is_string()),
        "{threads:#?}"
    );
}

/// What is not recorded is said: when the limit is reached, and how much was left out.
#[test]
fn faults_past_the_limit_are_counted_and_said() {
    let limited = "[[service]]\nname = \"api\"\n[service.report]\nmax_per_minute = 2\n";
    let sickbay = Sickbay::new().configured(limited);
    let die = fixture("die");
    let script = format!(
        "for i in 1 2 3 4 5; do {} null-write; done; exit 3",
        die.display()
    );
    let outcome = sickbay.run("/bin/bash", &["-c", &script]);
    assert_eq!(outcome.code(), 3, "{outcome:#?}");
    assert_eq!(sickbay.reports().len(), 2);
    let said = |text: &str| {
        outcome
            .messages()
            .iter()
            .filter(|line| line.contains(text))
            .count()
    };
    assert_eq!(
        said("2 reports were made within a minute (max_per_minute)"),
        1,
        "{outcome:#?}"
    );
    assert_eq!(said("3 more faults were counted"), 1, "{outcome:#?}");
}
