//! Whether each presence server can be reached: it is asked by OPTIONS while we publish there, and when it comes back what it
//! may have lost is published anew.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip::transaction::Failure;

use crate::limits;

/// What is known of every presence server, in the order of the configuration.
#[derive(Debug)]
pub(crate) struct Reach {
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    /// How often it is asked; never where it is absent.
    keepalive: Option<Duration>,
    state: State,
    /// When it is asked next; none while nothing is published there.
    ask_at: Option<Instant>,
    answered_at: Option<Instant>,
    /// Where requests to it went last.
    place: Option<SocketAddr>,
    /// When a connection that it closed was last taken for a sign that it has started anew.
    closed_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It answers, or was never asked.
    Well,
    /// It does not, or its connection is gone: what it held may be forgotten.
    Silent,
}

impl Reach {
    /// All are well; for each how often it is asked.
    pub(crate) fn new(keepalives: impl Iterator<Item = Option<Duration>>) -> Self {
        let server = |keepalive| Server {
            keepalive,
            state: State::Well,
            ask_at: None,
            answered_at: None,
            place: None,
            closed_at: None,
        };
        Self { servers: keepalives.map(server).collect() }
    }

    /// A PUBLISH leaves for a server: from now on it is asked.
    pub(crate) fn used(&mut self, now: Instant, server: usize) {
        if let Some(known) = self.servers.get_mut(server)
            && known.ask_at.is_none()
        {
            known.ask_at = known.keepalive.map(|keepalive| now + keepalive);
        }
    }

    /// A request to a server went there.
    pub(crate) fn went_to(&mut self, server: usize, place: SocketAddr) {
        if let Some(known) = self.servers.get_mut(server) {
            known.place = Some(place);
        }
    }

    /// A server has answered, whatever it said; whether it has come back by that.
    pub(crate) fn answered(&mut self, now: Instant, server: usize) -> bool {
        let Some(known) = self.servers.get_mut(server) else { return false };
        known.answered_at = Some(now);
        known.ask_at = known.keepalive.map(|keepalive| now + keepalive);
        std::mem::replace(&mut known.state, State::Well) == State::Silent
    }

    /// A request to a server got no answer. One that was lost while others were answered says nothing about the server.
    pub(crate) fn failed(&mut self, now: Instant, server: usize, cause: Failure) {
        let Some(known) = self.servers.get_mut(server) else { return };
        let answers = known.answered_at.is_some_and(|at| now.saturating_duration_since(at) < limits::SILENCE);
        if cause != Failure::TimedOut || !answers {
            known.state = State::Silent;
            known.ask_at = known.keepalive.map(|keepalive| now + keepalive.min(limits::ASK_AGAIN));
        }
    }

    /// A connection with this address is gone. The server may have been started anew: it is asked at once. Some close what
    /// stands idle, so this counts only now and then.
    pub(crate) fn closed(&mut self, now: Instant, remote: SocketAddr) {
        for known in self.servers.iter_mut().filter(|known| known.place == Some(remote) && known.ask_at.is_some()) {
            if known.closed_at.is_none_or(|at| now.saturating_duration_since(at) >= limits::CLOSED_COUNTS) {
                known.closed_at = Some(now);
                known.state = State::Silent;
                known.ask_at = Some(now);
            }
        }
    }

    /// The next server that is to be asked now. `holds` says whether anything is published there; else it is left alone.
    pub(crate) fn next(&mut self, now: Instant, holds: impl Fn(usize) -> bool) -> Option<usize> {
        for (server, known) in self.servers.iter_mut().enumerate() {
            if known.ask_at.is_none_or(|at| at > now) {
                continue;
            }
            if !holds(server) {
                known.ask_at = None;
                continue;
            }
            // The answer, or the failure, brings this forward or puts it off.
            known.ask_at = Some(now + limits::SILENCE * 2);
            return Some(server);
        }
        None
    }

    /// When to ask next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.servers.iter().filter_map(|server| server.ask_at).min()
    }
}
