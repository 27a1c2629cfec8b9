//! What values may be: bounds of numbers, and words. The parser and the schema go by them.

use std::ops::RangeInclusive;

use super::{CoreExtent, DontDump, Exits, OnStopRate, Size, Span};

/// What may be said of the room for reports; a petabyte is a mistake.
pub(super) const STORE_SIZES: RangeInclusive<Size> = Size(0)..=Size::gib(1 << 20);
/// What may be said of their age: a hundred years.
pub(super) const AGES: RangeInclusive<Span> = Span::millis(0)..=Span::days(36_525);
/// The most reports of a service that may be asked for.
pub(super) const REPORTS_KEPT: u32 = 1_000_000;
/// The highest pid that a kernel can be configured to give out: `PID_MAX_LIMIT`.
pub(super) const PID_MAX: i32 = 4_194_304;
/// The most that one capture may be allowed to hold.
pub(super) const MAX_MEMORY: Size = Size::mib(4096);
/// The most memory that a core may be allowed to hold.
pub(super) const MAX_CORE: Size = Size::gib(16 << 10);
/// The most reports a minute that may be asked for.
pub(super) const MAX_PER_MINUTE: u32 = 10_000;
/// For how long a thread may be held: others may wait for it, and watchdogs for them.
pub(super) const PROBATION: RangeInclusive<Span> = Span::millis(0)..=Span::millis(60_000);
/// The most threads that a process may be allowed to lose.
pub(super) const MAX_LOST: u32 = 1000;
/// The most errors that may be thrown a second.
pub(super) const MAX_THROWS: u32 = 1_000_000;
/// More stops a second than any tracer answers.
pub(super) const MAX_STOP_RATE: u32 = 1_000_000;
/// For how long a capture may be allowed to keep a process stopped: well below any watchdog.
pub(super) const FREEZE_TIMEOUT: RangeInclusive<Span> = Span::millis(1)..=Span::millis(10_000);

/// `on_stop_rate`.
pub(super) const ON_STOP_RATE: [(&str, OnStopRate); 2] =
    [("warn", OnStopRate::Warn), ("release", OnStopRate::Release)];
/// `core`.
pub(super) const CORE_EXTENTS: [(&str, CoreExtent); 3] = [
    ("compact", CoreExtent::Compact),
    ("data", CoreExtent::Data),
    ("full", CoreExtent::Full),
];
/// `dontdump`.
pub(super) const DONT_DUMP: [(&str, DontDump); 2] = [("auto", DontDump::Auto), ("always", DontDump::Always)];
/// `exits`.
pub(super) const EXITS: [(&str, Exits); 3] = [
    ("signals", Exits::Signals),
    ("failures", Exits::Failures),
    ("none", Exits::None),
];
