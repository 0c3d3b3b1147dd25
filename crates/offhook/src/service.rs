//! What the service manager is told (sd_notify); nothing where there is none.

use sd_notify::NotifyState;

/// Everything is served.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read anew; [`ready`] follows, however that ends.
pub(crate) fn reloading() {
    // The manager asks for the time at which it began (`Type=notify-reload`).
    match NotifyState::monotonic_usec_now() {
        Ok(began) => tell(&[NotifyState::Reloading, began]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// An orderly stop has begun or goes on, and may take so long yet.
pub(crate) fn stopping(status: &str, left: std::time::Duration) {
    let left = u32::try_from(left.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(left), NotifyState::Status(status)]);
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
