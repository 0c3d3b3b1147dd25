//! Timers: a machine keeps its own, in a wheel of levels, and tells its driver only when the next is due.

use std::collections::VecDeque;
use std::time::Instant;

use crate::levels::{Levels, SLOTS};
use crate::numbered::Numbered;

/// What a slot or a queue may keep of the memory that a storm made it take, in timers.
const KEPT: usize = 1024;

/// The handle of a timer; one that has fired or was cancelled is harmless to cancel again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey(u64);

/// Timers that carry a `K` each. To schedule and to cancel cost the same however many there are.
#[derive(Clone, Debug)]
pub struct Wheel<K> {
    levels: Levels,
    entries: Numbered<Entry<K>>,
    /// What lies in each slot: numbers of entries.
    slots: Vec<Vec<u64>>,
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
            levels: Levels::new(now),
            entries: Numbered::new(),
            slots: std::iter::repeat_with(Vec::new).take(SLOTS).collect(),
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
        let tick = self.levels.tick(at);
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
        loop {
            while let Some(number) = self.due.pop_front() {
                if let Some(entry) = self.entries.remove(number) {
                    return Some(entry.key);
                }
            }
            self.due.shrink_to(KEPT);
            let slot = self.levels.come(now)?;
            self.cascade(slot);
        }
    }

    /// When to call [`Wheel::expire`] at the latest. It may come before the next timer is due, never after.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        if self.due.is_empty() { self.levels.next() } else { Some(self.levels.reached()) }
    }

    /// Moves what lies in a slot one or more levels down.
    fn cascade(&mut self, slot: usize) {
        let mut numbers = self.slots.get_mut(slot).map(std::mem::take).unwrap_or_default();
        for number in &numbers {
            self.settle(*number);
        }
        // The vector goes back, so that a slot that is used again need not grow again.
        if let Some(home) = self.slots.get_mut(slot)
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
        let slot = self.levels.place(entry.tick);
        if let Some((slot, home)) = slot.and_then(|slot| Some((slot, self.slots.get_mut(slot)?))) {
            entry.home = Some((slot, home.len()));
            home.push(number);
        } else {
            entry.home = None;
            self.due.push_back(number);
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
            self.levels.clear(slot);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "one reading to start from; it never moves by itself")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Random;
    use crate::levels::LEVELS;

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
