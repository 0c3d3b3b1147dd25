//! Colour in a terminal, where it is wanted.

use std::env;
use std::io::IsTerminal;

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// No escape sequences at all.
    Off,
    /// ANSI escape sequences.
    On,
}

/// What a piece of text is drawn in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Blue,
    Magenta,
}

impl Colour {
    /// Colour where the stream is a terminal that can show it and `NO_COLOR` is not set (no-color.org).
    pub fn of(stream: &impl IsTerminal) -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        if unwanted || dumb || !stream.is_terminal() { Self::Off } else { Self::On }
    }

    pub(super) fn paint(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Plain => return text.to_owned(),
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Red => "31",
            Ink::Green => "32",
            Ink::Blue => "34",
            Ink::Magenta => "35",
        };
        match self {
            Self::On if !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_colour_has_no_escape_sequences() {
        assert_eq!(Colour::Off.paint(Ink::Red, "486"), "486");
        assert_eq!(Colour::On.paint(Ink::Red, "486"), "\u{1b}[31m486\u{1b}[0m");
        assert_eq!(Colour::On.paint(Ink::Red, ""), "");
    }
}
