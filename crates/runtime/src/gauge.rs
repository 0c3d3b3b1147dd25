//! How full a UDP socket's receive buffer is, and for how long: the measure of a worker that has more to do than it can.

use std::os::fd::RawFd;
use std::time::Instant;

use nix::libc;

use crate::limits;

/// Watches one socket. A buffer that fills in a burst is what it is for; one that stays full makes everyone wait, and what
/// comes beyond is lost.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// Since when the buffer has been more than half full after every batch, or has overflowed between two.
    pressed: Option<Instant>,
    /// Datagrams that the system has dropped so far.
    dropped: u32,
    /// Since when it counts as overloaded.
    overloaded: Option<Instant>,
}

/// What the system tells of a socket's receive buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// Octets of memory that wait.
    waiting: u32,
    /// Octets of memory that may wait.
    room: u32,
    /// Datagrams that found no room, since the socket was made.
    dropped: u32,
}

impl Gauge {
    /// A batch was taken, and `more` may wait. Whether the socket has become overloaded, or has ceased to be, if either.
    pub(crate) fn read(&mut self, now: Instant, fd: RawFd, more: bool) -> Option<bool> {
        let level = if more { level(fd) } else { None };
        self.note(now, level)
    }

    fn note(&mut self, now: Instant, level: Option<Level>) -> Option<bool> {
        let is_full = level.is_some_and(|level| {
            let lost = level.dropped != std::mem::replace(&mut self.dropped, level.dropped);
            lost || level.waiting > level.room / 2
        });
        self.pressed = is_full.then(|| self.pressed.unwrap_or(now));
        let since = |at: Instant| now.saturating_duration_since(at);
        match self.overloaded {
            None if self.pressed.is_some_and(|at| since(at) >= limits::PRESSED) => {
                self.overloaded = Some(now);
                Some(true)
            }
            Some(at) if !is_full && since(at) >= limits::OVERLOADED => {
                self.overloaded = None;
                Some(false)
            }
            _ => None,
        }
    }

    /// Whether it has to be read again though nothing arrives.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.overloaded.is_some()
    }
}

#[allow(unsafe_code, reason = "no safe wrapper has SO_MEMINFO")]
fn level(fd: RawFd) -> Option<Level> {
    // The order of the values is the system's `SK_MEMINFO_*`.
    let mut values = [0_u32; 9];
    let mut length = libc::socklen_t::try_from(size_of_val(&values)).ok()?;
    // SAFETY: `values` and `length` live until the call is over, and `length` says how many octets may be written.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, values.as_mut_ptr().cast(), &raw mut length)
    };
    let [waiting, room, .., dropped] = values;
    (result == 0).then_some(Level { waiting, room, dropped })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use super::*;

    const FULL: Option<Level> = Some(Level { waiting: 90, room: 100, dropped: 0 });
    const LOW: Option<Level> = Some(Level { waiting: 10, room: 100, dropped: 0 });

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_burst_is_no_overload() {
        let (mut gauge, start) = (Gauge::default(), Instant::now());
        assert_eq!(gauge.note(start, FULL), None);
        assert_eq!(gauge.note(after(start, 150), FULL), None);
        assert_eq!(gauge.note(after(start, 190), LOW), None);
        assert_eq!(gauge.note(after(start, 250), FULL), None, "it counts from anew");
    }

    #[test]
    fn a_buffer_that_stays_full_is_overload_until_it_is_empty() {
        let (mut gauge, start) = (Gauge::default(), Instant::now());
        gauge.note(start, FULL);
        assert_eq!(gauge.note(after(start, 200), FULL), Some(true));
        assert_eq!(gauge.note(after(start, 300), LOW), None, "for a moment it stays so");
        assert_eq!(gauge.note(after(start, 1_200), FULL), None);
        assert_eq!(gauge.note(after(start, 1_300), None), Some(false));
    }

    #[test]
    fn what_is_dropped_between_two_batches_counts_as_full() {
        let (mut gauge, start) = (Gauge::default(), Instant::now());
        for n in 0..4 {
            let told =
                gauge.note(after(start, 100 * n), Some(Level { waiting: 0, room: 100, dropped: 7 * (n as u32 + 1) }));
            assert_eq!(told, (n == 2).then_some(true));
        }
    }

    #[test]
    fn the_system_tells_how_much_waits_and_what_was_lost() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        let empty = level(receiver.as_raw_fd()).unwrap();
        assert_eq!((empty.waiting, empty.dropped), (0, 0));
        for _ in 0..10_000 {
            sender.send_to(&[0; 1_000], to).unwrap();
        }
        let full = level(receiver.as_raw_fd()).unwrap();
        assert!(full.waiting > full.room / 2, "{full:?}");
        assert!(full.dropped > 0, "{full:?}");
    }
}
