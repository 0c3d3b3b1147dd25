//! The names that we make: branches, tags, Call-IDs and entity-tags. None can be guessed, each says who owns it.

use crate::Random;

/// The node of a process that owns something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub u16);

/// The cookie at the start of every branch (RFC 3261 section 8.1.1.7).
const COOKIE: &str = "z9hG4bK";

/// The digits of names: letters and digits that nobody mistakes for one another.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Random digits in a name: 100 bits.
const LENGTH: usize = 20;

/// Makes the names of one owner.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    owner: Owner,
}

impl Names {
    /// Names of this owner.
    #[must_use]
    pub fn new(owner: Owner) -> Self {
        Self { owner }
    }

    /// A tag of From or To.
    #[must_use]
    pub fn tag(&self, random: &mut Random) -> String {
        self.name("", random)
    }

    /// A tag of a dialog that belongs to whoever owns a place, however many owners there will be.
    #[must_use]
    pub fn tag_at(place: u16, random: &mut Random) -> String {
        Self::made("p", place, random)
    }

    /// The place that a tag names, if its shape is that of ours.
    #[must_use]
    pub fn place_of_tag(tag: &str) -> Option<u16> {
        let place =
            tag.strip_prefix('p')?.strip_suffix(tag.get(tag.len().checked_sub(LENGTH)?..)?)?.strip_suffix('.')?;
        let digits = !place.is_empty() && place.bytes().all(|octet| octet.is_ascii_digit());
        digits.then(|| place.parse().ok()).flatten()
    }

    /// A branch of Via. It says where its transaction lies, so that nobody has to search for it; who makes that up finds another
    /// branch there.
    #[must_use]
    pub fn branch(&self, place: u32, random: &mut Random) -> String {
        let mut branch = self.name(COOKIE, random);
        branch.push('.');
        push_decimal(&mut branch, place);
        branch
    }

    /// Where the transaction of a branch lies, if its shape is that of ours.
    #[must_use]
    pub fn place_of_branch(branch: &str) -> Option<u32> {
        branch.rsplit_once('.')?.1.parse().ok()
    }

    /// A Call-ID; it names no host, so it tells nothing of us.
    #[must_use]
    pub fn call_id(&self, random: &mut Random) -> String {
        self.name("", random)
    }

    /// An entity-tag.
    #[must_use]
    pub fn etag(&self, random: &mut Random) -> String {
        self.name("", random)
    }

    /// Who made this tag, if its shape is that of ours.
    #[must_use]
    pub fn owner_of_tag(tag: &str) -> Option<Owner> {
        let owner = tag.strip_suffix(tag.get(tag.len().checked_sub(LENGTH)?..)?)?;
        let owner = owner.strip_suffix('.')?;
        let digits = !owner.is_empty() && owner.bytes().all(|octet| octet.is_ascii_digit());
        digits.then(|| owner.parse().ok().map(Owner)).flatten()
    }

    /// Who made this branch, if its shape is that of ours.
    #[must_use]
    pub fn owner_of_branch(branch: &str) -> Option<Owner> {
        let (name, _) = branch.strip_prefix(COOKIE)?.rsplit_once('.')?;
        Self::owner_of_tag(name)
    }

    /// Who made this Call-ID, if its shape is that of ours.
    #[must_use]
    pub fn owner_of_call_id(call_id: &str) -> Option<Owner> {
        Self::owner_of_tag(call_id)
    }

    fn name(&self, prefix: &str, random: &mut Random) -> String {
        Self::made(prefix, self.owner.0, random)
    }

    fn made(prefix: &str, number: u16, random: &mut Random) -> String {
        let mut name = String::with_capacity(COOKIE.len() + 6 + LENGTH + 8);
        name.push_str(prefix);
        push_decimal(&mut name, number.into());
        name.push('.');
        let mut bits = 0;
        for place in 0..LENGTH {
            // Twelve digits of five bits in each 64.
            if place % 12 == 0 {
                bits = random.u64();
            }
            let digit = usize::try_from(bits & 31).unwrap_or(0);
            name.push(char::from(DIGITS.get(digit).copied().unwrap_or(b'0')));
            bits >>= 5;
        }
        name
    }
}

/// Appends a number as `write!` does, without what that costs: each request needs some.
pub(crate) fn push_decimal(text: &mut String, number: u32) {
    if number > 9 {
        push_decimal(text, number / 10);
    }
    text.extend(char::from_digit(number % 10, 10));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_owner_and_a_foreign_one_does_not() {
        let mut random = Random::from_number(1);
        let names = Names::new(Owner(307));
        assert_eq!(Names::owner_of_tag(&names.tag(&mut random)), Some(Owner(307)));
        let branch = names.branch(40_001, &mut random);
        assert_eq!(
            (Names::owner_of_branch(&branch), Names::place_of_branch(&branch)),
            (Some(Owner(307)), Some(40_001))
        );
        assert_eq!(Names::owner_of_call_id(&names.call_id(&mut random)), Some(Owner(307)));
        let placed = Names::tag_at(40_007, &mut random);
        assert_eq!(Names::place_of_tag(&placed), Some(40_007));
        assert_eq!(Names::owner_of_tag(&placed), None);
        assert_eq!(Names::place_of_tag(&names.tag(&mut random)), None);
        for foreign in
            ["", "1c537837102", ".01234567890123456789", "99999.01234567890123456789", "ä.01234567890123456789"]
        {
            assert_eq!(Names::owner_of_tag(foreign), None, "{foreign}");
        }
        for foreign in ["307.01234567890123456789.1", "z9hG4bK307.01234567890123456789", "z9hG4bK776asdhds", ""] {
            assert_eq!(Names::owner_of_branch(foreign), None, "{foreign}");
        }
        for foreign in ["z9hG4bK776asdhds", "z9hG4bK-1.x", "z9hG4bK.", "z9hG4bK.99999999999", "z9hG4bK.-1"] {
            assert_eq!(Names::place_of_branch(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn names_do_not_repeat() {
        let mut random = Random::from_number(1);
        let names = Names::new(Owner(0));
        let made: std::collections::BTreeSet<_> = (0..10_000).map(|_| names.tag(&mut random)).collect();
        assert_eq!(made.len(), 10_000);
    }
}
