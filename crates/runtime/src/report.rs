//! What a runtime reports: its machines' reports, and incidents at its sockets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use node::Report;
use node::report::Severity;
use sip::transport::{ListenerId, Transport};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::limits;

/// A report with the worker that it comes from.
#[derive(Debug)]
pub struct Reported {
    /// The worker.
    pub worker: u16,
    /// What happened.
    pub what: What,
}

/// Who reports.
#[derive(Debug)]
pub enum What {
    /// The worker's machine.
    Node(Report),
    /// The runtime itself.
    Runtime(Incident),
}

/// Something at a socket, a channel or the store that a person should know. Each is also a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A TLS handshake failed, or was refused.
    HandshakeFailed {
        /// The other end.
        remote: SocketAddr,
        /// The listener that accepted it, or that it would have left through.
        listener: ListenerId,
        /// Whether the other end connected to us.
        accepted: bool,
        /// What went wrong, and whose fault it is.
        cause: String,
    },
    /// A connection was closed as soon as it was accepted: there are too many.
    TooManyConnections {
        /// The other end.
        remote: SocketAddr,
    },
    /// The system would not accept a connection, for instance for want of file descriptors.
    AcceptFailed {
        /// The listener.
        listener: ListenerId,
        /// The system's words.
        cause: String,
    },
    /// More waited to be written to a stream than [`crate::limits::STREAM_WAITING`]; it was closed.
    StreamOverflow {
        /// The other end.
        remote: SocketAddr,
        /// TCP or TLS.
        transport: Transport,
    },
    /// The system refused to send a datagram.
    SendFailed {
        /// Where to.
        remote: SocketAddr,
        /// The system's words.
        cause: String,
    },
    /// A datagram was dropped as too many waited already.
    DatagramDropped {
        /// Where to.
        remote: SocketAddr,
    },
    /// A letter to a worker was dropped as too many waited already.
    LetterDropped {
        /// The worker that it was for.
        worker: u16,
    },
    /// Writes were dropped as too many waited for the store: what they say does not survive a crash.
    WritesDropped {
        /// How many.
        count: usize,
    },
    /// So many incidents of a kind came in the last second that they were no longer reported one by one.
    Muted {
        /// The kind, as the first word of its log line.
        kind: &'static str,
        /// How many were not reported.
        count: u32,
    },
    /// A worker's thread has ended without being asked to: calls it had are lost. A process should end now.
    WorkerDied,
}

impl Incident {
    /// A word for the kind of incident.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::HandshakeFailed { .. } => "handshake-failed",
            Self::TooManyConnections { .. } => "too-many-connections",
            Self::AcceptFailed { .. } => "accept-failed",
            Self::StreamOverflow { .. } => "stream-overflow",
            Self::SendFailed { .. } => "send-failed",
            Self::DatagramDropped { .. } => "datagram-dropped",
            Self::LetterDropped { .. } => "letter-dropped",
            Self::WritesDropped { .. } => "writes-dropped",
            Self::Muted { .. } => "muted",
            Self::WorkerDied => "worker-died",
        }
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandshakeFailed { remote, accepted: true, cause, .. } => {
                write!(f, "the TLS handshake that {remote} began failed: {cause}")
            }
            Self::HandshakeFailed { remote, accepted: false, cause, .. } => {
                write!(f, "the TLS handshake with {remote} failed: {cause}")
            }
            Self::TooManyConnections { remote } => write!(f, "closed a connection from {remote}: there are too many"),
            Self::AcceptFailed { listener, cause } => {
                write!(f, "listener {} cannot accept connections: {cause}", listener.0)
            }
            Self::StreamOverflow { remote, transport } => {
                write!(f, "closed the {} connection with {remote}, which does not read", transport.as_str())
            }
            Self::SendFailed { remote, cause } => write!(f, "a datagram to {remote} could not be sent: {cause}"),
            Self::DatagramDropped { remote } => write!(f, "a datagram to {remote} was dropped: too many wait"),
            Self::LetterDropped { worker } => write!(f, "a letter to worker {worker} was dropped: too many wait"),
            Self::WritesDropped { count } => {
                write!(f, "{count} writes were dropped as the store does not keep up: they would not survive a crash")
            }
            Self::Muted { kind, count } => write!(f, "{count} more incidents of the kind {kind} in the last second"),
            Self::WorkerDied => f.write_str("the worker has died"),
        }
    }
}

