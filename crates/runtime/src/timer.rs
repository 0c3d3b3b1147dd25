//! One alarm per worker, set to when its machine wants to be woken.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::limits;

/// The alarm.
pub(crate) struct Alarm {
    /// What the grain is counted from.
    start: Instant,
    at: Cell<Option<Instant>>,
    earlier: Notify,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { start: Instant::now(), at: Cell::new(None), earlier: Notify::new() }
    }
}

impl Alarm {
    /// Sets it to ring for `next`, which may be as much later as [`limits::ALARM_GRAIN`] unless it is past. A later time
    /// than before costs nothing: it rings once in vain.
    pub(crate) fn set(&self, now: Instant, next: Option<Instant>) {
        let Some(next) = next else { return };
        let next = if next > now { self.rounded_up(next) } else { next };
        if self.at.get().is_none_or(|at| next < at) {
            self.at.set(Some(next));
            self.earlier.notify_one();
        }
    }

    /// Thousands of transactions end in a second, each at a time of its own: a wake-up takes along all that are near it.
    fn rounded_up(&self, at: Instant) -> Instant {
        let grain = limits::ALARM_GRAIN.as_nanos();
        let past = at.saturating_duration_since(self.start).as_nanos() % grain;
        let missing = if past == 0 { 0 } else { grain - past };
        at + Duration::from_nanos(u64::try_from(missing).unwrap_or(0))
    }

    /// Waits until it rings.
    pub(crate) async fn rings(&self) {
        loop {
            match self.at.get() {
                None => self.earlier.notified().await,
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => {
                        self.at.set(None);
                        return;
                    }
                    () = self.earlier.notified() => {}
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_near_one_another_are_one_and_none_is_early() {
        let alarm = Alarm::default();
        let at = |micros: u64| alarm.start + Duration::from_micros(micros);
        let grain = u64::try_from(limits::ALARM_GRAIN.as_micros()).unwrap();
        alarm.set(at(0), Some(at(3 * grain - 1)));
        assert_eq!(alarm.at.get(), Some(at(3 * grain)));
        alarm.set(at(0), Some(at(2 * grain + 1)));
        assert_eq!(alarm.at.get(), Some(at(3 * grain)));
        alarm.set(at(0), Some(at(2 * grain)));
        assert_eq!(alarm.at.get(), Some(at(2 * grain)));
        // What is due already does not wait.
        alarm.set(at(grain + 7), Some(at(grain + 5)));
        assert_eq!(alarm.at.get(), Some(at(grain + 5)));
    }
}
