//! From the text of a file to its sections, each value checked against its option; what fits no option is a fault.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use presence::server::authorization::Pattern;
use regex::Regex;
use sip::Aor;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};
use wire::sip::Uri;

use super::fault::{Fault, meant, or};
use super::option::{Absent, Form, Kind, SECTIONS, Section, Setting};

/// Something with its place in the file.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) what: T,
    pub(super) span: Range<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Texts(Vec<At<String>>),
    Duration(Duration),
    Count(u32),
    Flag(bool),
}

/// One section as it stands in the file, defaults included.
#[derive(Debug)]
pub(super) struct Entry {
    section: &'static Section,
    /// The name of an `[identity.NAME]`.
    pub(super) name: String,
    /// Its header.
    pub(super) span: Range<usize>,
    values: BTreeMap<&'static str, At<Value>>,
}

impl Entry {
    /// A section that the file does not have: its defaults.
    pub(super) fn absent(section: &'static Section) -> Self {
        let mut entry = Self { section, name: String::new(), span: 0..0, values: BTreeMap::new() };
        entry.fill();
        entry
    }

    /// A row of a table, as a section.
    pub(super) fn of_row<'t>(
        section: &'static Section,
        span: Range<usize>,
        cells: impl Iterator<Item = (&'static Setting, At<&'t str>)>,
        faults: &mut Vec<Fault>,
    ) -> Self {
        let mut entry = Self { section, name: String::new(), span, values: BTreeMap::new() };
        let mut present = Vec::new();
        for (setting, cell) in cells {
            present.push(setting.name);
            match read_cell(setting, &cell) {
                Ok(what) => drop(entry.values.insert(setting.name, At { what, span: cell.span })),
                Err(fault) => faults.push(fault),
            }
        }
        for setting in section.settings {
            if setting.default == Absent::Required && !present.contains(&setting.name) {
                let words = format!("this row lacks its {}", setting.name);
                let cure = format!("write one like {}", setting.example.trim_matches('"'));
                faults.push(Fault::new(entry.span.clone(), words, cure));
            }
        }
        entry.fill();
        entry
    }

    /// What the file has, or the default.
    fn fill(&mut self) {
        for setting in self.section.settings {
            let Absent::Value(text) = setting.default else { continue };
            if self.values.contains_key(setting.name) {
                continue;
            }
            let parsed = DeValue::parse(text).ok().and_then(|value| read(setting, &value).ok());
            if let Some(what) = parsed {
                self.values.insert(setting.name, At { what, span: self.span.clone() });
            }
        }
    }

    pub(super) fn span_of(&self, name: &str) -> Range<usize> {
        self.values.get(name).map_or_else(|| self.span.clone(), |at| at.span.clone())
    }

    pub(super) fn text(&self, name: &str) -> Option<At<&str>> {
        match self.values.get(name) {
            Some(At { what: Value::Text(text), span }) => Some(At { what: text, span: span.clone() }),
            _ => None,
        }
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(|at| at.what.to_owned())
    }

    pub(super) fn texts(&self, name: &str) -> &[At<String>] {
        match self.values.get(name) {
            Some(At { what: Value::Texts(texts), .. }) => texts,
            _ => &[],
        }
    }

    pub(super) fn duration(&self, name: &str) -> Option<Duration> {
        match self.values.get(name) {
            Some(At { what: Value::Duration(duration), .. }) => Some(*duration),
            _ => None,
        }
    }

    pub(super) fn count(&self, name: &str) -> Option<u32> {
        match self.values.get(name) {
            Some(At { what: Value::Count(count), .. }) => Some(*count),
            _ => None,
        }
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(At { what: Value::Flag(true), .. }))
    }
}

/// Every section of a file.
#[derive(Debug, Default)]
pub(super) struct Document {
    entries: Vec<Entry>,
}

impl Document {
    /// The sections of this name, in the order of the file.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.section.name == name)
    }

    /// Adds sections from elsewhere.
    pub(super) fn extend(&mut self, entries: Vec<Entry>) {
        self.entries.extend(entries);
    }

    /// The section of this name, if the file has it.
    pub(super) fn one(&self, name: &str) -> Option<&Entry> {
        self.all(name).next()
    }
}

