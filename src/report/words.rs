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

/// `1 thread`, `2 threads`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

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
