//! A published body as text: UTF-8, UTF-16 with its mark, or ISO 8859-1 where the XML declaration says so.

use std::borrow::Cow;

use crate::server::package::BodyFault;

/// The text of a body, without what may stand around the document.
pub(super) fn decode(body: &[u8]) -> Result<Cow<'_, str>, BodyFault> {
    let text = match (body, str::from_utf8(body)) {
        (_, Ok(text)) => Cow::Borrowed(around(text)),
        ([0xff, 0xfe, rest @ ..], _) => utf16(rest, u16::from_le_bytes)?,
        ([0xfe, 0xff, rest @ ..], _) => utf16(rest, u16::from_be_bytes)?,
        _ if says_latin_1(body) => Cow::Owned(body.iter().map(|octet| char::from(*octet)).collect()),
        _ => return Err(BodyFault::Malformed("the body is not UTF-8")),
    };
    Ok(text)
}

/// Some put a line, or a NUL, where XML has no room for it.
fn around(text: &str) -> &str {
    text.trim_matches(|letter: char| letter.is_ascii_whitespace() || matches!(letter, '\0' | '\u{feff}'))
}

fn utf16(octets: &[u8], of: fn([u8; 2]) -> u16) -> Result<Cow<'static, str>, BodyFault> {
    let fault = BodyFault::Malformed("the body is not UTF-16");
    let (pairs, []) = octets.as_chunks::<2>() else { return Err(fault) };
    let letters = char::decode_utf16(pairs.iter().map(|pair| of(*pair)));
    letters.collect::<Result<String, _>>().map(Cow::Owned).map_err(|_| fault)
}

fn says_latin_1(body: &[u8]) -> bool {
    let start = body.get(..body.len().min(100)).unwrap_or_default().to_ascii_lowercase();
    start.windows(10).any(|words| words == b"iso-8859-1")
}
