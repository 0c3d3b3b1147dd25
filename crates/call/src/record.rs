//! What a BYE on both legs needs, so that a call can be ended after a restart.

use serde::{Deserialize, Serialize};
use sip::dialog::Dialog;
use sip::transport::Flow;

/// One answered call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Names the call; unique for ever.
    pub id: Box<str>,
    /// The caller's leg and the callee's.
    pub legs: [LegRecord; 2],
}

/// One leg of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegRecord {
    /// Its dialog: remote target, route set and numbers included.
    pub dialog: Dialog,
    /// The UDP flow to a phone behind a NAT. Streams do not outlive us: over them the remote target is connected anew.
    pub flow: Option<Flow>,
}