/// Reads a file's text. What is at fault is missing from the document.
pub(super) fn document(text: &str, faults: &mut Vec<Fault>) -> Document {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        faults.extend(errors.into_iter().map(|error| syntax(text, &error)));
        return Document::default();
    }
    let mut document = Document::default();
    let mut top = Vec::new();
    for (key, value) in table.get_ref() {
        let name = key.get_ref().as_ref();
        match SECTIONS.iter().find(|section| section.name == name && section.form != Form::Top) {
            Some(section) => sections(section, key, value, &mut document, faults),
            None => top.push((key, value)),
        }
    }
    if let Some(section) = SECTIONS.first() {
        let entry = entry(section, String::new(), 0..0, top, faults);
        document.entries.push(entry);
    }
    document.entries.sort_by_key(|entry| entry.span.start);
    document
}

/// A fault of the syntax, in the parser's words.
fn syntax(text: &str, error: &toml::de::Error) -> Fault {
    let span = error.span().unwrap_or_default();
    let message = error.message().lines().collect::<Vec<_>>().join("; ");
    if let Some(span) = unquoted(text, &span) {
        return Fault::new(span, "texts stand in quotation marks", "write \"...\"");
    }
    let (words, cure) = match message.split_once(", expected ") {
        Some((words, "nothing")) => (words.to_owned(), "this cannot stand here".to_owned()),
        Some((words, expected)) => (words.to_owned(), format!("here belongs {expected}")),
        None if message.contains("duplicate key") => ("this stands here twice".to_owned(), "keep one".to_owned()),
        None => (message, "this is not TOML".to_owned()),
    };
    Fault::new(span, words, cure)
}

/// The value that this error is in, if it begins like a word or a number: most often a word, a URI or an address that
/// lacks its quotation marks.
fn unquoted(text: &str, error: &Range<usize>) -> Option<Range<usize>> {
    let (before, after) = text.split_at_checked(error.start)?;
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let equals = line + before.get(line..)?.find('=')?;
    let value = text.get(equals + 1..)?;
    let start = equals + 1 + (value.len() - value.trim_start_matches([' ', '\t']).len());
    let ends = |c: char| c.is_whitespace() || c == '#';
    let end = error.start + after.find(ends).unwrap_or(after.len());
    let whole = text.get(start..end)?;
    let bare =
        whole.starts_with(|c: char| c.is_alphanumeric()) && !whole.contains(['"', '\'']) && !whole.contains(ends);
    bare.then_some(start..end)
}

type Key<'a> = Spanned<DeString<'a>>;
type Pair<'t, 'a> = (&'t Key<'a>, &'t Spanned<DeValue<'a>>);

/// Takes every section of one name.
fn sections(
    section: &'static Section,
    key: &Key<'_>,
    value: &Spanned<DeValue<'_>>,
    document: &mut Document,
    faults: &mut Vec<Fault>,
) {
    let wrong = |span: Range<usize>| {
        let several = if section.form == Form::Many { ": there may be several" } else { "" };
        Fault::new(
            span,
            format!("{} is a section of another form", section.name),
            format!("write {}{several}", section.header()),
        )
    };
    match (section.form, value.get_ref()) {
        (Form::Many, DeValue::Array(array)) => {
            for item in array {
                match item.get_ref() {
                    DeValue::Table(table) => {
                        let entry = entry(section, String::new(), item.span(), table.iter(), faults);
                        document.entries.push(entry);
                    }
                    _ => faults.push(wrong(item.span())),
                }
            }
        }
        (Form::Once, DeValue::Table(table)) => {
            document.entries.push(entry(section, String::new(), value.span(), table.iter(), faults));
        }
        (Form::Named, DeValue::Table(named)) => {
            for (name, item) in named {
                match item.get_ref() {
                    DeValue::Table(table) => {
                        let name = name.get_ref().to_string();
                        document.entries.push(entry(section, name, item.span(), table.iter(), faults));
                    }
                    _ => faults.push(wrong(name.span())),
                }
            }
        }
        (_, DeValue::Array(array)) => faults.push(wrong(array.iter().next().map_or(key.span(), Spanned::span))),
        (_, value_here) => faults.push(wrong(if value_here.is_table() { value.span() } else { key.span() })),
    }
}

/// Takes the options of one section.
fn entry<'t, 'a: 't>(
    section: &'static Section,
    name: String,
    span: Range<usize>,
    pairs: impl IntoIterator<Item = Pair<'t, 'a>>,
    faults: &mut Vec<Fault>,
) -> Entry {
    let mut entry = Entry { section, name, span, values: BTreeMap::new() };
    let mut present = Vec::new();
    for (key, value) in pairs {
        let Some(setting) = section.setting(key.get_ref()) else {
            faults.push(unknown(section, key));
            continue;
        };
        present.push(setting.name);
        match read(setting, value) {
            Ok(what) => {
                entry.values.insert(setting.name, At { what, span: value.span() });
            }
            Err(fault) => faults.push(fault),
        }
    }
    for setting in section.settings {
        if setting.default == Absent::Required && !present.contains(&setting.name) {
            faults.push(Fault::new(
                entry.span.clone(),
                format!("{} lacks \"{}\"", section.header(), setting.name),
                format!("add a line like: {} = {}", setting.name, setting.example),
            ));
        }
    }
    entry.fill();
    entry
}

