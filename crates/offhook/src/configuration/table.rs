//! Users from a CSV file: one row each, columns named like the options of a `[[user]]`, every fault with its cell.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::fault::{Fault, Source, meant, or};
use super::option::{PASSWORD, SECTIONS, Section, Setting};
use super::reader::{At, Document, Entry};
use super::{Findings, Surroundings};

/// What may stand between two cells; the first line tells which it is.
const DELIMITERS: [u8; 3] = *b",;\t";

/// Adds the users of the CSV file that a document names, and the file to the sources.
pub(super) fn users(document: &mut Document, surroundings: &Surroundings, findings: &mut Findings) {
    let Some(section) = SECTIONS.iter().find(|section| section.name == "user") else { return };
    let Some(At { what, span }) = document.one("users").and_then(|entry| entry.text("csv")) else { return };
    let path = surroundings.directory.join(what);
    let text = match fs::read(&path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => {
            let line = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = line.iter().filter(|octet| **octet == b'\n').count() + 1;
            let words = format!("{} is no UTF-8 text in line {line}", path.display());
            findings.faults.push(Fault::new(span, words, "save it as \"CSV UTF-8\""));
            return;
        }
        Err(error) => {
            let words = format!("{} cannot be read: {error}", path.display());
            findings.faults.push(Fault::new(span, words, "name a file that this user may read"));
            return;
        }
    };
    let base = findings.length();
    let rows = rows(&text, base, section, findings);
    if rows.secret && everybody_reads(&path) {
        let cure = format!("take that right away: chmod o-rwx {}", path.display());
        findings.warnings.push(Fault::new(span, format!("everybody may read the passwords in {what}"), cure));
    }
    document.extend(rows.entries);
    findings.sources.push(Source { name: path.display().to_string(), text });
}

fn everybody_reads(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o007 != 0)
}

#[derive(Default)]
struct Rows {
    entries: Vec<Entry>,
    /// Whether there is a column of passwords.
    secret: bool,
}

fn rows(text: &str, base: usize, section: &'static Section, findings: &mut Findings) -> Rows {
    // What spreadsheets put before a text in UTF-8.
    let bare = text.trim_start_matches('\u{feff}');
    let base = base + text.len() - bare.len();
    let first = bare.lines().next().unwrap_or_default();
    let delimiter = delimiter(first);
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(bare.as_bytes());
    let mut records = reader.records();
    let Some(Ok(header)) = records.next() else {
        let cure = format!("its first line names the columns, like: {}", ["uri", "name", "numbers"].join(","));
        findings.faults.push(Fault::new(base..base + 1, "there are no users in this file", cure));
        return Rows::default();
    };
    let columns = columns(&header, &cells(bare, 0, header.len(), delimiter, base), section, findings);
    let mut rows =
        Rows { secret: columns.iter().flatten().any(|column| column.name == PASSWORD.name), ..Rows::default() };
    for record in records {
        let Ok(record) = record else { continue };
        let at = record.position().and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or_default();
        let spans = cells(bare, at, record.len(), delimiter, base);
        let (Some(start), Some(end)) = (spans.first().map(|span| span.start), spans.last().map(|span| span.end)) else {
            continue;
        };
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if record.len() > columns.len() {
            let words = format!("this row has {} cells, and there are {} columns", record.len(), columns.len());
            findings.faults.push(Fault::new(start..end, words, "put a cell with separators into quotation marks"));
            continue;
        }
        let cells = columns.iter().zip(record.iter().zip(spans)).filter_map(|(column, (text, span))| {
            let text = text.trim();
            (*column).filter(|_| !text.is_empty()).map(|setting| (setting, At { what: text, span }))
        });
        rows.entries.push(Entry::of_row(section, start..end, cells, &mut findings.faults));
    }
    rows
}

/// The option that each column is for; those that are none of ours are named once.
fn columns(
    header: &csv::StringRecord,
    spans: &[Range<usize>],
    section: &'static Section,
    findings: &mut Findings,
) -> Vec<Option<&'static Setting>> {
    let mut columns: Vec<Option<&'static Setting>> = Vec::new();
    let known = || section.settings.iter().chain([&PASSWORD]);
    for (cell, span) in header.iter().zip(spans) {
        let name = cell.trim().to_lowercase().replace([' ', '-'], "_");
        let column = known().find(|setting| setting.name == name);
        let twice = column.is_some_and(|new| columns.iter().flatten().any(|old| old.name == new.name));
        if twice {
            let words = format!("there already is a column \"{name}\"");
            findings.faults.push(Fault::new(span.clone(), words, "keep one of the two"));
        } else if column.is_none() && !name.is_empty() {
            let words = format!("the column \"{}\" is not used", cell.trim());
            let cure = match meant(&name, known().map(|setting| setting.name)) {
                Some(other) => format!("did you mean \"{other}\"?"),
                None => format!(
                    "the columns are {}",
                    or(&known().map(|setting| setting.name).collect::<Vec<_>>()).replace(" or ", " and ")
                ),
            };
            findings.warnings.push(Fault::new(span.clone(), words, cure));
        }
        columns.push(column);
    }
    if !columns.iter().flatten().any(|column| column.name == "uri") {
        let whole = spans.first().map_or(0, |span| span.start)..spans.last().map_or(1, |span| span.end);
        findings.faults.push(Fault::new(
            whole,
            "there is no column \"uri\"",
            "it holds SIP URIs, like sip:john.doe@example.com",
        ));
    }
    columns
}

fn delimiter(header: &str) -> u8 {
    let count = |delimiter: &u8| header.bytes().filter(|octet| octet == delimiter).count();
    DELIMITERS.into_iter().rev().max_by_key(count).unwrap_or(b',')
}

/// Where the cells of a record lie, without their quotation marks.
fn cells(text: &str, start: usize, count: usize, delimiter: u8, base: usize) -> Vec<Range<usize>> {
    let octets = text.as_bytes();
    let blank = |octet: &&u8| matches!(octet, b'\r' | b'\n');
    // The reader passes over empty lines before a record.
    let mut at = start + octets.iter().skip(start).take_while(blank).count();
    let mut cells = Vec::with_capacity(count);
    while cells.len() < count {
        let begin = at;
        let mut quoted = false;
        while let Some(octet) = octets.get(at).filter(|octet| quoted || (**octet != delimiter && !blank(octet))) {
            quoted ^= *octet == b'"';
            at += 1;
        }
        let marks = usize::from(octets.get(begin) == Some(&b'"') && at >= begin + 2);
        cells.push(base + begin + marks..base + at - marks);
        at += 1;
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_found_where_they_stand() {
        let text = "a,\"b,\"\"c\nd\",e\r\n\n,f,\r\n";
        let found = |start, count| -> Vec<&str> {
            cells(text, start, count, b',', 0).into_iter().map(|span| &text[span]).collect()
        };
        assert_eq!(found(0, 3), ["a", "b,\"\"c\nd", "e"]);
        assert_eq!(found(14, 3), ["", "f", ""]);
    }

    #[test]
    fn the_first_line_tells_what_stands_between_two_cells() {
        assert_eq!([delimiter("uri"), delimiter("uri,name"), delimiter("uri;name"), delimiter("a\tb\tc,d")], *b",,;\t");
    }
}
