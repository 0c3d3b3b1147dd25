//! The ladder in a terminal, line by line, so that it can grow while the messages come in.

use super::ink::{Colour, Ink};
use super::{Kind, Ladder, Message, clipped, harmless, seconds};

/// Characters before the first participant: the time and a gap.
const TIME: usize = 9;
/// A participant's share below which arrows have no room: the ladder becomes a list.
const NARROWEST: usize = 12;
/// A participant's share above which arrows only grow longer.
const WIDEST: usize = 28;

/// Draws a ladder for a terminal of a certain width.
#[derive(Clone, Debug)]
pub struct Terminal {
    participants: Vec<String>,
    width: usize,
    share: usize,
    colour: Colour,
}

impl Terminal {
    /// A ladder between these participants, from left to right, in so many columns.
    #[must_use]
    pub fn new(participants: &[String], width: usize, colour: Colour) -> Self {
        let share = width.saturating_sub(TIME) / participants.len().max(1);
        let participants = participants.iter().map(|name| harmless(name)).collect();
        Self { participants, width, share: share.min(WIDEST), colour }
    }

    /// The whole of a ladder.
    #[must_use]
    pub fn draw(ladder: &Ladder, width: usize, colour: Colour) -> String {
        let terminal = Self::new(&ladder.participants, width, colour);
        let messages: String = ladder.messages.iter().map(|message| terminal.message(message)).collect();
        format!("{}{messages}{}", terminal.header(), terminal.footer())
    }

    /// The lines above all messages: the participants' names.
    #[must_use]
    pub fn header(&self) -> String {
        if self.is_list() {
            return String::new();
        }
        let mut row = self.row();
        for (place, name) in self.participants.iter().enumerate() {
            let name = clipped(name, self.share.saturating_sub(2));
            row.write(self.column(place).saturating_sub(name.chars().count() / 2), &name, Ink::Bold);
        }
        let mut out = row.print(self.colour);
        out.push_str(&self.lanes('┬').print(self.colour));
        out
    }

    /// The lines of one message.
    #[must_use]
    pub fn message(&self, message: &Message) -> String {
        let ink = ink(message.kind);
        let line = harmless(&message.line);
        let mut out = String::new();
        if self.is_list() {
            let name = |place| self.participants.get(place).map_or("?", String::as_str);
            let text = format!("{} → {}  {line}", name(message.from), name(message.to));
            let mut row = self.row();
            row.write(0, &time(message), Ink::Dim);
            row.write(TIME, &clipped(&text, self.width.saturating_sub(TIME)), ink);
            out.push_str(&row.print(self.colour));
            for detail in &message.details {
                let mut row = self.row();
                row.write(TIME + 2, &clipped(&harmless(detail), self.width.saturating_sub(TIME + 2)), Ink::Dim);
                out.push_str(&row.print(self.colour));
            }
            return out;
        }

        let (left, right) = (self.column(message.from.min(message.to)), self.column(message.from.max(message.to)));
        let room = right.saturating_sub(left + 5);
        let fits = line.chars().count() <= room;
        let mut row = self.lanes('│');
        row.write(0, &time(message), Ink::Dim);
        if message.from == message.to {
            row.write(left, &format!("├↺ {}", clipped(&line, self.room(left + 3))), ink);
            out.push_str(&row.print(self.colour));
        } else {
            if !fits {
                row.write(left + 2, &clipped(&line, self.room(left + 2)), ink);
                out.push_str(&row.print(self.colour));
                row = self.lanes('│');
            }
            row.arrow(left, right, message.from > message.to, ink);
            if fits {
                let label = format!(" {line} ");
                row.write(left + (right - left + 1).saturating_sub(label.chars().count()) / 2, &label, ink);
            }
            out.push_str(&row.print(self.colour));
        }
        for detail in &message.details {
            let mut row = self.lanes('│');
            row.write(left + 2, &clipped(&harmless(detail), self.room(left + 2)), Ink::Dim);
            out.push_str(&row.print(self.colour));
        }
        out
    }

    /// The line below all messages.
    #[must_use]
    pub fn footer(&self) -> String {
        if self.is_list() { String::new() } else { self.lanes('┴').print(self.colour) }
    }

    fn is_list(&self) -> bool {
        self.share < NARROWEST || self.participants.len() < 2
    }

    /// The column of a participant's line; one that is not there has the last.
    fn column(&self, place: usize) -> usize {
        let place = place.min(self.participants.len().saturating_sub(1));
        TIME + self.share / 2 + place * self.share
    }

    fn room(&self, from: usize) -> usize {
        self.width.saturating_sub(from)
    }

    fn row(&self) -> Row {
        Row { cells: vec![(' ', Ink::Plain); self.width] }
    }

    fn lanes(&self, mark: char) -> Row {
        let mut row = self.row();
        for place in 0..self.participants.len() {
            row.put(self.column(place), mark, Ink::Dim);
        }
        row
    }
}

fn time(message: &Message) -> String {
    format!("{:>7}", seconds(message.at))
}

