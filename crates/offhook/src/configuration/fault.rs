//! What is wrong with a configuration file: where, in the file's own line, and what cures it.

use std::fmt::{self, Write as _};
use std::ops::Range;

/// One fault of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The octets of the file that are at fault.
    pub span: Range<usize>,
    /// What is wrong.
    pub words: String,
    /// What to do about it, shown behind the caret.
    pub cure: String,
    /// Another place that has to do with it, and why.
    pub also: Option<(Range<usize>, String)>,
}

impl Fault {
    /// A fault at this place.
    #[must_use]
    pub fn new(span: Range<usize>, words: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { span, words: words.into(), cure: cure.into(), also: None }
    }

    /// Shows another place too.
    #[must_use]
    pub fn with(mut self, span: Range<usize>, words: impl Into<String>) -> Self {
        self.also = Some((span, words.into()));
        self
    }
}

/// Every fault of one file, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The file's name, as it was given.
    pub file: String,
    /// The file's text, empty where it could not be read.
    pub text: String,
    /// What is wrong with it, in the order of the file.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.faults.iter().enumerate() {
            if number > 0 {
                f.write_char('\n')?;
            }
            if self.text.is_empty() {
                writeln!(f, "{}: {}", self.file, fault.words)?;
                writeln!(f, "  {}", fault.cure)?;
                continue;
            }
            let place = Place::of(&self.text, &fault.span);
            writeln!(f, "{}:{}:{}: {}", self.file, place.line, place.column, fault.words)?;
            place.show(f, &fault.cure)?;
            if let Some((span, words)) = &fault.also {
                Place::of(&self.text, span).show(f, words)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// A place in a text, as a person counts: lines and columns from 1.
struct Place<'a> {
    line: usize,
    column: usize,
    source: &'a str,
    /// What stands before the place in its line.
    before: &'a str,
    /// How many characters of the line are at fault.
    width: usize,
}

impl<'a> Place<'a> {
    fn of(text: &'a str, span: &Range<usize>) -> Self {
        let start = (0..=span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (before, after) = text.split_at(start);
        let line = before.matches('\n').count() + 1;
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        let end = start + after.find('\n').unwrap_or(after.len());
        let at_fault = text.get(start..span.end.clamp(start, end)).unwrap_or_default();
        let before = text.get(begin..start).unwrap_or_default();
        Self {
            line,
            column: before.chars().count() + 1,
            source: text.get(begin..end).unwrap_or_default().trim_end(),
            before,
            width: at_fault.chars().count().max(1),
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>, words: &str) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        // A tab stays a tab, so that the caret stands below what it means.
        let indent: String = self.before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "  {number} | {}", self.source)?;
        writeln!(f, "  {margin} | {indent}{} {words}", "^".repeat(self.width))
    }
}

/// Which of `known` was probably meant.
pub(super) fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase();
    let near = |candidate: &&str| distance(&lower, candidate) <= (lower.len().max(candidate.len()) / 3).max(1);
    known.into_iter().filter(near).min_by_key(|candidate| distance(&lower, candidate))
}

/// How many letters must be changed, added or left out (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, letter) in one.chars().enumerate() {
        let mut next = vec![number + 1];
        for ((same, above), pair) in other.iter().map(|c| *c == letter).zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or_default();
            next.push((pair + usize::from(!same)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Words as a person lists them: `a, b or c`.
pub(super) fn or(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_another_word_is_not() {
        assert_eq!(meant("adress", ["address", "advertise"]), Some("address"));
        assert_eq!(meant("Transport", ["transport"]), Some("transport"));
        assert_eq!(meant("colour", ["address", "advertise"]), None);
    }

    #[test]
    fn the_caret_stands_below_what_is_at_fault_behind_tabs_and_umlauts() {
        let text = "a = 1\n\tname = \"Jürgen\" # b\r\nc = 2\n".to_owned();
        let at = text.find('#').unwrap();
        let faults = Faults { file: "f".into(), faults: vec![Fault::new(at..at + 3, "no", "yes")], text };
        let shown = "f:2:18: no\n  2 | \tname = \"Jürgen\" # b\n    | \t                ^^^ yes\n";
        assert_eq!(faults.to_string(), shown);
    }
}
