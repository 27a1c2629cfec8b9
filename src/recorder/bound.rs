//! How much of what the process chose a report repeats.
//!
//! Counts alone do not bound a report: 65,530 mappings of files with paths of 4 KiB are 256 MiB of text, and readers
//! refuse reports that large. Each list has its own budget, so that none starves another.

/// Text of one list, bytes.
const MAX_TEXT: usize = 4 << 20;

/// The first elements of a list that fit both its bounds.
pub(super) struct Bounded<T> {
    pub(super) listed: Vec<T>,
    pub(super) left_out: usize,
}

/// Takes elements as long as there are at most `count` and their texts, measured by `text`, fit the budget.
pub(super) fn bounded<T>(
    all: impl Iterator<Item = T>,
    count: usize,
    text: impl Fn(&T) -> usize,
) -> Bounded<T> {
    let mut left = MAX_TEXT;
    let mut bounded = Bounded {
        listed: Vec::new(),
        left_out: 0,
    };
    for element in all {
        match left.checked_sub(text(&element)) {
            Some(rest) if bounded.left_out == 0 && bounded.listed.len() < count => {
                left = rest;
                bounded.listed.push(element);
            }
            _ => bounded.left_out += 1,
        }
    }
    bounded
}

impl<T> Bounded<T> {
    /// The elements; says what was left out.
    pub(super) fn told(self, step: &str, miss: &mut impl FnMut(String, String)) -> Vec<T> {
        if self.left_out > 0 {
            let reason = format!("{} more are not listed, there are too many", self.left_out);
            miss(step.to_owned(), reason);
        }
        self.listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_and_are_told() {
        let by_count = bounded(0..10, 4, |_| 1);
        assert_eq!((by_count.listed, by_count.left_out), (vec![0, 1, 2, 3], 6));
        let by_text = bounded(0..10, 100, |_| MAX_TEXT / 2);
        let mut told = Vec::new();
        let listed = by_text.told("maps", &mut |step, reason| told.push(format!("{step}: {reason}")));
        assert_eq!(
            (listed, told),
            (
                vec![0, 1],
                vec!["maps: 8 more are not listed, there are too many".to_owned()]
            )
        );
    }
}
