//! Every bound of the runtime.

use std::time::Duration;

/// Datagrams taken from, or given to, a socket in one system call.
pub const BATCH: usize = 32;

/// The largest datagram, in octets.
pub const DATAGRAM: usize = 65_535;

/// Datagrams that wait for a UDP socket with a full buffer; what comes beyond is dropped and counted.
pub const DATAGRAMS_WAITING: usize = 16_384;

/// What we ask the system for as the receive and the send buffer of a UDP socket, in octets.
pub const SOCKET_BUFFER: usize = 4 << 20;

/// How long a UDP socket whose buffer was full rests.
pub const SEND_REST: Duration = Duration::from_millis(1);

/// Octets that wait to be written to one stream; beyond that the stream is closed.
pub const STREAM_WAITING: usize = 1 << 20;

/// Octets that wait to be written to all streams of a worker; beyond that a stream that is to take more than
/// [`STREAM_KEPT`] is closed.
pub const STREAMS_WAITING: usize = 256 << 20;

/// Octets that wait to be written to the streams with one address, so that others find room beside them.
pub const STREAMS_WAITING_OF_ONE: usize = STREAMS_WAITING / 4 * 3;

/// Octets read from a stream at once.
pub const STREAM_READ: usize = 64 << 10;

/// A stream's buffer that has grown beyond this many octets is given back once it is empty. So much may wait for a stream
/// whatever waits for others.
pub const STREAM_KEPT: usize = 16 << 10;

/// Letters that wait in a worker's box before their sender keeps them.
pub const LETTERS: usize = 8_192;

/// Letters taken from the box at once.
pub const LETTERS_AT_ONCE: usize = 256;

/// Letters that a worker keeps for a neighbour whose box is full; beyond that they are dropped, and it is reported.
pub const LETTERS_KEPT: usize = 262_144;

/// How long a worker waits before it offers kept letters again.
pub const LETTERS_RETRY: Duration = Duration::from_millis(2);

/// Writes that wait for the store before older writes to the same key are folded into newer ones.
pub const WRITES_UNFOLDED: usize = 65_536;

/// Writes that wait for the store after folding; beyond that the newest are lost, and it is reported.
pub const WRITES_WAITING: usize = 1 << 20;

/// Portions of its work that a machine does after a batch of inputs before the sockets have their turn again.
pub const PORTIONS: usize = 8;

/// How much later than it wants to a machine is woken, so that timers that are near one another are one wake-up.
pub const ALARM_GRAIN: Duration = Duration::from_millis(5);

/// Reports that wait for their reader; what comes beyond is only logged.
pub const REPORTS: usize = 4_096;

/// Incidents of one kind that one worker reports in a second; what comes beyond is counted.
pub const INCIDENTS: u32 = 20;

/// How long a listener rests after the system refused to accept a connection.
pub const ACCEPT_REST: Duration = Duration::from_millis(100);

/// How often the streams are looked through for idle ones.
pub const SWEEP: Duration = Duration::from_secs(5);

/// How long a worker that has stopped waits for what its streams still have to write.
pub const LINGER: Duration = Duration::from_secs(2);

/// How long a killed or stopped worker's thread may take to end before it is left behind.
pub const JOIN: Duration = Duration::from_secs(5);

/// Connections that wait to be accepted by one listener.
pub const BACKLOG: i32 = 1_024;

/// How long a UDP socket's buffer stays more than half full until the worker counts as overloaded.
pub const PRESSED: Duration = Duration::from_millis(200);

/// How long at least a worker counts as overloaded.
pub const OVERLOADED: Duration = Duration::from_secs(1);
