//! Telephone numbers: what does not count in them, how a number as dialled becomes one of E.164, and whose each is.

use std::collections::BTreeMap;

/// How numbers are dialled where the node stands. The default knows no prefixes, so that only what is written alike is
/// alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The country code that national numbers get, in digits: `49`.
    pub country_code: Option<String>,
    /// What is dialled before a country code: `00`, `011`.
    pub international_prefix: String,
    /// What is dialled before an area code: `0`; empty where nothing is.
    pub national_prefix: String,
    /// How many digits a national number has that is dialled without any prefix; as in North America, 10.
    pub national_digits: Option<usize>,
    /// What stands before an extension to make it a number of E.164: `+49891234`.
    pub extensions_of: Option<String>,
    /// How many digits an extension has at most.
    pub extension_digits: usize,
}

impl Plan {
    /// The number of E.164 (`+` and digits) that a number stands for, or itself without what does not count, where the
    /// plan does not know.
    #[must_use]
    pub fn normalise(&self, number: &str) -> String {
        let bare = bare(number);
        self.global(&bare).unwrap_or(bare)
    }

    fn global(&self, bare: &str) -> Option<String> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
        if bare.strip_prefix('+').is_some_and(digits) || !digits(bare) {
            return None;
        }
        let after = |prefix: &str| bare.strip_prefix(prefix).filter(|rest| !prefix.is_empty() && digits(rest));
        if let Some(rest) = after(&self.international_prefix) {
            return Some(format!("+{rest}"));
        }
        if let Some(code) = &self.country_code {
            if let Some(rest) = after(&self.national_prefix) {
                return Some(format!("+{code}{rest}"));
            }
            if self.national_digits == Some(bare.len()) {
                return Some(format!("+{code}{bare}"));
            }
        }
        let base = self.extensions_of.as_ref().filter(|_| bare.len() <= self.extension_digits)?;
        Some(format!("+{}{bare}", self::bare(base).trim_start_matches('+')))
    }
}

/// Whose each number is, in whatever form of the plan it is dialled.
#[derive(Clone, Debug)]
pub struct Numbers<T> {
    plan: Plan,
    /// By each number as it is written and as one of E.164.
    claims: BTreeMap<String, Vec<T>>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self::new(Plan::default())
    }
}

impl<T> Numbers<T> {
    /// No numbers yet.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self { plan, claims: BTreeMap::new() }
    }

    /// Everybody whose number it is: more than one where it is ambiguous.
    #[must_use]
    pub fn of(&self, number: &str) -> &[T] {
        // What is written alike comes first: an extension may look like another's number without its prefix.
        let alike = self.claims.get(&bare(number));
        alike.or_else(|| self.claims.get(&self.plan.normalise(number))).map_or(&[], Vec::as_slice)
    }
}

impl<T: Clone + PartialEq> Numbers<T> {
    /// A number is somebody's.
    pub fn claim(&mut self, number: &str, whose: &T) {
        // What nobody can dial is nobody's.
        for number in [bare(number), self.plan.normalise(number)].into_iter().filter(|number| !number.is_empty()) {
            let claims = self.claims.entry(number).or_default();
            if !claims.contains(whose) {
                claims.push(whose.clone());
            }
        }
    }
}

/// A number without its visual separators (RFC 3966 section 5.1.1), the slash and spaces, and without parameters. The
/// `(0)` that people write behind a country code goes too: nobody dials it from abroad.
#[must_use]
pub fn bare(number: &str) -> String {
    let number = number.split(';').next().unwrap_or_default().trim();
    let number = number.strip_prefix("tel:").unwrap_or(number);
    let within = |number: &str| number.starts_with('+').then(|| number.replacen("(0)", "", 1));
    let number = within(number).unwrap_or_else(|| number.to_owned());
    number.chars().filter(|c| !matches!(c, '(' | ')' | '-' | '.' | '/') && !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn german() -> Plan {
        Plan {
            country_code: Some("49".into()),
            international_prefix: "00".into(),
            national_prefix: "0".into(),
            national_digits: None,
            extensions_of: Some("+49 89 1234".into()),
            extension_digits: 3,
        }
    }

    #[test]
    fn numbers_lose_what_does_not_count_in_them() {
        for number in ["+49 (89) 123-45", "+49-89-123.45", "+49 89/12345", "+49 (0)89 12345", "tel:+49-89-12345;x=1"] {
            assert_eq!(bare(number), "+498912345", "{number}");
        }
        assert_eq!(bare("(089) 12345"), "08912345");
        assert_eq!(bare("*21#"), "*21#");
    }

    #[test]
    fn whatever_is_dialled_becomes_one_number() {
        let plan = german();
        for number in ["+49 89 123456", "0049 89 123456", "089 1234-56", "56"] {
            assert_eq!(plan.normalise(number), "+4989123456", "{number}");
        }
        assert_eq!(plan.normalise("1234567"), "1234567", "neither national nor an extension");
        assert_eq!(plan.normalise("*56"), "*56");
        assert_eq!(plan.normalise("john.doe"), "johndoe");
    }

    #[test]
    fn north_america_dials_ten_digits_or_eleven() {
        let plan = Plan {
            country_code: Some("1".into()),
            international_prefix: "011".into(),
            national_prefix: "1".into(),
            national_digits: Some(10),
            ..Plan::default()
        };
        for number in ["(212) 555-0100", "1 212 555 0100", "+1 212 555 0100", "011 1 212 555 0100"] {
            assert_eq!(plan.normalise(number), "+12125550100", "{number}");
        }
    }

    #[test]
    fn without_a_plan_only_what_is_written_alike_is_alike() {
        assert_eq!(Plan::default().normalise("0049 89 12"), "00498912");
        assert_eq!(Plan::default().normalise("12"), "12");
    }
}