/// Writes log lines, and hands reports to whoever reads them. Never waits.
#[derive(Clone)]
pub(crate) struct Reporter {
    worker: u16,
    reader: Sender<Reported>,
    /// For each kind: when its present second began, and how many came in it.
    counts: BTreeMap<&'static str, (Instant, u32)>,
}

impl Reporter {
    pub(crate) fn new() -> (Self, Receiver<Reported>) {
        let (reader, reports) = mpsc::channel(limits::REPORTS);
        (Self { worker: 0, reader, counts: BTreeMap::new() }, reports)
    }

    /// The same for another worker.
    pub(crate) fn of(&self, worker: u16) -> Self {
        Self { worker, ..self.clone() }
    }

    /// The machine reports.
    pub(crate) fn node(&self, report: Report) {
        let worker = self.worker;
        match report.severity() {
            Severity::Trace => tracing::debug!(worker, "{report}"),
            Severity::Notice => tracing::info!(worker, "{report}"),
            Severity::Warning => tracing::warn!(worker, "{report}"),
            Severity::Alarm => tracing::error!(worker, "{report}"),
        }
        self.hand_over(What::Node(report));
    }

    /// The runtime reports; many of a kind in one second are counted instead.
    pub(crate) fn incident(&mut self, now: Instant, incident: Incident) {
        self.unmute(now);
        let (_, count) = self.counts.entry(incident.kind()).or_insert((now, 0));
        *count = count.saturating_add(1);
        if *count <= limits::INCIDENTS {
            self.tell(incident);
        }
    }

    /// Tells how many incidents were not told in seconds that are over.
    pub(crate) fn unmute(&mut self, now: Instant) {
        let over = |began: &Instant| now.saturating_duration_since(*began) >= Duration::from_secs(1);
        let mut muted = Vec::new();
        self.counts.retain(|kind, (began, count)| {
            if over(began) && *count > limits::INCIDENTS {
                muted.push(Incident::Muted { kind, count: *count - limits::INCIDENTS });
            }
            !over(began)
        });
        for incident in muted {
            self.tell(incident);
        }
    }

    fn tell(&self, incident: Incident) {
        let worker = self.worker;
        if incident == Incident::WorkerDied {
            tracing::error!(worker, "{incident}");
        } else {
            tracing::warn!(worker, "{incident}");
        }
        self.hand_over(What::Runtime(incident));
    }

    fn hand_over(&self, what: What) {
        // A reader that is slow, or that there is none, holds nothing up.
        let _ = self.reader.try_send(Reported { worker: self.worker, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_incidents_is_counted_instead_of_told() {
        let (mut reporter, mut reports) = Reporter::new();
        let now = Instant::now();
        for port in 0..100 {
            let remote = SocketAddr::from(([192, 0, 2, 1], port));
            reporter.incident(now, Incident::TooManyConnections { remote });
        }
        for _ in 0..limits::INCIDENTS {
            let told = reports.try_recv().unwrap();
            assert!(matches!(told.what, What::Runtime(Incident::TooManyConnections { .. })));
        }
        assert!(reports.try_recv().is_err());
        reporter.unmute(now + Duration::from_secs(1));
        let told = reports.try_recv().unwrap();
        let muted = Incident::Muted { kind: "too-many-connections", count: 100 - limits::INCIDENTS };
        assert!(matches!(told.what, What::Runtime(incident) if incident == muted));
    }
}
