//! Parameters behind semicolons: `;name=value;flag;name="quoted"`.

use super::scan::{find_outside, split_before, text, trim, trim_start};

/// Parameters, read one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a> {
    /// What follows the first semicolon, with or without it.
    rest: &'a [u8],
}

impl<'a> Params<'a> {
    /// Parameters that lie in these octets.
    #[must_use]
    pub fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.rest
    }

    /// The parameter with this name in any letter case: `None` if it is absent, `Some(None)` if it has no value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Option<&'a str>> {
        let mut rest = self.rest;
        while let Some((own, value)) = next(&mut rest) {
            if own.eq_ignore_ascii_case(name.as_bytes()) {
                return match value {
                    None => Some(None),
                    Some(value) => text(value).map(Some),
                };
            }
        }
        None
    }

    /// The value of the parameter with this name, without quotes around it.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.get(name).flatten()
    }
}

impl<'a> IntoIterator for Params<'a> {
    type Item = (&'a str, Option<&'a str>);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        Iter { rest: self.rest }
    }
}

/// Reads parameters one by one; one that is not text is passed over.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (name, value) = next(&mut self.rest)?;
            match (text(name), value.map(text)) {
                (Some(name), None) => return Some((name, None)),
                (Some(name), Some(Some(value))) => return Some((name, Some(value))),
                _ => {}
            }
        }
    }
}

/// Takes the next parameter that has a name; quotes around the value are left out.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    loop {
        let octets = trim_start(rest);
        let octets = octets.strip_prefix(b";").unwrap_or(octets);
        if octets.is_empty() {
            return None;
        }
        let end = find_outside(octets, b';').unwrap_or(octets.len());
        let (one, after) = octets.split_at_checked(end)?;
        *rest = after;
        let (name, value) = split_before(one, b'=');
        let name = trim(name);
        if name.is_empty() {
            continue;
        }
        let value = value.get(1..).map(trim).map(|value| match value {
            [b'"', inner @ .., b'"'] => inner,
            other => other,
        });
        return Some((name, value));
    }
}
