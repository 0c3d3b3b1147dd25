//! How a response gets back when the connection that its request came on is gone (RFC 3261 section 18.2.2, RFC 3263
//! section 5): over a new one to where the request came from, then to what the Via names.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use sip::Target;
use sip::transport::{Flow, StreamId, Transport};
use wire::sip::{Message, Via};

use crate::depart::{Leaving, Manner};
use crate::limits;
use crate::node::Node;
use crate::port::Place;

/// A response that is to go over a new connection.
#[derive(Debug)]
pub(crate) struct CutOff {
    octets: Arc<[u8]>,
    /// Where to look next, should that connection not stand: the URI of the Via's sent-by.
    next: Option<Box<str>>,
    manner: Manner,
}

impl Node {
    /// Something was to go over a stream that is gone. Requests are told of by their transactions; a response looks for
    /// another way.
    pub(crate) fn cut_off(&mut self, flow: Flow, octets: Arc<[u8]>) {
        // 100 only says that nothing need be sent again, which over a stream nobody does.
        let is_response = octets.starts_with(b"SIP/2.0 ") && !octets.starts_with(b"SIP/2.0 100");
        if is_response && self.cut_off.len() < limits::CUT_OFF {
            self.cut_off.push_back((flow, octets));
        }
    }

    /// Opens a connection to the address that the request came from, at the port of its Via.
    pub(crate) fn return_anew(&mut self, now: Instant, flow: Flow, octets: &Arc<[u8]>) {
        let Flow::Stream { transport, listener, remote, .. } = flow else { return };
        let Ok(message) = Message::parse(octets) else { return };
        let Ok(via) = message.via() else { return };
        // What `received` says was written by us, or came from somebody who is not to choose whom we connect to.
        let address = SocketAddr::new(remote.ip(), via.port.unwrap_or(transport.default_port()));
        let named = via.host.trim_matches(['[', ']']).parse::<IpAddr>().is_err();
        let server_name = named.then(|| via.host.to_owned());
        let next = named.then(|| sent_by(&via, transport));
        let identity = (transport == Transport::Tls).then(|| self.flows.identity(listener)).flatten();
        let manner = Manner { identity, ..Manner::default() };
        let cut_off = CutOff { octets: Arc::clone(octets), next, manner: manner.clone() };
        let places = VecDeque::from([Place { transport, address }.into()]);
        self.try_places(now, Leaving::Response(cut_off), server_name, places, &manner);
    }

    /// A connection for a response stands, or is being opened.
    pub(crate) fn returned(&mut self, flow: Flow, cut_off: CutOff) {
        self.transmit(flow, Arc::clone(&cut_off.octets));
        if let Flow::Stream { id, .. } = flow
            && cut_off.next.is_some()
            && self.flows.is_opening(id)
            && self.reconnecting.len() < limits::CUT_OFF
        {
            self.reconnecting.push((id, cut_off));
        }
    }

    /// A connection stands: what was to be returned on it is.
    pub(crate) fn reconnected(&mut self, id: StreamId) {
        if !self.reconnecting.is_empty() {
            self.reconnecting.retain(|(of, _)| *of != id);
        }
    }

    /// A connection could not be opened: who waits is looked for by the name in its Via.
    pub(crate) fn not_reconnected(&mut self, now: Instant, id: StreamId) {
        if self.reconnecting.is_empty() {
            return;
        }
        let all = std::mem::take(&mut self.reconnecting);
        let (failed, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(of, _)| *of == id);
        self.reconnecting = others;
        for (_, cut_off) in failed {
            let Some(uri) = cut_off.next else { continue };
            let manner = cut_off.manner.clone();
            let what = Leaving::Response(CutOff { next: None, ..cut_off });
            self.leave(now, what, &Target { uri, flow: None }, manner);
        }
    }
}

/// The URI of who wrote a Via.
fn sent_by(via: &Via<'_>, transport: Transport) -> Box<str> {
    let port = via.port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("sip:{}{port};transport={}", via.host, transport.uri_param()).into()
}
