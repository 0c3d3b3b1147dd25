//! The event package `message-summary` (RFC 3842): whether messages wait, and how many of which kind.

use std::fmt::Write;

use super::limits;
use super::package::{BodyFault, Composing, EventPackage, EventState, Live, oneself};

/// The event package `message-summary`.
pub(super) const MESSAGE_SUMMARY: EventPackage = EventPackage {
    name: "message-summary",
    media_type: "application/simple-message-summary",
    default_expires: 3600,
    published: true,
    read,
    detailed: false,
    compose,
    remember: None,
    numbered: None,
    watches: None,
    watching: oneself,
};

/// The message context classes (RFC 3458 section 4), as they stand in a summary.
const CLASSES: [&str; 6] =
    ["Voice-Message", "Video-Message", "Fax-Message", "Pager-Message", "Multimedia-Message", "Text-Message"];

/// What one mailbox says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Summary {
    waiting: bool,
    account: Option<Box<str>>,
    /// By the place in [`CLASSES`].
    counts: [Option<Counts>; CLASSES.len()],
    /// The headers of single messages that follow the summary, as they came.
    messages: Box<str>,
}

/// How many messages of one class there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    new: u32,
    old: u32,
    /// The urgent ones among them, new and old, where they are told apart.
    urgent: Option<(u32, u32)>,
}

fn read(body: &[u8]) -> Result<EventState, BodyFault> {
    let text = str::from_utf8(body).map_err(|_| BodyFault::Malformed("the body is not UTF-8"))?;
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| value(line, "Messages-Waiting"));
    let waiting = match status {
        Some(status) if status.eq_ignore_ascii_case("yes") => true,
        Some(status) if status.eq_ignore_ascii_case("no") => false,
        _ => return Err(BodyFault::Malformed("the body does not begin with Messages-Waiting: yes or no")),
    };
    let mut summary = Summary { waiting, ..Summary::default() };
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        if let Some(account) = value(line, "Message-Account") {
            let clean = account.len() <= limits::TOKEN && !account.chars().any(char::is_control);
            summary.account = clean.then(|| account.into());
            continue;
        }
        for (class, counts) in CLASSES.iter().zip(&mut summary.counts) {
            if let Some(said) = value(line, class) {
                *counts = Some(counted(said).ok_or(BodyFault::Malformed("a count of messages is malformed"))?);
            }
        }
    }
    let mut messages = String::new();
    for line in lines {
        let is_header = line.is_empty() || line.starts_with([' ', '\t']) || line.contains(':');
        if !is_header || line.chars().any(|letter| letter.is_control() && letter != '\t') {
            return Err(BodyFault::Malformed("a message's header is malformed"));
        }
        messages.push_str(line);
        messages.push_str("\r\n");
    }
    summary.messages = messages.into();
    Ok(Box::new(summary))
}

/// The value of a line, if it is of this name.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (found, value) = line.split_once(':')?;
    found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
}

/// `2/8 (0/2)`: new and old, and the urgent ones among them.
fn counted(text: &str) -> Option<Counts> {
    fn pair(text: &str) -> Option<(u32, u32)> {
        let (new, old) = text.split_once('/')?;
        Some((new.trim().parse().ok()?, old.trim().parse().ok()?))
    }
    let (all, urgent) = match text.split_once('(') {
        Some((all, urgent)) => (all, Some(pair(urgent.trim_end().strip_suffix(')')?)?)),
        None => (text, None),
    };
    let (new, old) = pair(all)?;
    Some(Counts { new, old, urgent })
}

/// Messages wait if they do in any mailbox; counts are added up. The account and the messages are those of the mailbox heard
/// of last.
fn compose(composing: &Composing<'_>) -> Vec<u8> {
    let mut all = Summary::default();
    for mailbox in composing.live.iter().filter_map(Live::of::<Summary>) {
        let said = mailbox.state;
        all.waiting |= said.waiting;
        all.account = said.account.clone().or(all.account);
        if !said.messages.is_empty() {
            all.messages = said.messages.clone();
        }
        for (sum, counts) in all.counts.iter_mut().zip(said.counts) {
            *sum = match (*sum, counts) {
                (Some(sum), Some(counts)) => Some(sum.with(counts)),
                (sum, counts) => sum.or(counts),
            };
        }
    }
    let mut text = format!("Messages-Waiting: {}\r\n", if all.waiting { "yes" } else { "no" });
    // Writing into a string cannot fail.
    if let Some(account) = &all.account {
        let _ = write!(text, "Message-Account: {account}\r\n");
    }
    for (class, counts) in CLASSES.iter().zip(all.counts) {
        let Some(Counts { new, old, urgent }) = counts else { continue };
        let _ = write!(text, "{class}: {new}/{old}");
        if let Some((new, old)) = urgent {
            let _ = write!(text, " ({new}/{old})");
        }
        text.push_str("\r\n");
    }
    if !all.messages.is_empty() {
        text.push_str("\r\n");
        text.push_str(&all.messages);
    }
    text.into_bytes()
}

impl Counts {
    fn with(self, other: Self) -> Self {
        let urgent = match (self.urgent, other.urgent) {
            (Some((new, old)), Some((more_new, more_old))) => {
                Some((new.saturating_add(more_new), old.saturating_add(more_old)))
            }
            (one, another) => one.or(another),
        };
        Self { new: self.new.saturating_add(other.new), old: self.old.saturating_add(other.old), urgent }
    }
}
