//! Records of the store, whole, damaged or made up: a node starts with them, settles what they say, and is idle.

use crate::border::Border;

/// How long what a record promises can live at the most.
const HOURS: u64 = 48;

/// Takes the input apart into keys and values, and starts a node with them.
pub(crate) fn run(octets: &[u8]) {
    let mut border = Border::with_records(records(octets));
    border.answer_everything();
    border.finish(HOURS);
}

/// A record begins with one octet of kind, one for the length of what follows the kind in the key, and two for that of
/// the value.
fn records(octets: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut rest, mut all) = (octets, Vec::new());
    while let [kind, of_key, high, low, later @ ..] = rest {
        let kind: &[u8] = match kind % 5 {
            0 => b"call/",
            1 => b"publication/",
            2 => b"",
            3 => b"p/",
            _ => b"a/",
        };
        let (key, later) = later.split_at(usize::from(*of_key).min(later.len()));
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, later) = later.split_at(length.min(later.len()));
        all.push(([kind, key].concat(), [&[node::FORM], value].concat()));
        rest = later;
    }
    // As in the store: one value for each key, in their order.
    all.sort();
    all.dedup_by(|one, other| one.0 == other.0);
    all
}

/// The other way: the input that brings these records.
pub(crate) fn input_of(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut input = Vec::new();
    for (key, value) in records {
        let kinds: [(u8, &[u8]); 5] = [(0, b"call/"), (1, b"publication/"), (3, b"p/"), (4, b"a/"), (2, b"")];
        let known = kinds.into_iter().find_map(|(kind, start)| Some((kind, key.strip_prefix(start)?)));
        let Some(value) = value.strip_prefix(&[node::FORM]) else { continue };
        let (Some((kind, rest)), Ok(length)) = (known, u16::try_from(value.len())) else { continue };
        let Ok(of_key) = u8::try_from(rest.len()) else { continue };
        input.extend([kind, of_key]);
        input.extend(length.to_be_bytes());
        input.extend(rest);
        input.extend(value);
    }
    input
}
