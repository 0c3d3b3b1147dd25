//! Maps that give back the memory they no longer need: keyed by what a peer may choose, or by numbers of our own.

#![allow(clippy::disallowed_types, reason = "the one place where a hasher of ours is put into the standard map")]

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::{Deref, DerefMut};

use siphasher::sip::SipHasher13;

use crate::Random;

/// A map keyed by what a peer may choose.
pub type KeyedMap<K, V> = Table<K, V, KeyedState>;

/// A map keyed by numbers of our own.
pub type NumberMap<V> = Table<u64, V, NumberState>;

/// A table that never held more than this is not shrunk.
const SMALL: usize = 256;

/// A table is shrunk once it holds only one in so many of what it has held.
const SPARSE: usize = 8;

/// A hash map that shrinks when it has become sparse, so that a storm of requests leaves nothing behind. What it costs to
/// shrink is less than what it cost to grow.
#[derive(Clone, Debug)]
pub struct Table<K, V, S> {
    map: HashMap<K, V, S>,
    /// The most it has held since it was last shrunk. The map's own capacity leaves out the places of what was removed.
    most: usize,
}

impl<K, V, S> Table<K, V, S> {
    /// An empty map.
    pub const fn with_hasher(state: S) -> Self {
        Self { map: HashMap::with_hasher(state), most: 0 }
    }
}

impl<V> Default for NumberMap<V> {
    fn default() -> Self {
        Self::with_hasher(NumberState)
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> Table<K, V, S> {
    /// Takes an entry out.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let before = self.map.len();
        let value = self.map.remove(key);
        self.shrink(before);
        value
    }

    /// Drops the entries of which `keep` says no.
    pub fn retain(&mut self, keep: impl FnMut(&K, &mut V) -> bool) {
        let before = self.map.len();
        self.map.retain(keep);
        self.shrink(before);
    }

    fn shrink(&mut self, before: usize) {
        self.most = self.most.max(before);
        let left = self.map.len();
        if self.most > SMALL && left * SPARSE < self.most {
            self.map.shrink_to(left * 2);
            self.most = left;
        }
    }
}

/// Everything else is the standard map's own.
impl<K, V, S> Deref for Table<K, V, S> {
    type Target = HashMap<K, V, S>;

    fn deref(&self) -> &Self::Target {
        &self.map
    }
}

impl<K, V, S> DerefMut for Table<K, V, S> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.map
    }
}

impl<'a, K, V, S> IntoIterator for &'a Table<K, V, S> {
    type Item = (&'a K, &'a V);
    type IntoIter = std::collections::hash_map::Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.map.iter()
    }
}

/// SipHash-1-3 under a key from the seed: nobody can aim collisions at it, and a seed still replays.
#[derive(Clone, Copy, Debug)]
pub struct KeyedState {
    key: (u64, u64),
}

impl KeyedState {
    /// A fresh key.
    pub fn new(random: &mut Random) -> Self {
        Self { key: (random.u64(), random.u64()) }
    }
}

impl BuildHasher for KeyedState {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.key.0, self.key.1)
    }
}

/// For numbers that we gave ourselves, one after the other: a multiplication spreads them.
#[derive(Clone, Copy, Debug, Default)]
pub struct NumberState;

impl BuildHasher for NumberState {
    type Hasher = NumberHasher;

    fn build_hasher(&self) -> NumberHasher {
        NumberHasher(0)
    }
}

/// The hasher of [`NumberState`].
#[derive(Debug)]
pub struct NumberHasher(u64);

impl NumberHasher {
    /// Two to the sixty-fourth by the golden ratio: neighbours fall far from each other, in the upper bits above all.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
}

impl Hasher for NumberHasher {
    fn write(&mut self, octets: &[u8]) {
        octets.iter().for_each(|octet| self.write_u64(u64::from(*octet)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(Self::SPREAD);
    }

    fn finish(&self) -> u64 {
        // The table takes the place from the lower bits.
        self.0 ^ self.0 >> 32
    }
}

/// Things under numbers that are never given twice, so that the number of what is gone finds nothing.
#[derive(Clone, Debug)]
pub(crate) struct Numbered<V> {
    map: NumberMap<V>,
    last: u64,
}

impl<V> Numbered<V> {
    pub(crate) fn new() -> Self {
        Self { map: NumberMap::default(), last: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// A number for what [`Numbered::fill`] will put there.
    pub(crate) const fn reserve(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(crate) fn fill(&mut self, number: u64, value: V) {
        self.map.insert(number, value);
    }

    pub(crate) fn get(&self, number: u64) -> Option<&V> {
        self.map.get(&number)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut V> {
        self.map.get_mut(&number)
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<V> {
        self.map.remove(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_gives_back_what_a_storm_made_it_take() {
        let mut map: KeyedMap<u64, u64> = KeyedMap::with_hasher(KeyedState::new(&mut Random::from_number(1)));
        map.extend((0..100_000).map(|number| (number, number)));
        let places = map.capacity();
        for number in 0..99_990 {
            assert_eq!(map.remove(&number), Some(number));
        }
        assert!(map.most < SMALL && map.capacity() < places / 100, "{}", map.capacity());
        assert!((99_990..100_000).all(|number| map.get(&number) == Some(&number)));
        map.extend((0..100_000).map(|number| (number, number)));
        map.retain(|number, _| *number == 7);
        assert!(map.most < SMALL && map.capacity() < places / 100, "{}", map.capacity());
        assert_eq!(map.into_iter().next(), Some((&7, &7)));
    }

    #[test]
    fn a_map_that_breathes_is_not_shrunk_at_each_breath() {
        let mut map = NumberMap::default();
        map.extend((0..10_000).map(|number| (number, ())));
        for _ in 0..10 {
            (0..8_000).for_each(|number| assert!(map.remove(&number).is_some()));
            assert_eq!(map.most, 10_000);
            map.extend((0..8_000).map(|number| (number, ())));
        }
    }

    #[test]
    fn numbers_one_after_the_other_spread_over_all_bits() {
        let hash = |number: u64| NumberState.hash_one(number);
        let lower: std::collections::BTreeSet<u64> = (0..1024).map(|number| hash(number) & 1023).collect();
        let upper: std::collections::BTreeSet<u64> = (0..1024).map(|number| hash(number) >> 57).collect();
        assert!(lower.len() > 500, "{}", lower.len());
        assert_eq!(upper.len(), 128);
    }

    #[test]
    fn a_number_is_never_given_twice() {
        let mut things = Numbered::new();
        let first = things.reserve();
        things.fill(first, 'a');
        assert_eq!(things.remove(first), Some('a'));
        let second = things.reserve();
        things.fill(second, 'b');
        assert!(things.get_mut(first).is_none());
        assert_eq!(things.len(), 1);
    }
}
