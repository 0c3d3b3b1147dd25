//! Every bound of the adapters.

use std::time::Duration;

/// Handovers that wait for the store's thread.
pub const HANDOVERS: usize = 1_024;

/// Writes in one handover, at most.
pub const HANDOVER: usize = 1_024;

/// Writes committed as one batch, at most.
pub const BATCH: usize = 4_096;

/// The octets of a log ahead of the store after which another begins and this one goes into the store.
pub const LOG: u64 = 16 << 20;

/// The octets of a frame's buffer that are kept for the next, and of a log that are read at once.
pub const FRAME_KEPT: usize = 256 << 10;

/// A worker that had to wait so long for the system to take a write leaves writing to the store's thread for a while. On a
/// busy machine it may wait for a processor meanwhile, so this is more than a turn of the others.
pub const STALL: Duration = Duration::from_millis(100);

/// How long that while is.
pub const STALLED: Duration = Duration::from_secs(10);

/// How long the store rests between attempts to reopen after the disk refused a write.
pub const REOPEN: Duration = Duration::from_secs(1);

/// How long an orderly end waits for the disk.
pub const SETTLE: Duration = Duration::from_secs(5);

/// The octets of journal that the store keeps before it tidies up.
pub const JOURNAL: u64 = 128 << 20;

/// The octets of writes that the store keeps in memory before it writes them out in order.
pub const MEMTABLE: u64 = 16 << 20;

/// The octets that the store caches. Memory is authoritative, so nothing is read but at the start.
pub const CACHE: u64 = 4 << 20;

/// Host names being resolved at once.
pub const RESOLVING: usize = 256;

/// How long the system may take to resolve a host name.
pub const RESOLVE: Duration = Duration::from_secs(5);

/// Records of one kind and name that are used.
pub const RECORDS: usize = 32;

/// Addresses of one host that are used.
pub const ADDRESSES: usize = 16;
