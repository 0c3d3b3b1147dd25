//! Parameters behind semicolons: `;name=value;flag;name="quoted"`.

use super::scan::{find_outside, text, trim};

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
        self.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the parameter with this name, without quotes around it.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.get(name).flatten()
    }

    /// Whether each parameter has a name and every quote is closed.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let mut rest = trim(self.rest);
        while let [b';', after @ ..] = rest {
            let end = find_outside(after, b';').unwrap_or(after.len());
            let (one, next) = after.split_at_checked(end).unwrap_or((after, &[]));
            let name = one.split(|octet| *octet == b'=').next().map(trim).unwrap_or_default();
            if name.is_empty() || one.iter().filter(|octet| **octet == b'"').count() % 2 != 0 && !one.contains(&b'\\') {
                return false;
            }
            rest = next;
        }
        rest.is_empty()
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
            let octets = trim(self.rest);
            let octets = octets.strip_prefix(b";").unwrap_or(octets);
            if octets.is_empty() {
                return None;
            }
            let end = find_outside(octets, b';').unwrap_or(octets.len());
            let (one, rest) = octets.split_at_checked(end)?;
            self.rest = rest;
            let (name, value) =
                match one.iter().position(|octet| *octet == b'=').and_then(|at| one.split_at_checked(at)) {
                    Some((name, value)) => (name, value.get(1..).map(trim)),
                    None => (one, None),
                };
            let name = trim(name);
            if name.is_empty() {
                continue;
            }
            let value = value.map(|value| match value {
                [b'"', inner @ .., b'"'] => inner,
                other => other,
            });
            let Some(name) = text(name) else { continue };
            match value.map(text) {
                None => return Some((name, None)),
                Some(Some(value)) => return Some((name, Some(value))),
                Some(None) => {}
            }
        }
    }
}
