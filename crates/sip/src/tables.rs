//! Maps that never halt to grow and give back the memory they no longer need: keyed by what a peer may choose, or by numbers
//! of our own.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use siphasher::sip::SipHasher13;
use siphasher::sip128;

use crate::Random;

/// A map keyed by what a peer may choose.
pub type KeyedMap<K, V> = Table<K, V, KeyedState>;

/// A map keyed by numbers of our own, or by what is one inside.
pub type NumberMap<V, K = u64> = Table<K, V, NumberState>;

/// A table with no more places than this grows at once.
const AT_ONCE: usize = 256;

/// How many places of an outgrown table are looked through whenever something comes or goes. It is empty long before the one
/// that took its place, twice as large, is full.
const STEP: usize = 16;

/// A table that never held more than this is not shrunk.
const SMALL: usize = 256;

/// A table is shrunk once it holds only one in so many of what it has held.
const SPARSE: usize = 8;

/// A hash map that never halts to grow: when it is full, a larger one takes its place, and what it holds follows little by
/// little, with each entry that comes or goes. When it has become sparse a smaller one does, so that a storm of requests leaves
/// nothing behind.
#[derive(Clone, Debug)]
pub struct Table<K, V, S> {
    entries: HashTable<(K, V)>,
    /// What has yet to follow.
    outgrown: HashTable<(K, V)>,
    /// How many places of the outgrown one have been looked through.
    looked_through: usize,
    /// The most it has held since it was last shrunk. The capacity leaves out the places of what was removed.
    most: usize,
    state: S,
}

impl<K, V, S> Table<K, V, S> {
    /// An empty map.
    pub const fn with_hasher(state: S) -> Self {
        Self { entries: HashTable::new(), outgrown: HashTable::new(), looked_through: 0, most: 0, state }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len() + self.outgrown.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every entry, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().chain(&self.outgrown).map(|(key, value)| (key, value))
    }

    /// Every key, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Every value, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Drops all entries, and the memory.
    pub fn clear(&mut self) {
        self.entries = HashTable::new();
        self.outgrown = HashTable::new();
        self.most = 0;
    }
}

impl<K, V> Default for NumberMap<V, K> {
    fn default() -> Self {
        Self::with_hasher(NumberState)
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> Table<K, V, S> {
    /// The value of a key.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if self.is_empty() {
            return None;
        }
        let hash = self.state.hash_one(key);
        let is_it = |(own, _): &(K, V)| own.borrow() == key;
        let found = self.entries.find(hash, is_it).or_else(|| self.outgrown.find(hash, is_it));
        found.map(|(_, value)| value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if self.is_empty() {
            return None;
        }
        let hash = self.state.hash_one(key);
        let is_it = |(own, _): &(K, V)| own.borrow() == key;
        let found = self.entries.find_mut(hash, is_it).or_else(|| self.outgrown.find_mut(hash, is_it));
        found.map(|(_, value)| value)
    }

    /// Whether there is such a key.
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.get(key).is_some()
    }

