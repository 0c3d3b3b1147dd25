//! What a BYE on both legs needs, so that a call can be ended after a restart.

use serde::{Deserialize, Serialize};
use sip::dialog::Dialog;
use sip::transport::{Flow, Transport};

/// One answered call, or what is left of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Names the call; unique for ever.
    pub id: Box<str>,
    /// The caller's leg and the callee's; of a callee that answered too late, its own alone.
    pub legs: Vec<LegRecord>,
}

/// One leg of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegRecord {
    /// Its dialog: remote target, route set and numbers included.
    pub dialog: Dialog,
    /// The UDP flow to a phone behind a NAT. Streams do not outlive us: over them the remote target is connected anew.
    pub flow: Option<Flow>,
}

impl LegRecord {
    /// The leg of a dialog whose requests take this flow.
    pub(crate) fn new(dialog: Dialog, flow: Option<Flow>) -> Self {
        Self { dialog, flow: flow.filter(|flow| flow.transport() == Transport::Udp) }
    }
}
