//! The frames of a thread.

use super::text::Text;
use crate::report::model::{Report, Thread};
use crate::report::wording::frame::FrameWords;

/// Frames of one thread that a page has.
const MAX_FRAMES: usize = 256;

/// A call stack.
pub(super) struct Frames {
    pub(super) rows: Vec<FrameRow>,
    /// How many frames are left out.
    pub(super) more: usize,
    /// Why the stack ends early.
    pub(super) truncated: Text,
}

/// One frame.
pub(super) struct FrameRow {
    pub(super) number: usize,
    /// The function; the place in its module where that is not known.
    pub(super) function: Text,
    /// Whether it has a name.
    pub(super) named: bool,
    pub(super) offset: Text,
    pub(super) source: Text,
    pub(super) place: Text,
    pub(super) address: Text,
    pub(super) note: Text,
}

impl Frames {
    pub(super) fn of(report: &Report, thread: &Thread) -> Self {
        let rows = thread.frames.iter().take(MAX_FRAMES).enumerate();
        Self {
            rows: rows
                .map(|(number, frame)| FrameRow::new(number, FrameWords::of(report, frame)))
                .collect(),
            more: thread.frames.len().saturating_sub(MAX_FRAMES),
            truncated: text(thread.truncated.as_ref()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.truncated.is_empty()
    }
}

impl FrameRow {
    fn new(number: usize, words: FrameWords) -> Self {
        let named = words.function.is_some();
        let inlined = words.note == Some("inlined");
        let place = words.place.unwrap_or_default();
        let function = words.function.unwrap_or_else(|| match place.as_str() {
            "" => "unknown code".to_owned(),
            place => place.to_owned(),
        });
        Self {
            number,
            function: function.into(),
            named,
            offset: words
                .offset
                .map_or_else(Text::default, |offset| format_args!("+{offset}").into()),
            source: text(words.source.as_ref()),
            place: if named && !inlined {
                place.into()
            } else {
                Text::default()
            },
            // The code of an inlined function is that of the frame below.
            address: words
                .address
                .filter(|_| !inlined)
                .map(Text::from)
                .unwrap_or_default(),
            note: words.note.unwrap_or_default().into(),
        }
    }
}

fn text(text: Option<&String>) -> Text {
    text.map(Text::from).unwrap_or_default()
}
