//! Which descriptor a callback of an event loop was called for.
//!
//! By the time of a fault the arguments of the callback are gone. But the loop still knows the record of the event: a
//! register that calls preserve leads to it in the loop's frame. Many events have one callback, so no record counts that is merely
//! somewhere around: of libevent it is the one that the loop says is in hand, and that belongs to this loop; of libuv a
//! register points to it, and its callback is the very function that the loop has called. (A callback that ends in a call
//! of another function leaves no frame: the function called may then lie anywhere in the callback's module.)

use std::ops::Range;

use super::unwind::{FrameRegisters, MemorySource};

/// Where a loop's register leads to, and what lies there. Offsets are in bytes.
struct Record {
    /// What the loop's module is called.
    module: &'static str,
    /// The loop's own state, where the register points to that.
    state: Option<State>,
    callback: u64,
    descriptor: u64,
}

/// The state of a loop.
struct State {
    /// Where it has the address of the record in hand.
    current: u64,
    /// Where the record has the address of the state.
    back: u64,
}

/// For x86-64. libuv has kept the layout of its handles since 1.0: its ABI is stable within a major version.
const RECORDS: [Record; 3] = [
    // struct event_base and struct event, since 2.1.9.
    Record {
        module: "libevent-2.1.so.7",
        state: EVENT_BASE,
        callback: 24,
        descriptor: 56,
    },
    Record {
        module: "libevent_core-2.1.so.7",
        state: EVENT_BASE,
        callback: 24,
        descriptor: 56,
    },
    // uv_stream_t, its read_cb.
    Record {
        module: "libuv.so.1",
        state: None,
        callback: 112,
        descriptor: 184,
    },
];
const EVENT_BASE: Option<State> = Some(State {
    current: 456,
    back: 64,
});

/// The function that a loop has called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Called {
    /// Its first address.
    pub start: u64,
    /// The addresses of its module.
    pub module: Range<u64>,
}

/// The descriptor that a function was called for by a frame of `module` (a file name) with those registers; none where no
/// record tells.
pub fn callback_descriptor(
    module: &str,
    registers: &FrameRegisters,
    called: &Called,
    memory: &dyn MemorySource,
) -> Option<i32> {
    let of_module = |record: &&Record| module.starts_with(record.module);
    let records = RECORDS.iter().filter(of_module);
    let mut found = records.flat_map(|record| {
        let descriptor_at = |register| record.descriptor_at(register, called, memory);
        registers.all().filter_map(descriptor_at)
    });
    let first = found.next()?;
    // Two registers may lead to the same record; two different ones would leave it open which is meant.
    (first >= 0 && found.all(|other| other == first)).then_some(first)
}

impl Record {
    /// The descriptor in the record that a register leads to, if that is one of what was called.
    fn descriptor_at(&self, register: u64, called: &Called, memory: &dyn MemorySource) -> Option<i32> {
        let word = |address: u64, offset: u64, size| memory.word(address.checked_add(offset)?, size);
        let address = match &self.state {
            None => register,
            Some(state) => {
                let current = word(register, state.current, 8)?;
                (word(current, state.back, 8)? == register).then_some(current)?
            }
        };
        let callback = word(address, self.callback, 8)?;
        let descriptor = word(address, self.descriptor, 4)?;
        let fits = callback == called.start || self.state.is_some() && called.module.contains(&callback);
        fits.then_some(descriptor as u32 as i32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::sys::regs::GeneralRegisters;

    const CALLBACK: u64 = 0x40_1000;
    const BASE: u64 = 0x1000;
    const EVENT: u64 = 0x2000;

    struct Words(HashMap<u64, u64>);

    impl MemorySource for Words {
        fn word(&self, address: u64, _: usize) -> Option<u64> {
            self.0.get(&address).copied()
        }
    }

    fn found(module: &str, registers: &[u64], words: &[(u64, u64)]) -> Option<i32> {
        let names = ["rbx", "rbp", "r12"].into_iter();
        let values: Vec<(&str, u64)> = names.zip(registers.iter().copied()).collect();
        let registers = FrameRegisters::of_thread(&GeneralRegisters::from_named(&values));
        let called = Called {
            start: CALLBACK,
            module: CALLBACK - 0x1000..CALLBACK + 0x1000,
        };
        let words = Words(words.iter().copied().collect());
        callback_descriptor(module, &registers, &called, &words)
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_event_in_hand_of_libevent_is_known_by_its_base_and_its_callback() {
        let whole = [
            (BASE + 456, EVENT),
            (EVENT + 24, CALLBACK),
            (EVENT + 56, 17),
            (EVENT + 64, BASE),
        ];
        let library = "libevent-2.1.so.7.0.1";
        assert_eq!(found(library, &[1, BASE], &whole), Some(17));
        assert_eq!(
            found("libevent-2.2.so.1", &[1, BASE], &whole),
            None,
            "another layout"
        );
        assert_eq!(found(library, &[EVENT], &whole), None);
        let mut by_another = whole;
        by_another[1].1 = CALLBACK + 0x10;
        assert_eq!(
            found(library, &[1, BASE], &by_another),
            Some(17),
            "one that ended in this call"
        );
        for (place, other) in [(1, CALLBACK + 0x1000), (2, 0xffff_ffff), (3, BASE + 8)] {
            let mut changed = whole;
            changed[place].1 = other;
            assert_eq!(found(library, &[1, BASE], &changed), None, "{place}");
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn two_records_that_differ_tell_nothing() {
        let library = "libuv.so.1.0.0";
        let stream = |at: u64, descriptor| [(at + 112, CALLBACK), (at + 184, descriptor)];
        let both = |other| [stream(0x1000, 17), stream(0x2000, other)].concat();
        assert_eq!(found(library, &[0x1000], &both(18)), Some(17));
        assert_eq!(found(library, &[0x1000, 0x2000], &both(17)), Some(17));
        assert_eq!(found(library, &[0x1000, 0x2000], &both(18)), None);
    }
}