fn unknown(section: &Section, key: &Key<'_>) -> Fault {
    let word = key.get_ref().as_ref();
    let own = section.settings.iter().map(|setting| setting.name);
    let sections = SECTIONS.iter().filter(|other| section.form == Form::Top && other.form != Form::Top);
    let cure = match meant(word, own.chain(sections.map(|other| other.name))) {
        Some(other) => format!("did you mean \"{other}\"?"),
        None if section.form == Form::Top => "`offhook config reference` lists every section and option".to_owned(),
        None => format!(
            "there is {}",
            or(&section.settings.iter().map(|setting| setting.name).collect::<Vec<_>>()).replace(" or ", " and ")
        ),
    };
    Fault::new(key.span(), format!("there is no \"{word}\" in {}", section.header()), cure)
}

/// Reads one value as its option wants it.
fn read(setting: &Setting, value: &Spanned<DeValue<'_>>) -> Result<Value, Fault> {
    let name = setting.name;
    let refused = |cure: String| {
        let is = match value.get_ref() {
            DeValue::String(text) => format!("\"{text}\" is no {name}"),
            other => format!("{name} cannot be this {}", other.type_str()),
        };
        Fault::new(value.span(), is, cure)
    };
    match (setting.kind, value.get_ref()) {
        (Kind::Flag, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
        (Kind::Flag, _) => Err(refused("write true or false".into())),
        (Kind::Count(least, most), DeValue::Integer(number)) => u32::from_str_radix(number.as_str(), number.radix())
            .ok()
            .filter(|number| (least..=most).contains(number))
            .map(Value::Count)
            .ok_or_else(|| Fault::new(value.span(), format!("{name} is out of range"), cure_of(setting.kind))),
        (Kind::Texts | Kind::Choices(_) | Kind::Users | Kind::Places | Kind::Addresses, DeValue::Array(array)) => {
            let mut texts = Vec::new();
            for item in array {
                let DeValue::String(text) = item.get_ref() else {
                    return Err(Fault::new(item.span(), format!("{name} is a list of texts"), cure_of(setting.kind)));
                };
                if !fits(setting.kind, text) {
                    return Err(Fault::new(
                        item.span(),
                        format!("\"{text}\" does not fit here"),
                        cure_of(setting.kind),
                    ));
                }
                texts.push(At { what: text.to_string(), span: item.span() });
            }
            if setting.kind == Kind::Places && texts.is_empty() {
                return Err(refused(cure_of(setting.kind)));
            }
            Ok(Value::Texts(texts))
        }
        (Kind::Texts | Kind::Choices(_) | Kind::Users | Kind::Places | Kind::Addresses | Kind::Count(..), _) => {
            Err(refused(cure_of(setting.kind)))
        }
        (Kind::Pattern, DeValue::String(text)) => match Regex::new(text) {
            Ok(_) => Ok(Value::Text(text.to_string())),
            Err(error) => {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                Err(Fault::new(value.span(), "this is no regular expression", why))
            }
        },
        (Kind::Duration | Kind::DurationOr(_), DeValue::String(text)) => match (duration(text), setting.kind) {
            (Some(duration), _) => Ok(Value::Duration(duration)),
            (None, Kind::DurationOr(word)) if *text == word => Ok(Value::Text(text.to_string())),
            (None, _) => Err(refused(cure_of(setting.kind))),
        },
        (kind, DeValue::String(text)) if fits(kind, text) => Ok(Value::Text(text.to_string())),
        (kind, _) => Err(refused(cure_of(kind))),
    }
}

/// Reads one cell of a table as its option wants it. A list has semicolons or bars between its items, and a URI may lack
/// its scheme.
fn read_cell(setting: &Setting, cell: &At<&str>) -> Result<Value, Fault> {
    let spelled = |text: &str| match setting.kind {
        Kind::Uri | Kind::Users if !text.contains(':') => format!("sip:{text}"),
        _ => text.to_owned(),
    };
    let fault = |text: &str, span: Range<usize>| {
        Fault::new(span, format!("\"{text}\" does not fit in the column {}", setting.name), cell_cure(setting.kind))
    };
    match setting.kind {
        Kind::Flag => match cell.what.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Ok(Value::Flag(true)),
            "false" | "no" | "0" => Ok(Value::Flag(false)),
            _ => Err(fault(cell.what, cell.span.clone())),
        },
        Kind::Texts | Kind::Choices(_) | Kind::Users => {
            let items = cell.what.split([';', '|']).map(str::trim).filter(|item| !item.is_empty());
            let texts = items.map(|item| {
                let what = spelled(item);
                let span = cell.span.clone();
                if fits(setting.kind, &what) { Ok(At { what, span }) } else { Err(fault(item, span)) }
            });
            texts.collect::<Result<_, _>>().map(Value::Texts)
        }
        kind => {
            let text = spelled(cell.what);
            if fits(kind, &text) { Ok(Value::Text(text)) } else { Err(fault(cell.what, cell.span.clone())) }
        }
    }
}

