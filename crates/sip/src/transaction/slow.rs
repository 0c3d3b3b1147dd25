//! Requests other than INVITE that wait long for their answer (RFC 4320 section 4.1).

use std::collections::VecDeque;
use std::time::Instant;

use super::{Server, Transactions};
use crate::message::Response;

/// So many may keep their places when none is left.
const SMALL: usize = 1024;

impl Transactions {
    /// Most are answered at once: a queue costs them less than a timer each. Its delay is the same for all, so its order is
    /// that of time.
    pub(super) fn await_answer(&mut self, now: Instant, key: u64) {
        if self.unanswered.len() > 2 * self.servers.len() {
            let servers = &self.servers;
            self.unanswered.retain(|(_, key)| servers.get(*key).is_some_and(Server::is_unanswered));
        }
        self.unanswered.push_back((now + self.timers.slow(), key));
    }

    /// Who waits too long for an answer to anything but INVITE hears that we have it (RFC 4320 section 4.1).
    pub(super) fn say_trying(&mut self, now: Instant) {
        while let Some((due, key)) = self.unanswered.front().copied() {
            let waits = self.servers.get(key).is_some_and(Server::is_unanswered);
            if waits && due > now {
                return;
            }
            self.unanswered.pop_front();
            if waits {
                self.respond(now, key, &Response::new(100));
            }
        }
        // What a storm made it take is given back.
        if self.unanswered.capacity() > SMALL {
            self.unanswered = VecDeque::new();
        }
    }
}
