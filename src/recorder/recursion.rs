//! Functions that call themselves, or each other in a circle, at the top of a stack.

use crate::diagnose::unwind::{CallStack, Frame, FrameModule};

/// Frames at the top of the stack that need not belong to the circle: what the last call was doing.
const MAX_TOP: usize = 16;
/// Functions in a circle.
const MAX_PERIOD: usize = 12;
/// Rounds that make a recursion worth mentioning; a healthy parser goes a few deep.
const MIN_ROUNDS: usize = 20;

/// A recursion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Recursion {
    /// A frame of each function of the circle, innermost first.
    pub(super) functions: Vec<Frame>,
    /// How often the circle was gone through.
    pub(super) rounds: usize,
    /// Whether the stack goes on where it was not followed, so that there may be more rounds.
    pub(super) at_least: bool,
}

/// Which function a frame is in; where its start is not known, the place itself stands for it.
type Function = (Option<FrameModule>, u64);

/// Finds the recursion that fills a stack; `start_of` says where the function of a frame starts, in its module's own
/// numbering.
pub(super) fn find(stack: &CallStack, mut start_of: impl FnMut(&Frame) -> Option<u64>) -> Option<Recursion> {
    let mut function = |frame: &Frame| -> Function {
        let start = start_of(frame).or(frame.address);
        (frame.module, start.unwrap_or(frame.pc))
    };
    let functions: Vec<Function> = stack.frames.iter().map(&mut function).collect();
    let circle = |top: usize, period: usize| {
        let inner = functions.get(top..)?;
        let outer = inner.get(period..)?;
        let equal = inner
            .iter()
            .zip(outer)
            .take_while(|(inner, outer)| inner == outer)
            .count();
        Some(equal / period + 1)
    };
    let periods = (1..=MAX_PERIOD).flat_map(|period| (0..MAX_TOP).map(move |top| (top, period)));
    let rounds = periods.filter_map(|(top, period)| Some((circle(top, period)?, top, period)));
    // The first of several is the shortest circle closest to the top.
    let (rounds, top, period) =
        rounds
            .filter(|(rounds, ..)| *rounds >= MIN_ROUNDS)
            .max_by(|one, other| {
                (one.0 * one.2)
                    .cmp(&(other.0 * other.2))
                    .then((other.2, other.1).cmp(&(one.2, one.1)))
            })?;
    Some(Recursion {
        functions: stack.frames.get(top..top + period)?.to_vec(),
        rounds,
        at_least: top + rounds * period + period > stack.frames.len() && stack.truncated.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::unwind::{FoundBy, FrameKind, Truncation};

    fn stack(addresses: &[u64]) -> CallStack {
        let frame = |address: &u64| Frame {
            pc: 0x5000_0000 + address,
            sp: 0,
            kind: FrameKind::Code,
            found_by: FoundBy::Cfi,
            module: Some(FrameModule::File(0)),
            address: Some(*address),
        };
        CallStack {
            frames: addresses.iter().map(frame).collect(),
            truncated: None,
        }
    }

    /// Functions are 0x100 bytes long.
    fn found(stack: &CallStack) -> Option<(Vec<u64>, usize, bool)> {
        let recursion = find(stack, |frame| Some(frame.address? & !0xff))?;
        let functions = recursion
            .functions
            .iter()
            .filter_map(|frame| frame.address)
            .collect();
        Some((functions, recursion.rounds, recursion.at_least))
    }

    #[test]
    fn a_function_that_calls_itself_is_counted() {
        let deep = [vec![0x9010, 0x8010], vec![0x1020; 500], vec![0x2010, 0x3010]].concat();
        assert_eq!(found(&stack(&deep)), Some((vec![0x1020], 500, false)));
        // From two places in turn.
        let two: Vec<u64> = (0..400).map(|at| 0x1020 + at % 2 * 8).collect();
        assert_eq!(found(&stack(&two)), Some((vec![0x1020], 400, false)));
    }

    #[test]
    fn functions_that_call_each_other_are_all_named() {
        let circle = [0x1010, 0x2010, 0x3010].repeat(50);
        let (functions, rounds, at_least) = found(&stack(&circle)).unwrap();
        assert_eq!(
            (functions, rounds, at_least),
            (vec![0x1010, 0x2010, 0x3010], 50, false)
        );
        let mut cut = stack(&circle);
        cut.truncated = Some(Truncation::Memory(0x7000));
        assert!(found(&cut).unwrap().2);
        cut.frames.extend(stack(&[0x7010, 0x7110, 0x7210, 0x7310]).frames);
        assert!(!found(&cut).unwrap().2, "the circle ends before the stack does");
    }

    #[test]
    fn a_healthy_stack_is_no_recursion() {
        assert_eq!(found(&stack(&[0x1010; 19])), None);
        assert_eq!(
            found(&stack(&(0..200).map(|at| at * 0x100).collect::<Vec<_>>())),
            None
        );
        assert_eq!(found(&stack(&[])), None);
    }
}