fn cell_cure(kind: Kind) -> String {
    match kind {
        Kind::Uri => "write a SIP URI, like sip:john.doe@example.com".into(),
        Kind::Users => "write SIP URIs with semicolons between them".into(),
        Kind::Flag => "write yes or no".into(),
        kind => cure_of(kind),
    }
}

/// Whether a text, or an item of a list, is what the option wants.
fn fits(kind: Kind, text: &str) -> bool {
    match kind {
        Kind::Choice(words) | Kind::Choices(words) => words.contains(&text),
        Kind::Digits => text.bytes().all(|octet| octet.is_ascii_digit()),
        Kind::Address | Kind::Addresses => address(text, 0).is_some(),
        Kind::Host => host(text),
        Kind::Domain => host(text) && !text.contains(':'),
        Kind::Uri => Uri::parse(text.as_bytes()).is_ok_and(|uri| uri.address_of_record().is_some()),
        Kind::Users => Aor::parse(text).is_some_and(|aor| !aor.user().is_empty()),
        Kind::Places => text.parse::<IpAddr>().is_ok() || fits(Kind::Uri, text),
        Kind::Who => Pattern::parse(text).is_some(),
        _ => !text.is_empty(),
    }
}

fn cure_of(kind: Kind) -> String {
    match kind {
        Kind::Choice(words) => format!("write {}", or(words)),
        Kind::Choices(words) => format!("write a list of {}", or(words)),
        Kind::Text | Kind::File | Kind::Directory | Kind::Pattern => "write a text in quotation marks".into(),
        Kind::Texts => "write a list, like [\"one\", \"another\"]".into(),
        Kind::Host => "write a host name or an address, like \"sbc.example.com\" or \"192.0.2.1:5060\"".into(),
        Kind::Domain => "write a domain, like \"example.com\"".into(),
        Kind::Address => "write an address, like \"192.0.2.1:5060\" or \"[2001:db8::1]:5060\"".into(),
        Kind::Uri => "write a SIP URI, like \"sip:john.doe@example.com\"".into(),
        Kind::Users => "write SIP URIs, like [\"sip:john.doe@example.com\"]".into(),
        Kind::Who => "write a SIP URI, \"*@example.com\" or \"*\"".into(),
        Kind::Places => "write SIP URIs or addresses, like [\"sip:pbx.example.com\", \"192.0.2.9\"]".into(),
        Kind::Addresses => "write addresses, like [\"192.0.2.53\", \"[2001:db8::53]:5353\"]".into(),
        Kind::Duration => "write a number with ms, s, m or h, like \"600s\"".into(),
        Kind::DurationOr(word) => format!("write a number with ms, s, m or h, like \"600s\", or \"{word}\""),
        Kind::Count(least, most) => format!("write a whole number from {least} to {most}"),
        Kind::Flag => "write true or false".into(),
        Kind::Digits => "write digits in quotation marks, like \"49\"".into(),
    }
}

/// An address to listen at, with the port where it is left out.
pub(super) fn address(text: &str, port: u16) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    text.parse().ok().or_else(|| Some(SocketAddr::new(bare.parse().ok()?, port)))
}

/// Whether this is a host, or a host with a port, as a URI has them.
fn host(text: &str) -> bool {
    let bracketed: Cow<'_, str> =
        if text.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{text}]").into() } else { text.into() };
    !text.contains(['@', ';', '?'])
        && Uri::parse(format!("sip:{bracketed}").as_bytes()).is_ok_and(|uri| !uri.host_str().is_empty())
}

/// A length of time: `100ms`, `600s`, `10m`, `1h`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}
