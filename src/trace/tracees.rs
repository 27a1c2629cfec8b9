//! The tracees, in the order in which they were attached.
//!
//! The kernel adds a tracee in front of its tracer's list (kernel/ptrace.c, `__ptrace_link`) and `waitid(P_ALL)` walks
//! that from the front. So when it reports one, all that were attached later had nothing to report. The order here is
//! that in which attaching became known, which is the kernel's but for threads that are born at the same time.

use fnv::FnvHashMap;

use crate::sys::Tid;

/// Takes and drops tracees at a cost that does not depend on their number, and keeps their order.
#[derive(Debug, Default)]
pub(super) struct Tracees {
    /// From the first attached on; a gap for each one that is traced no longer, at most half of all.
    order: Vec<Option<Tid>>,
    places: FnvHashMap<Tid, usize>,
}

impl Tracees {
    /// Adds one behind the others, unless it has a place.
    pub(super) fn add(&mut self, tid: Tid) {
        let next = self.order.len();
        self.places.entry(tid).or_insert_with(|| {
            self.order.push(Some(tid));
            next
        });
    }

    /// Drops one.
    pub(super) fn remove(&mut self, tid: Tid) {
        let Some(place) = self.places.remove(&tid) else {
            return;
        };
        self.order[place] = None;
        while let Some(None) = self.order.last() {
            self.order.pop();
        }
        if self.order.len() > 2 * self.places.len() {
            self.close_gaps();
        }
    }

    fn close_gaps(&mut self) {
        self.order.retain(Option::is_some);
        for (place, tid) in self.order.iter().enumerate() {
            self.places.extend(tid.map(|tid| (tid, place)));
        }
    }

    /// Whether that one is here.
    pub(super) fn contains(&self, tid: Tid) -> bool {
        self.places.contains_key(&tid)
    }

    /// Whether nobody is.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// In front of which place everyone is.
    pub(super) fn end(&self) -> usize {
        self.order.len()
    }

    /// How many places are in front of that one's: so many at most were attached earlier.
    pub(super) fn place(&self, tid: Tid) -> Option<usize> {
        self.places.get(&tid).copied()
    }

    /// The last one in front of a place, and its own place.
    pub(super) fn before(&self, place: usize) -> Option<(usize, Tid)> {
        let earlier = self.order.iter().take(place).enumerate().rev();
        earlier.filter_map(|(place, tid)| Some((place, (*tid)?))).next()
    }

    /// Everyone.
    pub(super) fn iter(&self) -> impl Iterator<Item = Tid> {
        self.order.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn order_is_kept_whoever_comes_and_goes(steps in vec((any::<bool>(), 1..40_i32), 0..400)) {
            let mut tracees = Tracees::default();
            let mut model: Vec<Tid> = Vec::new();
            for (comes, tid) in steps {
                let tid = Tid(tid);
                if comes {
                    tracees.add(tid);
                    if !model.contains(&tid) {
                        model.push(tid);
                    }
                } else {
                    tracees.remove(tid);
                    model.retain(|known| *known != tid);
                }
                prop_assert_eq!(tracees.iter().collect::<Vec<_>>(), model.clone());
                prop_assert!(tracees.end() <= 2 * model.len());
                let mut place = tracees.end();
                for expected in model.iter().rev() {
                    let (found, tid) = tracees.before(place).expect("one is left");
                    prop_assert_eq!(tid, *expected);
                    prop_assert_eq!(tracees.place(tid), Some(found));
                    place = found;
                }
                prop_assert_eq!(tracees.before(place), None);
            }
        }
    }
}
