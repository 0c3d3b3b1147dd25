//! The letters of SIP: white space, folds, quoted strings, and where an element ends.

/// Whether this octet is white space inside a header, line ends of a fold included.
pub(super) fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// The octets without white space around them.
pub(super) fn trim(mut octets: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = octets
        && is_space(*first)
    {
        octets = rest;
    }
    while let [rest @ .., last] = octets
        && is_space(*last)
    {
        octets = rest;
    }
    octets
}

/// Whether this octet may stand in a token (RFC 3261 section 25.1).
pub(super) fn is_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(octet, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

/// Where `wanted` stands first outside quoted strings and angle brackets.
pub(super) fn find_outside(octets: &[u8], wanted: u8) -> Option<usize> {
    let mut quoted = false;
    let mut angled = false;
    let mut escaped = false;
    for (place, octet) in octets.iter().copied().enumerate() {
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
        let (element, after) = match find_outside(octets, b',').and_then(|comma| octets.split_at_checked(comma)) {
            Some((element, after)) => (element, after.get(1..)),
            None => (octets, None),
        };
        rest = after;
        Some(trim(element))
    })
    .take(crate::limits::ELEMENTS)
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
