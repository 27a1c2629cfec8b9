//! Numbers as people read them.

/// A duration in microseconds for people: `310 us`, `4.2 ms`, `1.5 s`, `3 h 13 min`.
pub fn duration(us: u64) -> String {
    let seconds = us / 1_000_000;
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        1_000_000..60_000_000 => format!("{seconds}.{} s", us % 1_000_000 / 100_000),
        60_000_000..3_600_000_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600_000_000..86_400_000_000 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A number of bytes for people, rounded down: `512 B`, `4.0 KiB`, `1.2 GiB`.
pub fn bytes(number: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let fits = |power: &usize| number >> (10 * (power + 1)) != 0;
    let Some(power) = (0..units.len()).rev().find(fits) else {
        return format!("{number} B");
    };
    let shift = 10 * (power + 1);
    let tenths = ((number >> (shift - 10)) % 1024) * 10 / 1024;
    format!("{}.{tenths} {}", number >> shift, units[power])
}

/// `1 thread`, `2 threads`, `2 processes`.
pub fn count(number: usize, noun: &str) -> String {
    let ending = match number {
        1 => "",
        _ if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{number} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let counted =
            [(1, "process"), (0, "process"), (2, "thread")].map(|(number, noun)| count(number, noun));
        assert_eq!(counted, ["1 process", "0 processes", "2 threads"]);
    }

    #[test]
    fn bytes_are_rounded_down() {
        let shown = [0, 1023, 1024, 1536, (2 << 20) - 1, 5 << 30, u64::MAX].map(bytes);
        assert_eq!(
            shown,
            [
                "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.9 MiB", "5.0 GiB", "15.9 EiB"
            ]
        );
    }

    #[test]
    fn durations_are_rounded_down() {
        let shown = [
            0,
            999,
            1_000,
            4_299,
            1_500_000,
            61_000_000,
            11_580_000_000,
            90_000_000_000,
        ]
        .map(duration);
        assert_eq!(
            shown,
            [
                "0 us",
                "999 us",
                "1.0 ms",
                "4.2 ms",
                "1.5 s",
                "1 min 1 s",
                "3 h 13 min",
                "1 d 1 h"
            ]
        );
    }
}
