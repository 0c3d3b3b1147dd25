//! Everything a store holds, read once and shared by all nodes that take up what is theirs.

use std::sync::Arc;

/// How much lies in one piece. A store of a million records is read into a few hundred of them.
const PIECE: usize = 1 << 20;

/// Records in the order of their keys. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    pieces: Arc<Vec<Piece>>,
}

/// Records one after the other: the length of the key, that of the value, both themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Piece(Vec<u8>);

/// The size of the two lengths before each record.
const LENGTHS: usize = 8;

impl Records {
    /// The records, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pieces.iter().flat_map(Piece::iter)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The value under a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let after = self.pieces.partition_point(|piece| piece.iter().next().is_some_and(|(first, _)| first <= key));
        let piece = self.pieces.get(after.checked_sub(1)?)?;
        piece.iter().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// Adds a record whose key is above all that are there. One that is too large to be a record is left out.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        let (Ok(of_key), Ok(of_value)) = (u32::try_from(key.len()), u32::try_from(value.len())) else { return };
        let length = LENGTHS + key.len() + value.len();
        let pieces = Arc::make_mut(&mut self.pieces);
        if pieces.last().is_none_or(|piece| piece.0.capacity() - piece.0.len() < length) {
            // The first is as small as its record: most stores hold nothing much.
            let room = if pieces.is_empty() { length } else { length.max(PIECE) };
            pieces.push(Piece(Vec::with_capacity(room)));
        }
        if let Some(piece) = pieces.last_mut() {
            for octets in [&of_key.to_be_bytes()[..], &of_value.to_be_bytes()[..], key, value] {
                piece.0.extend_from_slice(octets);
            }
        }
    }
}

impl<K: AsRef<[u8]> + Ord, V: AsRef<[u8]>> FromIterator<(K, V)> for Records {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(records: I) -> Self {
        let mut all: Vec<(K, V)> = records.into_iter().collect();
        all.sort_by(|(one, _), (other, _)| one.as_ref().cmp(other.as_ref()));
        let mut records = Self::default();
        for (key, value) in all {
            records.push(key.as_ref(), value.as_ref());
        }
        records
    }
}

impl Piece {
    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (of_key, after) = rest.split_first_chunk::<4>()?;
            let (of_value, after) = after.split_first_chunk::<4>()?;
            let length = |octets: &[u8; 4]| usize::try_from(u32::from_be_bytes(*octets)).ok();
            let (key, after) = after.split_at_checked(length(of_key)?)?;
            let (value, after) = after.split_at_checked(length(of_value)?)?;
            rest = after;
            Some((key, value))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_in_the_order_of_their_keys_and_each_is_found() {
        let records: Records =
            (0..50_000_u32).rev().map(|n| (n.to_be_bytes().to_vec(), format!("value of {n}").into_bytes())).collect();
        assert!(records.pieces.len() > 1);
        assert!(records.iter().zip(0u32..).all(|((key, _), n)| key == n.to_be_bytes()));
        assert_eq!(records.iter().count(), 50_000);
        for n in [0u32, 1, 24_999, 49_999] {
            assert_eq!(records.get(&n.to_be_bytes()).unwrap(), format!("value of {n}").as_bytes());
        }
        assert_eq!(records.get(b"none"), None);
        assert_eq!(Records::default().get(b"none"), None);
    }
}
