//! What is due when: things that are seldom taken back and of which there are as many as publications.
//!
//! Other than [`sip::timer::Wheel`] it cannot cancel: who comes due too early is put back. So an entry is no more than its
//! time and its name, and to extend a life costs nothing at all.

use std::time::{Duration, Instant};

/// Slots of a level, as bits.
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;

/// Levels of 64 ms, 4 s, 4 min, 4.6 h, 12 days, 2 years, 139 years.
const LEVELS: usize = 7;

/// What an empty slot may keep of the memory that it took, in entries.
const KEPT: usize = 64;

/// The time that never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// Entries with a time each, in milliseconds since the calendar's start.
#[derive(Debug)]
pub(super) struct Calendar<T> {
    start: Instant,
    /// Everything up to this tick has been taken out.
    ticked: u64,
    slots: Vec<Vec<(u64, T)>>,
    /// For each level, which slots are not empty.
    occupied: [u64; LEVELS],
    due: Vec<(u64, T)>,
    /// Where the last sweep stopped: a slot and a position in it.
    swept: (usize, usize),
}

impl<T> Calendar<T> {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            start,
            ticked: 0,
            slots: std::iter::repeat_with(Vec::new).take(SLOTS * LEVELS).collect(),
            occupied: [0; LEVELS],
            due: Vec::new(),
            swept: (0, 0),
        }
    }

    /// The tick of an instant: never earlier than it.
    pub(super) fn tick(&self, at: Instant) -> u64 {
        let tick = at.saturating_duration_since(self.start).as_nanos().div_ceil(1_000_000);
        u64::try_from(tick).unwrap_or(NEVER).min(NEVER - 1)
    }

    /// The instant of a tick.
    pub(super) fn instant(&self, tick: u64) -> Instant {
        self.start.checked_add(Duration::from_millis(tick)).unwrap_or(self.start)
    }

    /// Enters something under a tick.
    pub(super) fn enter(&mut self, tick: u64, what: T) {
        let differs = tick ^ self.ticked;
        if tick <= self.ticked || differs == 0 {
            self.due.push((tick, what));
            return;
        }
        let level = usize::try_from((63 - differs.leading_zeros()) / BITS).unwrap_or(0).min(LEVELS - 1);
        let shift = BITS * u32::try_from(level).unwrap_or(0);
        let slot = usize::try_from(tick >> shift & 63).unwrap_or(0);
        if let (Some(home), Some(occupied)) = (self.slots.get_mut(level * SLOTS + slot), self.occupied.get_mut(level)) {
            home.push((tick, what));
            *occupied |= 1 << slot;
        }
    }

    /// Takes out something that is due at `now`, with its tick; called until `None`.
    pub(super) fn take(&mut self, now: Instant) -> Option<(u64, T)> {
        let until = u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(NEVER - 1);
        loop {
            if let Some(due) = self.due.pop() {
                return Some(due);
            }
            match self.next_slot() {
                Some((level, slot, tick)) if tick <= until => {
                    self.ticked = tick;
                    self.cascade(level, slot);
                }
                _ => {
                    self.ticked = self.ticked.max(until);
                    return None;
                }
            }
        }
    }

    /// When to call [`Calendar::take`] at the latest. It may come before anything is due, never after.
    pub(super) fn next(&self) -> Option<Instant> {
        let tick = if self.due.is_empty() { self.next_slot()?.2 } else { self.ticked };
        Some(self.instant(tick))
    }

    /// Looks at some entries, each time at others, and drops those that nobody waits for any more.
    pub(super) fn sweep(&mut self, looks: usize, is_stale: impl Fn(u64, &T) -> bool) {
        for _ in 0..looks {
            let (slot, position) = self.swept;
            let Some(home) = self.slots.get_mut(slot) else { return };
            match home.get(position) {
                Some((tick, what)) if is_stale(*tick, what) => {
                    home.swap_remove(position);
                    if home.is_empty() {
                        *home = Vec::new();
                        if let Some(occupied) = self.occupied.get_mut(slot / SLOTS) {
                            *occupied &= !(1 << (slot % SLOTS));
                        }
                    }
                }
                Some(_) => self.swept.1 += 1,
                None => self.swept = (self.occupied_after(slot), 0),
            }
        }
    }

    /// The next slot that is not empty, going round.
    fn occupied_after(&self, slot: usize) -> usize {
        let (level, place) = (slot / SLOTS, slot % SLOTS);
        let at = |level: usize, mask: u64| {
            let occupied = self.occupied.get(level).copied().unwrap_or_default() & mask;
            (occupied != 0).then(|| level * SLOTS + usize::try_from(occupied.trailing_zeros()).unwrap_or(0))
        };
        let above = if place + 1 < SLOTS { u64::MAX << (place + 1) } else { 0 };
        let later = (level + 1..LEVELS).chain(0..=level).find_map(|level| at(level, u64::MAX));
        at(level, above).or(later).unwrap_or(0)
    }

    /// The first slot that is not empty: its level, its number, and the tick at which it begins.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        self.occupied.iter().enumerate().find_map(|(level, occupied)| {
            if *occupied == 0 {
                return None;
            }
            let shift = BITS * u32::try_from(level).ok()?;
            // What lies in a level shares all higher digits with the present tick, so its first slot is the next.
            let slot = occupied.trailing_zeros();
            let base = (self.ticked >> shift >> BITS) << BITS;
            Some((level, usize::try_from(slot).ok()?, (base | u64::from(slot)) << shift))
        })
    }

    /// Moves what lies in a slot one or more levels down.
    fn cascade(&mut self, level: usize, slot: usize) {
        if let Some(occupied) = self.occupied.get_mut(level) {
            *occupied &= !(1 << slot);
        }
        let mut entries = self.slots.get_mut(level * SLOTS + slot).map(std::mem::take).unwrap_or_default();
        for (tick, what) in entries.drain(..) {
            self.enter(tick, what);
        }
        if let Some(home) = self.slots.get_mut(level * SLOTS + slot)
            && home.is_empty()
            && entries.capacity() <= KEPT
        {
            *home = entries;
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "one reading to start from; it never moves by itself")]
mod tests {
    use super::*;
    use sip::Random;

