//! Who plays a part in a world beside the nodes, and what will happen in it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use node::WriteId;
use node::port::Known;
use sip::transport::StreamId;
use ua::phone::Phone;

use crate::lookout::Claim;
use crate::oracle::Suspect;
use crate::stand_in::StandIn;
use crate::swarm::Act;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Event {
    ToNode { from: SocketAddr, octets: Arc<[u8]>, life: usize, is_late: bool },
    ToPhone { phone: usize, octets: Arc<[u8]> },
    ToServer { server: usize, octets: Arc<[u8]>, life: usize },
    ToWatcher { watcher: usize, octets: Arc<[u8]> },
    Opened { id: StreamId, life: usize },
    Refused { id: StreamId, life: usize },
    LineOpened { id: StreamId, life: usize },
    FromLine { id: StreamId, octets: Arc<[u8]>, life: usize },
    OnLine { id: StreamId, octets: Arc<[u8]>, life: usize },
    LineLost { id: StreamId, life: usize },
    LineGone { owner: usize, id: StreamId, life: usize },
    ToPress { octets: Arc<[u8]> },
    NobodyThere { owner: usize, id: StreamId, life: usize },
    OnStream { id: StreamId, octets: Arc<[u8]>, life: usize },
    FromStream { id: StreamId, octets: Arc<[u8]>, life: usize, is_late: bool },
    Answer { owner: usize, id: node::AskId, known: Known, life: usize },
    Written { owner: usize, up_to: WriteId, life: usize },
    Act(Act),
    Suspicion(Suspect),
    Claim(Claim),
    Leftovers { tags: Vec<(usize, String, String)>, life: usize },
}

/// A person, and what may be said of them.
pub(crate) struct Person {
    pub(crate) phone: Phone,
    pub(crate) lives: u64,
    /// Since when, and until when, the phone can't be reached.
    pub(crate) cut_off_since: Option<Instant>,
    pub(crate) cut_off_until: Option<Instant>,
    /// Until when the phone and the node may be of different minds: it was cut off or started anew, and the sessions of its
    /// calls have not run out.
    pub(crate) doubtful_until: Option<Instant>,
    /// It was cut off when the node died: the BYE of the next life may not have reached it, and whoever hears nothing any
    /// more hangs up some day.
    pub(crate) unheard: bool,
    /// Since when the person has been in a call without a break.
    pub(crate) up_since: Option<Instant>,
    /// The calls that stand, and since when.
    pub(crate) calls: BTreeMap<u32, Instant>,
    /// When the person was last in a call as a user, or making one; nothing while that is so.
    pub(crate) engaged_until: Option<Instant>,
}

/// A presence server and its troubles.
pub(crate) struct Server {
    pub(crate) model: StandIn,
    pub(crate) silent_until: Option<Instant>,
    pub(crate) answers_lost_until: Option<Instant>,
    pub(crate) refuses_until: Option<Instant>,
    /// When it last forgot everything: that comes back with the next refresh.
    pub(crate) forgot_at: Option<Instant>,
}
