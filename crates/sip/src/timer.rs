//! Timers: a machine keeps its own, in a wheel of levels, and tells its driver only when the next is due.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::tables::Numbered;

/// The grain: timers are due on it, and never fire early.
const TICKS_PER_SECOND: u128 = 1000;

/// Slots of a level, as bits.
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;

/// Levels of 64 ms, 4 s, 4 min, 4.6 h, 12 days, 2 years, 139 years.
const LEVELS: usize = 7;

/// The farthest that a timer is set; one beyond fires then.
const HORIZON: Duration = Duration::from_secs(60 * 365 * 24 * 3600);

/// What a slot or a queue may keep of the memory that a storm made it take, in timers.
const KEPT: usize = 1024;

/// The handle of a timer; one that has fired or was cancelled is harmless to cancel again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey(u64);

/// Timers that carry a `K` each. To schedule and to cancel cost the same however many there are.
#[derive(Clone, Debug)]
pub struct Wheel<K> {
    start: Instant,
    /// Every tick up to this one has been expired.
    ticked: u64,
    entries: Numbered<Entry<K>>,
    /// The slots of all levels: numbers of entries.
    slots: Vec<Vec<u64>>,
    /// For each level, which slots are not empty.
    occupied: [u64; LEVELS],
    /// Due now, oldest first; a cancelled one is passed over.
    due: VecDeque<u64>,
}

#[derive(Clone, Debug)]
struct Entry<K> {
    tick: u64,
    key: K,
    /// The slot it lies in and its position there; none once it is due.
    home: Option<(usize, usize)>,
}

impl<K> Wheel<K> {
    /// No timers.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            start: now,
            ticked: 0,
            entries: Numbered::new(),
            slots: std::iter::repeat_with(Vec::new).take(SLOTS * LEVELS).collect(),
            occupied: [0; LEVELS],
            due: VecDeque::new(),
        }
    }

    /// How many timers are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// Sets a timer; one whose time has passed is due at once.
    pub fn schedule(&mut self, at: Instant, key: K) -> TimerKey {
        let ahead = at.saturating_duration_since(self.start);
        let now = Duration::from_millis(self.ticked);
        let ahead = ahead.min(now.saturating_add(HORIZON));
        // Rounded up, so that it never fires early.
        let tick = (ahead.as_nanos() * TICKS_PER_SECOND).div_ceil(1_000_000_000);
        let tick = u64::try_from(tick).unwrap_or(u64::MAX);
        let number = self.entries.reserve();
        self.entries.fill(number, Entry { tick, key, home: None });
        self.settle(number);
        TimerKey(number)
    }

    /// Takes a timer back; its key, unless it has fired or was cancelled before.
    pub fn cancel(&mut self, handle: TimerKey) -> Option<K> {
        let entry = self.entries.remove(handle.0)?;
        if let Some((slot, position)) = entry.home {
            self.lift(slot, position);
        }
        Some(entry.key)
    }

    /// The next timer that is due at `now`, oldest first; called until `None`.
    pub fn expire(&mut self, now: Instant) -> Option<K> {
        let until = u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX);
        loop {
            while let Some(number) = self.due.pop_front() {
                if let Some(entry) = self.entries.remove(number) {
                    return Some(entry.key);
                }
            }
            self.due.shrink_to(KEPT);
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

    /// When to call [`Wheel::expire`] at the latest. It may come before the next timer is due, never after.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let tick = if self.due.is_empty() { self.next_slot()?.2 } else { self.ticked };
        self.start.checked_add(Duration::from_millis(tick))
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
        let mut numbers = self.slots.get_mut(level * SLOTS + slot).map(std::mem::take).unwrap_or_default();
        for number in &numbers {
            if let Some(entry) = self.entries.get_mut(*number) {
                entry.home = None;
            }
            self.settle(*number);
        }
        // The vector goes back, so that a slot that is used again need not grow again.
        if let Some(home) = self.slots.get_mut(level * SLOTS + slot)
            && home.is_empty()
        {
            numbers.clear();
            numbers.shrink_to(KEPT);
            *home = numbers;
        }
    }

    /// Puts an entry where it belongs: a slot, or among those that are due.
    fn settle(&mut self, number: u64) {
        let Some(entry) = self.entries.get_mut(number) else { return };
        let differs = entry.tick ^ self.ticked;
        if entry.tick <= self.ticked || differs == 0 {
            self.due.push_back(number);
            return;
        }
        let level = usize::try_from((63 - differs.leading_zeros()) / BITS).unwrap_or(0).min(LEVELS - 1);
        let shift = BITS * u32::try_from(level).unwrap_or(0);
        let slot = usize::try_from(entry.tick >> shift & 63).unwrap_or(0);
        let Some(home) = self.slots.get_mut(level * SLOTS + slot) else { return };
        entry.home = Some((level * SLOTS + slot, home.len()));
        home.push(number);
        if let Some(occupied) = self.occupied.get_mut(level) {
            *occupied |= 1 << slot;
        }
    }

    /// Takes an entry out of a slot; the last one there moves to its position.
    fn lift(&mut self, slot: usize, position: usize) {
        let Some(home) = self.slots.get_mut(slot) else { return };
        if position < home.len() {
            home.swap_remove(position);
        }
        if let Some(moved) = home.get(position).copied()
            && let Some(entry) = self.entries.get_mut(moved)
        {
            entry.home = Some((slot, position));
        }
        if home.is_empty() {
            home.shrink_to(KEPT);
            if let Some(occupied) = self.occupied.get_mut(slot / SLOTS) {
                *occupied &= !(1 << (slot % SLOTS));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "one reading to start from; it never moves by itself")]
mod tests {
    use super::*;
    use crate::Random;

    #[test]
    fn timers_fire_in_order_never_early_and_never_when_cancelled() {
        let start = Instant::now();
        let mut random = Random::from_number(3);
        let mut wheel = Wheel::new(start);
        let mut model = std::collections::BTreeMap::new();
        let mut now = start;
        let mut handles = Vec::new();
        for number in 0..20_000_u64 {
            let scale = [100, 5_000, 300_000, 40_000_000_000][usize::try_from(random.below(4)).unwrap()];
            let at = now + Duration::from_micros(random.below(scale));
            handles.push((number, at, wheel.schedule(at, number)));
            model.insert(number, at);
            if random.chance(300) {
                let pick = usize::try_from(random.below(handles.len() as u64)).unwrap();
                let (number, _, handle) = handles[pick];
                assert_eq!(wheel.cancel(handle), model.remove(&number).map(|_| number));
            }
            if random.chance(100) {
                now += Duration::from_micros(random.below(scale));
                while let Some(number) = wheel.expire(now) {
                    let at = model.remove(&number).expect("fires once");
                    assert!(at <= now);
                }
                let overdue = model.values().filter(|at| **at + Duration::from_millis(1) <= now).count();
                assert_eq!(overdue, 0);
            }
            assert_eq!(wheel.len(), model.len());
            if let (Some(next), Some(first)) = (wheel.next(), model.values().min()) {
                assert!(next <= *first + Duration::from_millis(1));
            }
        }
    }

    #[test]
    fn to_wake_at_next_is_enough() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        wheel.schedule(start + Duration::from_secs(600), "refresh");
        let mut wakes = 0;
        loop {
            let at = wheel.next().expect("a timer is set");
            wakes += 1;
            if wheel.expire(at) == Some("refresh") {
                assert_eq!(at, start + Duration::from_secs(600));
                break;
            }
        }
        assert!(wakes <= LEVELS);
    }
}
