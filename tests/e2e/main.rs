//! End-to-end tests: the real program, on real programs.
//!
//! Each module takes one subject of the design and holds it as a user would see it: through the command
//! line, the files in the state directory, `/proc`, and what the supervised program and its parent notice.
//! Reports are read as plain JSON, not through the library's model, so that the published names are tested.
//!
//! Rules of this suite:
//!
//! * The supervised programs are in `tests/programs` (built by `make programs`) or are real ones.
//! * Nothing sleeps and hopes: [`support::await_that`] polls a condition until a deadline and says what it
//!   waited for; fixtures announce readiness on stdout.
//! * A test ends what it started and nothing else: each of its processes carries a marker in its environment.
//! * What supervision must not change is compared: the same program plain and supervised.
//! * A test that cannot run here (not root, a program absent) prints why, and passes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed step of a test is the test's failure, whichever function it is in"
)]

mod support;

mod architecture;
mod attach;
mod backtraces;
mod bad_input;
mod blocking_calls;
mod campaign;
mod capture;
mod copies;
mod cores;
mod daemon;
mod dumps;
mod dying;
mod enrolment;
mod fleet;
mod group_stop;
mod handled;
mod held_up;
mod interpreted;
mod isolation;
mod jobcontrol;
#[cfg(feature = "fail-points")]
mod killed;
mod locks;
mod logs;
mod minidumps;
mod misleading;
mod out_of_memory;
mod outer_frames;
mod page;
mod panicking;
mod passing;
mod policy;
mod python_server;
mod raising;
mod readme;
mod real_programs;
mod remote_calls;
mod requests;
mod rescuing;
mod retention;
mod run;
mod runtimes;
mod schema;
mod services;
mod settling;
mod show;
mod skipping;
mod stop_rate;
mod storms;
mod streams;
mod symbols;
mod throwing;
mod tokio_server;
mod truth_table;
mod verbs;
mod workers;