    /// Puts an entry in; the value that the key had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.entry(&key) {
            Entry::Occupied(mut entry) => Some(std::mem::replace(&mut entry.get_mut().1, value)),
            Entry::Vacant(place) => {
                place.insert((key, value));
                None
            }
        }
    }

    /// The value of a key; where there is none, it is made.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let entry = match self.entry(&key) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(place) => place.insert((key, make())),
        };
        &mut entry.into_mut().1
    }

    /// The value of a key; where there is none, the default of its kind.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.get_or_insert_with(key, V::default)
    }

    /// The place of a key, with room for it.
    fn entry(&mut self, key: &K) -> Entry<'_, (K, V)> {
        let is_full = self.entries.len() == self.entries.capacity();
        if is_full && !self.is_followed() && self.entries.num_buckets() > AT_ONCE {
            // Full may mean full of places of what was removed: then as many will do.
            let (held, places) = (self.entries.len(), self.entries.num_buckets() / 8 * 7);
            self.move_to(if held < places / 2 { places } else { places + 1 });
        }
        let hash = self.state.hash_one(key);
        if self.is_followed() {
            self.follow();
            if let Ok(found) = self.outgrown.find_entry(hash, |(own, _)| own == key) {
                self.entries.insert_unique(hash, found.remove().0, |(own, _)| self.state.hash_one(own));
            }
        }
        self.entries.entry(hash, |(own, _)| own == key, |(own, _)| self.state.hash_one(own))
    }

    /// Takes an entry out.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if self.is_empty() {
            return None;
        }
        let hash = self.state.hash_one(key);
        let is_it = |(own, _): &(K, V)| own.borrow() == key;
        let found = self.entries.find_entry(hash, is_it).or_else(|_| self.outgrown.find_entry(hash, is_it));
        let ((_, value), _) = found.ok()?.remove();
        self.shrink(1);
        Some(value)
    }

    /// Drops the entries of which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let before = self.len();
        self.entries.retain(|(key, value)| keep(key, value));
        self.outgrown.retain(|(key, value)| keep(key, value));
        self.shrink(before - self.len());
    }

    /// Gives memory back, after so many entries were taken out.
    fn shrink(&mut self, dropped: usize) {
        if self.is_followed() {
            self.follow();
        }
        let left = self.len();
        self.most = self.most.max(left + dropped);
        if self.most > SMALL && left * SPARSE < self.most && !self.is_followed() {
            self.most = left;
            // Few follow at once; while many do, as many others may come.
            let meanwhile = if left > SMALL { self.entries.num_buckets() / STEP } else { 0 };
            self.move_to(left * 2 + meanwhile);
        }
        // Nothing may come or go for long.
        while left <= SMALL && self.is_followed() {
            self.follow();
        }
    }

    /// Whether there is an outgrown table yet.
    fn is_followed(&self) -> bool {
        self.outgrown.num_buckets() > 1
    }

    /// From now on a table with room for so many takes the place of this one.
    fn move_to(&mut self, room: usize) {
        self.outgrown = std::mem::replace(&mut self.entries, HashTable::with_capacity(room));
        self.looked_through = 0;
    }

    /// A few more entries follow; the last one gives the memory back.
    fn follow(&mut self) {
        for place in self.looked_through..self.looked_through + STEP {
            if let Ok(found) = self.outgrown.get_bucket_entry(place) {
                let entry = found.remove().0;
                self.entries.insert_unique(self.state.hash_one(&entry.0), entry, |(own, _)| self.state.hash_one(own));
            }
        }
        self.looked_through += STEP;
        if self.outgrown.is_empty() {
            self.outgrown = HashTable::new();
        }
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

    /// For what is to be told apart by its hash alone.
    pub(crate) fn wide_hasher(self) -> sip128::SipHasher13 {
        sip128::SipHasher13::new_with_keys(self.key.0, self.key.1)
    }
}

impl BuildHasher for KeyedState {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.key.0, self.key.1)
    }
}

/// For numbers that we gave ourselves: a multiplication spreads them.
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

#[cfg(test)]
mod tests {
    use super::*;

    impl<K, V, S> Table<K, V, S> {
        fn places(&self) -> usize {
            self.entries.num_buckets() + self.outgrown.num_buckets()
        }
    }

    #[test]
    fn a_map_gives_back_what_a_storm_made_it_take() {
        let mut map: KeyedMap<u64, u64> = KeyedMap::with_hasher(KeyedState::new(&mut Random::from_number(1)));
        (0..100_000).for_each(|number| assert!(map.insert(number, number).is_none()));
        let places = map.places();
        for number in 0..99_990 {
            assert_eq!(map.remove(&number), Some(number));
        }
        assert!(map.places() < places / 100, "{}", map.places());
        assert!((99_990..100_000).all(|number| map.get(&number) == Some(&number)));
        assert_eq!((map.len(), map.iter().count()), (10, 10));
        (0..99_990).for_each(|number| assert!(map.insert(number, number).is_none()));
        map.retain(|number, _| *number == 7);
        assert!(map.places() < places / 100, "{}", map.places());
        assert_eq!((map.len(), map.iter().next()), (1, Some((&7, &7))));
        map.retain(|_, _| false);
        assert!(map.places() < places / 100, "{}", map.places());
    }

    #[test]
    fn a_map_that_breathes_is_not_shrunk_at_each_breath() {
        let mut map = NumberMap::default();
        (0..10_000).for_each(|number| assert!(map.insert(number, ()).is_none()));
        for _ in 0..10 {
            (0..8_000).for_each(|number| assert!(map.remove(&number).is_some()));
            assert_eq!(map.most, 10_000);
            (0..8_000).for_each(|number| assert!(map.insert(number, ()).is_none()));
        }
    }

