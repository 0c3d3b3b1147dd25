//! Maps keyed by what a peer may choose: hashed by SipHash-1-3 under a key from the seed, so that nobody can aim
//! collisions at them and a seed still replays.

#![allow(clippy::disallowed_types, reason = "the one place where the keyed hasher is put into the standard map")]

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use siphasher::sip::SipHasher13;

use crate::Random;

/// A map with a keyed hash.
pub type KeyedMap<K, V> = HashMap<K, V, KeyedState>;

/// A set with a keyed hash.
pub type KeyedSet<K> = HashSet<K, KeyedState>;

/// The key of a hash.
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
