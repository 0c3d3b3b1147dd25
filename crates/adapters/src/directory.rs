//! The directory as a table: the users of the configuration, found by address-of-record or number.

use std::collections::HashMap;

use node::numbers::{Numbers, Plan};
use node::port::adapter::Directory;
use node::port::{Known, Who};
use sip::Aor;

/// One user of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The user's SIP URI, normalised: the one whose presence is shown.
    pub aor: Aor,
    /// Further addresses-of-record of theirs.
    pub aliases: Vec<Aor>,
    /// Their numbers, with or without visual separators.
    pub numbers: Vec<String>,
    /// Their name, for documents.
    pub display_name: Option<String>,
    /// Whether their presence is published at all.
    pub publish: bool,
}

/// Users by address-of-record and by number. Whoever two users claim is ambiguous.
#[derive(Clone, Debug, Default)]
pub struct Table {
    entries: Vec<Entry>,
    by_aor: HashMap<Aor, Vec<usize>>,
    by_number: Numbers<usize>,
}

impl Table {
    /// The table of these users, whose numbers are dialled by this plan.
    #[must_use]
    pub fn new(entries: Vec<Entry>, plan: Plan) -> Self {
        let mut table = Self { by_number: Numbers::new(plan), ..Self::default() };
        for (place, entry) in entries.iter().enumerate() {
            for aor in entry.aliases.iter().chain([&entry.aor]) {
                claim(table.by_aor.entry(aor.clone()).or_default(), place);
            }
            for number in &entry.numbers {
                table.by_number.claim(number, &place);
            }
        }
        table.entries = entries;
        table
    }

    fn known(&self, places: &[usize]) -> Known {
        let mut claimants = places.iter().filter_map(|place| self.entries.get(*place));
        match (claimants.next(), claimants.next()) {
            (None, _) => Known::Nobody,
            (Some(entry), None) => {
                Known::User { aor: entry.aor.clone(), display_name: entry.display_name.clone(), publish: entry.publish }
            }
            (Some(first), Some(second)) => {
                Known::Ambiguous([first, second].into_iter().chain(claimants).map(|entry| entry.aor.clone()).collect())
            }
        }
    }
}

impl Directory for Table {
    fn who_is(&self, who: &Who) -> Known {
        match who {
            Who::Aor(aor) => self.known(self.by_aor.get(aor).map_or(&[], Vec::as_slice)),
            Who::Number(number) => self.known(self.by_number.of(number)),
        }
    }
}

fn claim(places: &mut Vec<usize>, place: usize) {
    if places.last() != Some(&place) {
        places.push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aor(text: &str) -> Aor {
        Aor::parse(text).unwrap()
    }

    fn entry(user: &str, numbers: &[&str]) -> Entry {
        Entry {
            aor: aor(&format!("sip:{user}@example.com")),
            aliases: vec![aor(&format!("sip:{user}@pbx.example.com"))],
            numbers: numbers.iter().map(ToString::to_string).collect(),
            display_name: Some(user.to_owned()),
            publish: true,
        }
    }

    fn asked(table: &Table, who: &Who) -> Result<Aor, Known> {
        match table.who_is(who) {
            Known::User { aor, .. } => Ok(aor),
            known => Err(known),
        }
    }

    #[test]
    fn a_number_is_found_however_it_is_written_or_dialled() {
        let plan = Plan {
            country_code: Some("49".into()),
            international_prefix: "00".into(),
            national_prefix: "0".into(),
            extensions_of: Some("+49 89 1234".into()),
            extension_digits: 3,
            ..Plan::default()
        };
        let table = Table::new(vec![entry("john", &["+49 (89) 1234-56"]), entry("mary", &["200"])], plan);
        for number in ["+4989123456", "0049 89 123456", "089/1234-56", "56", "+49 89 1234 56;phone-context=example.com"]
        {
            assert_eq!(asked(&table, &Who::Number(number.into())), Ok(aor("sip:john@example.com")), "{number}");
        }
        for number in ["200", "+49 89 1234 200"] {
            assert_eq!(asked(&table, &Who::Number(number.into())), Ok(aor("sip:mary@example.com")), "{number}");
        }
        for number in ["20", "---", "+1 89 123456"] {
            assert_eq!(asked(&table, &Who::Number(number.into())), Err(Known::Nobody), "{number}");
        }
    }

    #[test]
    fn an_alias_leads_to_the_user() {
        let table = Table::new(vec![entry("john", &[])], Plan::default());
        for host in ["example.com", "PBX.example.com"] {
            assert_eq!(asked(&table, &Who::Aor(aor(&format!("sip:john@{host}")))), Ok(aor("sip:john@example.com")));
        }
        assert_eq!(asked(&table, &Who::Aor(aor("sip:jane@example.com"))), Err(Known::Nobody));
    }

    #[test]
    fn a_number_that_two_users_claim_is_ambiguous_but_one_user_may_list_it_twice() {
        let table = Table::new(
            vec![entry("john", &["100", "1-00"]), entry("mary", &["200"]), entry("jane", &["2 00"])],
            Plan::default(),
        );
        assert_eq!(asked(&table, &Who::Number("100".into())), Ok(aor("sip:john@example.com")));
        let both = vec![aor("sip:mary@example.com"), aor("sip:jane@example.com")];
        assert_eq!(asked(&table, &Who::Number("200".into())), Err(Known::Ambiguous(both)));
    }
}
