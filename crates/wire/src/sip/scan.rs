//! The letters of SIP: white space, folds, quoted strings, and where an element ends.

use memchr::{memchr, memchr3};

/// Which octets may stand in a token (RFC 3261 section 25.1).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0_u8;
    loop {
        // A table of 256 has a place for every octet.
        table[octet as usize] = octet.is_ascii_alphanumeric()
            || matches!(octet, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        if octet == u8::MAX {
            break table;
        }
        octet += 1;
    }
};

/// Whether this octet is white space inside a header, line ends of a fold included.
pub(super) fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// The octets without white space before them.
pub(super) fn trim_start(mut octets: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = octets
        && is_space(*first)
    {
        octets = rest;
    }
    octets
}

/// The octets without white space around them.
pub(super) fn trim(octets: &[u8]) -> &[u8] {
    let mut octets = trim_start(octets);
    while let [rest @ .., last] = octets
        && is_space(*last)
    {
        octets = rest;
    }
    octets
}

/// Whether this octet may stand in a token (RFC 3261 section 25.1).
pub(super) fn is_token(octet: u8) -> bool {
    // A table of 256 has a place for every octet.
    TOKEN[usize::from(octet)]
}

/// Whether these octets are a token, which is never empty.
pub(super) fn is_a_token(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|octet| is_token(*octet))
}

/// Where `wanted` stands first outside quoted strings and angle brackets.
pub(super) fn find_outside(octets: &[u8], wanted: u8) -> Option<usize> {
    let first = memchr3(wanted, b'"', b'<', octets)?;
    if octets.get(first) == Some(&wanted) {
        return Some(first);
    }
    let mut quoted = false;
    let mut angled = false;
    let mut escaped = false;
    for (place, octet) in octets.iter().copied().enumerate().skip(first) {
        if escaped {
            escaped = false;
        } else if quoted {
            match octet {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if octet == wanted && !angled {
            return Some(place);
        } else {
            match octet {
                b'"' if !angled => quoted = true,
                b'<' => angled = true,
                b'>' => angled = false,
                _ => {}
            }
        }
    }
    None
}

/// The elements of a comma-separated value, trimmed; an element may be empty.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let octets = rest?;
        let comma = memchr(b',', octets).and_then(|_| find_outside(octets, b','));
        let (element, after) = match comma.and_then(|comma| octets.split_at_checked(comma)) {
            Some((element, after)) => (element, after.get(1..)),
            None => (octets, None),
        };
        rest = after;
        Some(trim(element))
    })
}

/// The octets before the first `octet`, and those from it on.
pub(super) fn split_before(octets: &[u8], octet: u8) -> (&[u8], &[u8]) {
    memchr(octet, octets).and_then(|at| octets.split_at_checked(at)).unwrap_or((octets, &[]))
}

/// A number of decimal digits that fits; no sign, no space.
pub(super) fn number(octets: &[u8]) -> Option<u32> {
    let octets = trim(octets);
    if octets.is_empty() {
        return None;
    }
    octets.iter().try_fold(0_u32, |number, octet| {
        let digit = octet.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u32::from(digit))
    })
}

/// The octets as text, where they are ASCII or UTF-8.
pub(super) fn text(octets: &[u8]) -> Option<&str> {
    std::str::from_utf8(octets).ok()
}
