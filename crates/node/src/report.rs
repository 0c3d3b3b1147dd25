//! The catalogue of everything a node reports: logs, metrics, records and ladders are printed from here.

use std::fmt;

/// How much a report matters to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Of use to who follows one message.
    Trace,
    /// The normal course of things.
    Notice,
    /// Somebody did something wrong, and it was dealt with.
    Warning,
    /// Something that was promised may not be kept.
    Alarm,
}

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Placeholder until the rooms below bring theirs.
    Text(String),
}

impl Report {
    /// How much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        Severity::Notice
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
        }
    }
}
