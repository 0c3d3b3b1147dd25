//! The ladder: who sent what to whom, in the order in which it was seen.

mod ink;
mod svg;
mod terminal;

use std::time::Duration;

pub use ink::Colour;
pub use svg::svg;
pub use terminal::Terminal;

/// A ladder: the participants from left to right, and what passed between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    /// The participants' names, from left to right.
    pub participants: Vec<String>,
    /// What was seen, in that order.
    pub messages: Vec<Message>,
}

/// One message that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// When, since the first.
    pub at: Duration,
    /// The place of the sender among the participants.
    pub from: usize,
    /// The place of the receiver.
    pub to: usize,
    /// What it belongs to.
    pub kind: Kind,
    /// Its start line, or what is short for it.
    pub line: String,
    /// What else is worth showing, a line each: entity-tag, lifetime, activity.
    pub details: Vec<String>,
}

/// What a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Setting up and ending a call.
    Call,
    /// PUBLISH, SUBSCRIBE, NOTIFY and their answers.
    Presence,
    /// REGISTER and its answers.
    Registration,
    /// A refusal or a failure.
    Failure,
}

/// Text that cannot harm a terminal or an image: what a peer chose may contain anything.
fn harmless(text: &str) -> String {
    let invisible =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    text.chars().filter(|c| !invisible(*c)).map(|c| if c.is_control() { '·' } else { c }).collect()
}

/// Text that is no longer than `width` characters, with an ellipsis where something is cut off.
fn clipped(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        kept.push('…');
    }
    kept
}

/// A time as it is shown: seconds with milliseconds.
fn seconds(at: Duration) -> String {
    format!("{}.{:03}", at.as_secs(), at.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_wrote_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\nc\u{202e}d"), "a·[2Jb··cd");
    }

    #[test]
    fn long_text_is_cut_with_an_ellipsis() {
        assert_eq!(clipped("PUBLISH", 7), "PUBLISH");
        assert_eq!(clipped("PUBLISH", 5), "PUBL…");
        assert_eq!(clipped("Jörg", 3), "Jö…");
        assert_eq!(clipped("x", 0), "");
    }

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(seconds(Duration::from_micros(12_003_999)), "12.003");
    }
}
