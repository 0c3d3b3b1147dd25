//! The subscriptions whose NOTIFY is due, in a fair order: however many watchers one presentity has, another's are served between them.

use std::collections::VecDeque;

use super::limits;

/// The lane of a presentity's watchers. Two presentities share one only by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane(u16);

impl Lane {
    /// The lane of a presentity, by a keyed hash of it.
    pub(super) fn of(hash: u64) -> Self {
        Self(u16::try_from(hash % limits::LANES as u64).unwrap_or(0))
    }
}

/// Lanes of subscriptions, of which each with anything in it has its turn (stochastic fairness queueing).
#[derive(Debug)]
pub(super) struct Queue {
    lanes: Vec<VecDeque<u64>>,
    /// The lanes that are not empty, in the order of their turns.
    turns: VecDeque<Lane>,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { lanes: vec![VecDeque::new(); limits::LANES], turns: VecDeque::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Puts a subscription at the end of its lane.
    pub(super) fn push(&mut self, lane: Lane, subscription: u64) {
        let Some(waiting) = self.lanes.get_mut(usize::from(lane.0)) else { return };
        if waiting.is_empty() {
            self.turns.push_back(lane);
        }
        waiting.push_back(subscription);
    }

    /// Takes the first of the lane whose turn it is.
    pub(super) fn pop(&mut self) -> Option<u64> {
        let lane = self.turns.pop_front()?;
        let waiting = self.lanes.get_mut(usize::from(lane.0))?;
        let subscription = waiting.pop_front();
        if waiting.is_empty() {
            // A storm does not leave its memory behind.
            waiting.shrink_to(limits::LANE_KEPT);
        } else {
            self.turns.push_back(lane);
        }
        subscription
    }
}
