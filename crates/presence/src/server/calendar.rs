//! What is due when: things that are seldom taken back and of which there are as many as publications.
//!
//! Other than [`sip::timer::Wheel`] it cannot cancel: who comes due too early is put back. So an entry is no more than its
//! time and its name, and to extend a life costs nothing at all.

use std::time::Instant;

use sip::levels::{Levels, SLOTS};

/// What an empty slot may keep of the memory that it took, in entries.
const KEPT: usize = 64;

/// The time that never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// Entries with a time each, in milliseconds since the calendar's start.
#[derive(Debug)]
pub(super) struct Calendar<T> {
    levels: Levels,
    slots: Vec<Vec<(u64, T)>>,
    due: Vec<(u64, T)>,
    /// Where the last sweep stopped: a slot and a position in it.
    swept: (usize, usize),
}

impl<T> Calendar<T> {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            levels: Levels::new(start),
            slots: std::iter::repeat_with(Vec::new).take(SLOTS).collect(),
            due: Vec::new(),
            swept: (0, 0),
        }
    }

    /// The tick of an instant: never earlier than it.
    pub(super) fn tick(&self, at: Instant) -> u64 {
        self.levels.tick(at)
    }

    /// Enters something under a tick.
    pub(super) fn enter(&mut self, tick: u64, what: T) {
        match self.levels.place(tick).and_then(|slot| self.slots.get_mut(slot)) {
            Some(home) => home.push((tick, what)),
            None => self.due.push((tick, what)),
        }
    }

    /// Takes out something that is due at `now`, with its tick; called until `None`.
    pub(super) fn take(&mut self, now: Instant) -> Option<(u64, T)> {
        loop {
            if let Some(due) = self.due.pop() {
                return Some(due);
            }
            let slot = self.levels.come(now)?;
            self.cascade(slot);
        }
    }

    /// When to call [`Calendar::take`] at the latest. It may come before anything is due, never after.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.due.is_empty() { self.levels.next() } else { Some(self.levels.reached()) }
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
                        self.levels.clear(slot);
                    }
                }
                Some(_) => self.swept.1 += 1,
                None => self.swept = (self.levels.after(slot), 0),
            }
        }
    }

    /// Moves what lies in a slot one or more levels down.
    fn cascade(&mut self, slot: usize) {
        let mut entries = self.slots.get_mut(slot).map(std::mem::take).unwrap_or_default();
        for (tick, what) in entries.drain(..) {
            self.enter(tick, what);
        }
        if let Some(home) = self.slots.get_mut(slot)
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
    use std::time::Duration;

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
