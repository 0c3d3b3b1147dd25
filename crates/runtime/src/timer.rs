//! One alarm per worker, set to when its machine wants to be woken.

use std::cell::Cell;
use std::time::Instant;

use tokio::sync::Notify;

/// The alarm.
#[derive(Default)]
pub(crate) struct Alarm {
    at: Cell<Option<Instant>>,
    earlier: Notify,
}

impl Alarm {
    /// Sets it to ring at `next` at the latest. A later time than before costs nothing: it rings once in vain.
    pub(crate) fn set(&self, next: Option<Instant>) {
        let Some(next) = next else { return };
        if self.at.get().is_none_or(|at| next < at) {
            self.at.set(Some(next));
            self.earlier.notify_one();
        }
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
