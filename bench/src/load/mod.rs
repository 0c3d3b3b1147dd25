//! The other end of a server under test: one thread, plain datagrams, no more work than a message needs.

pub(crate) mod calls;
pub(crate) mod message;
pub(crate) mod presence;
pub(crate) mod request;
pub(crate) mod socket;

use std::time::Duration;

/// How long an answer is waited for before a request is sent again, at first (T1 of RFC 3261).
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// How often a request is sent again before its operation has failed.
const TRIES: u32 = 7;

/// How long to wait after so many tries.
fn wait(tries: u32) -> Duration {
    FIRST_WAIT * (1 << tries.min(3))
}

/// What came of a piece of work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Operations that succeeded.
    pub(crate) done: u64,
    /// Operations that were refused, or never answered.
    pub(crate) failed: u64,
    /// The last status that refused one.
    pub(crate) refusal: Option<u16>,
    /// Requests that were sent again.
    pub(crate) repeated: u64,
    /// NOTIFY requests that told what was awaited.
    pub(crate) notified: u64,
    /// How long each took: the answer, or the NOTIFY.
    pub(crate) latencies: Vec<Duration>,
}

impl Outcome {
    /// The latency below which this part of all lies.
    pub(crate) fn percentile(&self, part: f64) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let place = (part * sorted.len().saturating_sub(1) as f64) as usize;
        sorted.get(place).copied().unwrap_or_default()
    }
}
