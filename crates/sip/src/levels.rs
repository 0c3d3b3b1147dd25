//! The slots of a wheel of levels: in which of them lies what is due at a tick, and which of them has come.
//!
//! What lies in a slot, and how it is found again, is its owner's: [`crate::timer::Wheel`] can take it back, the calendar of
//! the presence server is as small as can be.

use std::time::{Duration, Instant};

/// Slots of a level, as bits.
const BITS: u32 = 6;
const IN_A_LEVEL: usize = 1 << BITS;

/// Levels of 64 ms, 4 s, 4 min, 4.6 h, 12 days, 2 years, 139 years.
pub const LEVELS: usize = 7;

/// How many slots there are.
pub const SLOTS: usize = IN_A_LEVEL * LEVELS;

/// The farthest that anything is due; what is beyond comes then.
const HORIZON: Duration = Duration::from_secs(60 * 365 * 24 * 3600);

/// Which slots are not empty, and how far time has come. A tick is a millisecond since the start.
#[derive(Clone, Debug)]
pub struct Levels {
    start: Instant,
    /// Everything up to this tick has come.
    ticked: u64,
    /// For each level, which slots are not empty.
    occupied: [u64; LEVELS],
}

impl Levels {
    /// All slots are empty.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        Self { start, ticked: 0, occupied: [0; LEVELS] }
    }

    /// The tick of an instant: rounded up, so that nothing comes early.
    #[must_use]
    pub fn tick(&self, at: Instant) -> u64 {
        let ahead = at.saturating_duration_since(self.start);
        let ahead = ahead.min(Duration::from_millis(self.ticked).saturating_add(HORIZON));
        u64::try_from(ahead.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }

    /// The slot for what is due at a tick, which is not empty from now on; none for what is due already.
    pub fn place(&mut self, tick: u64) -> Option<usize> {
        if tick <= self.ticked {
            return None;
        }
        let differs = tick ^ self.ticked;
        let level = usize::try_from((63 - differs.leading_zeros()) / BITS).unwrap_or(0).min(LEVELS - 1);
        let shift = BITS * u32::try_from(level).unwrap_or(0);
        let slot = usize::try_from(tick >> shift & 63).unwrap_or(0);
        *self.occupied.get_mut(level)? |= 1 << slot;
        Some(level * IN_A_LEVEL + slot)
    }

    /// A slot has become empty.
    pub fn clear(&mut self, slot: usize) {
        if let Some(occupied) = self.occupied.get_mut(slot / IN_A_LEVEL) {
            *occupied &= !(1 << (slot % IN_A_LEVEL));
        }
    }

    /// The next slot that has come at `now`: it counts as empty, and each thing that lies there is to be placed anew. Called
    /// until `None`.
    pub fn come(&mut self, now: Instant) -> Option<usize> {
        let until = u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX);
        match self.first() {
            Some((slot, tick)) if tick <= until => {
                self.ticked = tick;
                self.clear(slot);
                Some(slot)
            }
            _ => {
                self.ticked = self.ticked.max(until);
                None
            }
        }
    }

    /// When the next slot comes. That may be before anything in it is due, never after.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        Some(self.instant(self.first()?.1))
    }

    /// How far time has come.
    #[must_use]
    pub fn reached(&self) -> Instant {
        self.instant(self.ticked)
    }

    /// The next slot that is not empty, going round.
    #[must_use]
    pub fn after(&self, slot: usize) -> usize {
        let (level, place) = (slot / IN_A_LEVEL, slot % IN_A_LEVEL);
        let at = |level: usize, mask: u64| {
            let occupied = self.occupied.get(level).copied().unwrap_or_default() & mask;
            (occupied != 0).then(|| level * IN_A_LEVEL + usize::try_from(occupied.trailing_zeros()).unwrap_or(0))
        };
        let above = if place + 1 < IN_A_LEVEL { u64::MAX << (place + 1) } else { 0 };
        let later = (level + 1..LEVELS).chain(0..=level).find_map(|level| at(level, u64::MAX));
        at(level, above).or(later).unwrap_or(0)
    }

    fn instant(&self, tick: u64) -> Instant {
        self.start.checked_add(Duration::from_millis(tick)).unwrap_or(self.start)
    }

    /// The first slot that is not empty, and the tick at which it begins.
    fn first(&self) -> Option<(usize, u64)> {
        let (level, occupied) = self.occupied.iter().enumerate().find(|(_, occupied)| **occupied != 0)?;
        let shift = BITS * u32::try_from(level).ok()?;
        // What lies in a level shares all higher digits with the present tick, so its first slot is the next.
        let slot = occupied.trailing_zeros();
        let base = (self.ticked >> shift >> BITS) << BITS;
        Some((level * IN_A_LEVEL + usize::try_from(slot).ok()?, (base | u64::from(slot)) << shift))
    }
}
