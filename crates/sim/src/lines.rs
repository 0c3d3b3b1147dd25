//! Watchers that reach the nodes over connections of their own, which break, or die without a word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use node::{Closed, Input};
use sip::Owner;
use sip::transport::{Flow, StreamId, Transport};

use crate::cast::Event;
use crate::network::Link;
use crate::setting::{TCP, node_address, watcher_address};
use crate::swarm::stream;
use crate::watching::headline;
use crate::world::World;

/// How a watcher reaches the nodes, and they it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// By datagrams.
    Datagrams,
    /// Over a connection that it makes, and it listens for others.
    Listening,
    /// Over a connection that it makes, and no other: it is behind NAT.
    BehindNat,
}

/// A connection between a watcher and the nodes. What is sent keeps its order.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) watcher: usize,
    /// The watcher's end, as the nodes see it.
    remote: SocketAddr,
    /// When the last octets of each direction arrive.
    there_at: Instant,
    back_at: Instant,
}

/// A connection as its watcher sees it.
fn flow(id: StreamId) -> Flow {
    Flow::Stream { id, transport: Transport::Tcp, listener: TCP, remote: node_address() }
}

impl World {
    /// A watcher is about to speak: if it has no connection it makes one.
    pub(crate) fn lines_up(&mut self, number: usize) {
        let Some(watcher) = self.watchers.get_mut(number) else { return };
        if watcher.reach == Reach::Datagrams || watcher.line.is_some() {
            return;
        }
        self.lines_made += 1;
        let made = self.lines_made;
        let owner = u16::try_from(made % self.nodes.len() as u64).unwrap_or(0);
        let id = StreamId::accepted(Owner(owner), made);
        watcher.line = Some(id);
        watcher.agent.speaks_on(flow(id));
        let port = 40_000 + u16::try_from(made % 20_000).unwrap_or(0);
        self.lay_line(id, number, SocketAddr::new(watcher_address(number).ip(), port));
    }

    /// A node wants a connection to a watcher that listens.
    pub(crate) fn connects_to_watcher(&mut self, id: StreamId, number: usize) {
        self.lay_line(id, number, watcher_address(number));
    }

    fn lay_line(&mut self, id: StreamId, watcher: usize, remote: SocketAddr) {
        let at = self.now + self.time_on(Link::FromWatcher(watcher));
        self.lines.insert(id, Line { watcher, remote, there_at: at, back_at: at });
        self.schedule(at, Event::LineOpened { id, life: self.life });
    }

    fn time_on(&mut self, link: Link) -> Duration {
        let mut random = self.next_on(link);
        self.latency(&mut random)
    }

    pub(crate) fn line_opened(&mut self, id: StreamId) {
        let Some(remote) = self.lines.get(&id).map(|line| line.remote) else { return };
        let input =
            Input::StreamOpened { id, listener: TCP, transport: Transport::Tcp, remote, peer_names: Vec::new() };
        self.at_node(usize::from(id.owner().0), input);
    }

    /// A watcher sends something.
    pub(crate) fn onto_line(&mut self, id: StreamId, octets: &Arc<[u8]>) {
        let Some(watcher) = self.lines.get(&id).map(|line| line.watcher) else { return };
        let at = self.now + self.time_on(Link::FromWatcher(watcher));
        let Some(line) = self.lines.get_mut(&id) else { return };
        line.there_at = line.there_at.max(at);
        let at = line.there_at;
        self.schedule(at, Event::FromLine { id, octets: Arc::clone(octets), life: self.life });
    }

    pub(crate) fn arrives_from_line(&mut self, id: StreamId, octets: &[u8]) {
        if self.lines.contains_key(&id) {
            self.at_node_in_pieces(usize::from(id.owner().0), id, octets);
        }
    }

    /// A node sends something to a watcher on a stream.
    pub(crate) fn leaves_on_line(&mut self, owner: usize, id: StreamId, octets: &Arc<[u8]>) {
        let Some(watcher) = self.lines.get(&id).map(|line| line.watcher) else {
            // Whose stream it was knows when it is gone; others are told. One that died without a word swallows all.
            self.note(|| format!("on a line that is no more: {}", headline(octets)));
            self.sees_notify(octets);
            if !self.dead_lines.contains(&id) && usize::from(id.owner().0) != owner {
                let event = Event::LineGone { owner, id, life: self.life };
                self.schedule(self.now + Duration::from_millis(1), event);
            }
            return;
        };
        self.note(|| format!("to watcher {watcher} on its line: {}", headline(octets)));
        self.sees_notify(octets);
        let at = self.now + self.time_on(Link::ToWatcher(watcher));
        let Some(line) = self.lines.get_mut(&id) else { return };
        line.back_at = line.back_at.max(at);
        let at = line.back_at;
        self.schedule(at, Event::OnLine { id, octets: Arc::clone(octets), life: self.life });
    }

    pub(crate) fn arrives_on_line(&mut self, id: StreamId, octets: &[u8]) {
        if let Some(watcher) = self.lines.get(&id).map(|line| line.watcher) {
            self.heard_by_watcher(watcher, flow(id), octets);
        }
    }

    /// A node is told that a stream is no more.
    pub(crate) fn line_gone(&mut self, owner: usize, id: StreamId, why: Closed) {
        self.dead_lines.remove(&id);
        self.at_node(owner, Input::StreamClosed { id, why });
    }

    /// A connection breaks, and both ends notice: the watcher makes another.
    pub(crate) fn line_breaks(&mut self, id: StreamId, why: Closed) {
        let Some(line) = self.lines.remove(&id) else { return };
        self.note(|| format!("a line of watcher {}: {why}", line.watcher));
        self.line_gone(usize::from(id.owner().0), id, why);
        self.hangs_up(line.watcher, id);
    }

    /// A watcher notices that a connection is gone.
    fn hangs_up(&mut self, number: usize, id: StreamId) {
        let now = self.now;
        if let Some(watcher) = self.watchers.get_mut(number) {
            watcher.line.take_if(|line| *line == id);
            watcher.cut_off_at = Some(now);
        }
        self.lines_up(number);
        if let Some(watcher) = self.watchers.get_mut(number) {
            watcher.agent.disconnected(now, id);
        }
        self.drain_watcher(number);
    }

    /// The process at the other end of all lines has died, and another has taken its place.
    pub(crate) fn all_lines_break(&mut self) {
        self.dead_lines.clear();
        for (id, line) in std::mem::take(&mut self.lines) {
            self.hangs_up(line.watcher, id);
        }
    }

    /// The connections of a watcher break; or whatever lies between forgets them, and nobody notices but by what gets lost.
    pub(crate) fn unplug(&mut self, one: usize, share: u64) {
        let Some(number) = one.checked_rem(self.watchers.len()) else { return };
        if self.watchers.get(number).is_none_or(|watcher| watcher.reach == Reach::Datagrams) {
            return;
        }
        let lines = self.lines.iter().filter(|(_, line)| line.watcher == number).map(|(id, _)| *id);
        let lines: Vec<StreamId> = lines.collect();
        if share < 500 {
            for id in lines {
                self.line_breaks(id, Closed::ByPeer);
            }
            return;
        }
        let after = stream(self.play.seed, 16, share).between(Duration::from_secs(20), Duration::from_secs(90));
        self.cuts_off(number, self.now + after);
        for id in lines {
            self.lines.remove(&id);
            self.dead_lines.insert(id);
            self.schedule(self.now + after, Event::LineLost { id, life: self.life });
        }
    }
}
