//! What the calls report.

use std::fmt;

use crate::event::{CallKey, Evidence};

/// Something that a person or a counter wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A request was answered with something else than 2xx before it became a call.
    Refused {
        /// The method.
        method: &'static str,
        /// The Request-URI.
        uri: Box<str>,
        /// The status.
        code: u16,
        /// Why, in a few words.
        why: &'static str,
    },
    /// A call is over.
    Ended {
        /// The call.
        call: CallKey,
        /// What shows it.
        evidence: Evidence,
    },
    /// A call of an earlier run is hung up on both sides.
    HungUpAfterRestart {
        /// Its id.
        id: Box<str>,
    },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { method, uri, code, why } => write!(f, "{method} {uri} refused with {code}: {why}"),
            Self::Ended { call, evidence } => write!(f, "call {} is over: {evidence}", call.0),
            Self::HungUpAfterRestart { id } => write!(f, "call {id} of an earlier run is hung up on both sides"),
        }
    }
}