fn ink(kind: Kind) -> Ink {
    match kind {
        Kind::Call => Ink::Green,
        Kind::Presence => Ink::Magenta,
        Kind::Registration => Ink::Blue,
        Kind::Failure => Ink::Red,
    }
}

/// One line of the terminal.
struct Row {
    cells: Vec<(char, Ink)>,
}

impl Row {
    fn put(&mut self, column: usize, mark: char, ink: Ink) {
        if let Some(cell) = self.cells.get_mut(column) {
            *cell = (mark, ink);
        }
    }

    fn write(&mut self, column: usize, text: &str, ink: Ink) {
        for (offset, mark) in text.chars().enumerate() {
            self.put(column + offset, mark, ink);
        }
    }

    fn arrow(&mut self, left: usize, right: usize, leftward: bool, ink: Ink) {
        for column in left + 1..right {
            self.put(column, '─', ink);
        }
        if leftward {
            self.put(left + 1, '◀', ink);
            self.put(right, '┤', ink);
        } else {
            self.put(left, '├', ink);
            self.put(right.saturating_sub(1), '▶', ink);
        }
    }

    fn print(&self, colour: Colour) -> String {
        let end = self.cells.iter().rposition(|(mark, _)| *mark != ' ').map_or(0, |last| last + 1);
        let mut out = String::new();
        for run in self.cells.iter().take(end).collect::<Vec<_>>().chunk_by(|(_, a), (_, b)| a == b) {
            let text: String = run.iter().map(|(mark, _)| mark).collect();
            let ink = run.first().map_or(Ink::Plain, |(_, ink)| *ink);
            out.push_str(&colour.paint(ink, &text));
        }
        out.push('\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn message(ms: u64, from: usize, to: usize, kind: Kind, line: &str, details: &[&str]) -> Message {
        let details = details.iter().map(ToString::to_string).collect();
        Message { at: Duration::from_millis(ms), from, to, kind, line: line.to_owned(), details }
    }

    fn ladder() -> Ladder {
        let participants = ["john.doe", "offhook", "presence server", "jane.roe"].map(str::to_owned).to_vec();
        let messages = vec![
            message(0, 0, 1, Kind::Call, "INVITE", &[]),
            message(2, 1, 3, Kind::Call, "INVITE", &[]),
            message(1_004, 3, 1, Kind::Call, "200 OK", &[]),
            message(1_005, 1, 2, Kind::Presence, "PUBLISH sip:john.doe@example.com", &["on-the-phone", "Expires: 600"]),
            message(1_007, 2, 1, Kind::Presence, "200 OK", &["SIP-ETag: 7f3a"]),
            message(9_000, 1, 1, Kind::Failure, "486", &[]),
        ];
        Ladder { participants, messages }
    }

    #[test]
    fn a_ladder_has_a_column_for_each_participant() {
        let expected = "              john.doe           offhook       presence server      jane.roe
                  ┬                 ┬                 ┬                 ┬
  0.000           ├──── INVITE ────▶│                 │                 │
  0.002           │                 ├───────────── INVITE ─────────────▶│
  1.004           │                 │◀──────────── 200 OK ──────────────┤
  1.005           │                 │ PUBLISH sip:john.doe@example.com  │
                  │                 ├────────────────▶│                 │
                  │                 │ on-the-phone    │                 │
                  │                 │ Expires: 600    │                 │
  1.007           │                 │◀─── 200 OK ─────┤                 │
                  │                 │ SIP-ETag: 7f3a  │                 │
  9.000           │                 ├↺ 486            │                 │
                  ┴                 ┴                 ┴                 ┴
";
        let drawn = Terminal::draw(&ladder(), 81, Colour::Off);
        assert_eq!(drawn, expected, "\n{drawn}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut ladder = ladder();
        ladder.messages.push(message(u64::MAX, 7, 0, Kind::Call, &"x".repeat(300), &["y".repeat(300).as_str()]));
        for width in 0..200 {
            for line in Terminal::draw(&ladder, width, Colour::Off).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_narrow_terminal_gets_a_list() {
        let drawn = Terminal::draw(&ladder(), 44, Colour::Off);
        assert!(drawn.starts_with("  0.000  john.doe → offhook  INVITE\n"), "{drawn}");
        assert!(drawn.contains("\n           on-the-phone\n"), "{drawn}");
    }

    #[test]
    fn each_kind_has_its_colour_and_no_colour_has_none() {
        let plain = Terminal::draw(&ladder(), 81, Colour::Off);
        let coloured = Terminal::draw(&ladder(), 81, Colour::On);
        assert!(!plain.contains('\u{1b}'));
        assert!(coloured.contains("\u{1b}[32m") && coloured.contains("\u{1b}[35m") && coloured.contains("\u{1b}[31m"));
        let mut stripped = coloured;
        for code in ["1", "2", "31", "32", "34", "35", "0"] {
            stripped = stripped.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(stripped, plain);
    }
}