    #[test]
    fn what_nobody_waits_for_is_swept_away_in_passing() {
        let start = Instant::now();
        let mut random = Random::from_number(6);
        let mut calendar = Calendar::new(start);
        let entries = |calendar: &Calendar<u64>| calendar.slots.iter().map(Vec::len).sum::<usize>();
        for number in 0..100_000_u64 {
            let at = start + Duration::from_millis(1 + random.below(3_600_000));
            calendar.enter(calendar.tick(at), number);
            // Only the newest thousand is still waited for.
            calendar.sweep(4, |_, of| of + 1_000 < number);
        }
        assert!(entries(&calendar) < 2_000, "{}", entries(&calendar));
        let mut left = Vec::new();
        while let Some((_, number)) = calendar.take(start + Duration::from_secs(3_600)) {
            left.push(number);
        }
        assert!((99_000..100_000).all(|number| left.contains(&number)), "what is waited for stays");
        assert_eq!(entries(&calendar), 0);
    }

    #[test]
    fn everything_comes_out_once_at_its_time_and_never_before() {
        let start = Instant::now();
        let mut random = Random::from_number(5);
        let mut calendar = Calendar::new(start);
        let mut model = std::collections::BTreeMap::new();
        let mut now = start;
        for number in 0..20_000_u64 {
            let scale = [100, 5_000, 300_000, 40_000_000_000][usize::try_from(random.below(4)).unwrap()];
            let at = now + Duration::from_micros(random.below(scale));
            calendar.enter(calendar.tick(at), number);
            model.insert(number, at);
            if random.chance(100) {
                now += Duration::from_micros(random.below(scale));
                while let Some((tick, number)) = calendar.take(now) {
                    let at = model.remove(&number).expect("comes once");
                    assert!(at <= now && tick == calendar.tick(at));
                }
                let overdue = model.values().filter(|at| **at + Duration::from_millis(1) <= now).count();
                assert_eq!(overdue, 0);
            }
            if let (Some(next), Some(first)) = (calendar.next(), model.values().min()) {
                assert!(next <= *first + Duration::from_millis(1));
            }
        }
    }
}
