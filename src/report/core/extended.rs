//! The extended registers of x86-64 where debuggers look for them.
//!
//! A core's `NT_X86_XSTATE` is what the `xsave` instruction writes. Where a component lies in it is the processor's choice
//! (Intel SDM volume 1, 13.4.2), and the note does not say: debuggers guess by its size. A gdb before 14 knows Intel's
//! layout alone and takes the shorter one of AMD's processors without AVX-512 for a file that was cut off. All that is
//! elsewhere in it are the protection keys, so those move to where Intel has them.

use std::borrow::Cow;

/// XCR0, the components that there are, in the part of the image that software may use; the kernel fills it.
const XCR0: usize = 464;
/// The bits of the protection keys, and of AVX-512.
const KEYS: u64 = 1 << 9;
const AVX512: u64 = 0b111 << 5;
/// Where the keys lie, and how long they are, bytes.
const SHORT: usize = 2432;
const INTEL: usize = 2688;
const KEYS_SIZE: usize = 8;

/// An image of `xsave` in the layout that every debugger knows.
pub(super) fn known_layout(image: &[u8]) -> Cow<'_, [u8]> {
    let components = image
        .get(XCR0..XCR0 + 8)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes);
    let is_short = image.len() == SHORT + KEYS_SIZE;
    if !is_short || components & (KEYS | AVX512) != KEYS {
        return Cow::Borrowed(image);
    }
    let (others, keys) = image.split_at(SHORT);
    let mut moved = others.to_vec();
    moved.resize(INTEL, 0);
    moved.extend_from_slice(keys);
    Cow::Owned(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(components: u64, size: usize) -> Vec<u8> {
        let mut image: Vec<u8> = (0..size).map(|at| at as u8).collect();
        image[XCR0..XCR0 + 8].copy_from_slice(&components.to_le_bytes());
        image
    }

    #[test]
    fn the_keys_move_to_where_debuggers_look() {
        let short = image(0x207, 2440);
        let moved = known_layout(&short);
        assert_eq!(moved.len(), 2696);
        assert_eq!(moved[..SHORT], short[..SHORT]);
        assert_eq!(moved[INTEL..], short[SHORT..]);
        assert!(moved[SHORT..INTEL].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn other_layouts_stay() {
        for (components, size) in [
            (0x7, 832),
            (0x2e7, 2696),
            (0x2e7, 2440),
            (0x7, 2440),
            (0x207, 2696),
        ] {
            let image = image(components, size);
            assert_eq!(*known_layout(&image), *image, "{components:#x} in {size}");
        }
        assert_eq!(*known_layout(&[1, 2, 3]), [1, 2, 3]);
    }
}