    #[test]
    fn a_map_never_moves_much_at_once() {
        fn breathe<S: BuildHasher>(mut map: Table<u64, u64, S>) {
            // The last but one begins to shrink, and has to grow while that goes on.
            let inserted = [0..200_000, 200_000..400_000, 400_000..429_377, 429_377..500_000];
            let removed = [0..199_000, 199_000..395_000, 395_000..400_705, 400_705..500_000];
            for (inserted, removed) in inserted.into_iter().zip(removed) {
                for (number, comes) in
                    inserted.map(|number| (number, true)).chain(removed.map(|number| (number, false)))
                {
                    let (places, held) = (map.entries.num_buckets(), map.entries.len());
                    if comes {
                        assert_eq!(map.insert(number, number), None);
                    } else {
                        assert_eq!(map.remove(&number), Some(number));
                    }
                    // In a table of another size everything is new.
                    let moved =
                        map.entries.len().saturating_sub(if map.entries.num_buckets() == places { held } else { 0 });
                    let is_small = places <= AT_ONCE || map.len() <= SMALL;
                    assert!(is_small || moved <= STEP + 1, "{moved} moved with {number}");
                }
            }
            assert!(map.is_empty() && map.places() <= 4 * SMALL + 1, "{} places are left", map.places());
        }
        breathe(KeyedMap::with_hasher(KeyedState::new(&mut Random::from_number(2))));
        breathe(NumberMap::default());
    }

    #[test]
    fn a_map_that_shrinks_has_room_for_what_comes_meanwhile() {
        let mut map = NumberMap::default();
        (0..229_377).for_each(|number| assert!(map.insert(number, ()).is_none()));
        (28_672..229_377).for_each(|number| assert!(map.remove(&number).is_some()));
        for number in 300_000..400_000 {
            let (places, held) = (map.entries.num_buckets(), map.entries.len());
            map.insert(number, ());
            let is_another = map.entries.num_buckets() != places;
            assert!(!is_another || map.entries.len() <= STEP + 1, "{held} moved with {number}");
        }
    }

    #[test]
    fn a_map_through_which_things_pass_stays_as_large_as_it_is() {
        let mut map = NumberMap::default();
        for number in 0..1_000_000_u64 {
            map.insert(number, ());
            assert_eq!(map.remove(&number.wrapping_sub(1_000)), (number >= 1_000).then_some(()));
            assert!(map.places() <= 3 * 2_048, "{} places for 1,000 entries", map.places());
        }
    }

    #[test]
    fn a_map_is_a_map() {
        let mut random = Random::from_number(3);
        let mut map: KeyedMap<u64, u64> = KeyedMap::with_hasher(KeyedState::new(&mut random));
        let mut model = std::collections::BTreeMap::new();
        for step in 0..100_000 {
            let key = random.u64() % 2_000;
            match random.u64() % 8 {
                0..3 => assert_eq!(map.insert(key, step), model.insert(key, step)),
                3..6 => assert_eq!(map.remove(&key), model.remove(&key)),
                6 => assert_eq!(map.get_or_insert_with(key, || step), model.entry(key).or_insert(step)),
                _ if step % 97 == 0 => {
                    map.retain(|key, _| key % 5 > 0);
                    model.retain(|key, _| key % 5 > 0);
                }
                _ => {
                    assert_eq!(map.get_mut(&key), model.get_mut(&key));
                    assert_eq!(map.contains_key(&key), model.contains_key(&key));
                }
            }
            assert_eq!(map.len(), model.len());
        }
        let sorted: std::collections::BTreeMap<_, _> = map.iter().map(|(key, value)| (*key, *value)).collect();
        assert_eq!(sorted, model);
        map.clear();
        assert!(map.is_empty() && map.keys().next().is_none());
    }

    #[test]
    fn numbers_one_after_the_other_spread_over_all_bits() {
        let hash = |number: u64| NumberState.hash_one(number);
        let lower: std::collections::BTreeSet<u64> = (0..1024).map(|number| hash(number) & 1023).collect();
        let upper: std::collections::BTreeSet<u64> = (0..1024).map(|number| hash(number) >> 57).collect();
        assert!(lower.len() > 500, "{}", lower.len());
        assert_eq!(upper.len(), 128);
    }
}
