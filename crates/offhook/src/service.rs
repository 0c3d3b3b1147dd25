//! What the service manager is told (sd_notify); nothing where there is none.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

/// How long the end of the program waits for a manager that does not listen.
const PATIENCE: Duration = Duration::from_millis(200);

/// What may wait for the manager to listen; what comes beyond is not said.
const WAITING: usize = 64;

/// One thing to tell.
enum Told {
    Ready(String),
    /// With the time at which it began, for which the manager asks (`Type=notify-reload`).
    Reloading(Option<NotifyState<'static>>),
    /// With the microseconds that it may take yet.
    Stopping(String, u32),
    /// Nothing: whoever waits for it knows that all before it was told.
    All(SyncSender<()>),
}

/// Everything is served.
pub(crate) fn ready(status: &str) {
    tell(Told::Ready(status.to_owned()));
}

/// The configuration is being read anew; [`ready`] follows, however that ends.
pub(crate) fn reloading() {
    tell(Told::Reloading(NotifyState::monotonic_usec_now().ok()));
}

/// An orderly stop has begun or goes on, and may take so long yet.
pub(crate) fn stopping(status: &str, left: Duration) {
    tell(Told::Stopping(status.to_owned(), u32::try_from(left.as_micros()).unwrap_or(u32::MAX)));
}

/// The program ends: what is still to be told is told now.
pub(crate) fn finish() {
    let (told, all) = sync_channel(1);
    tell(Told::All(told));
    // Without a manager there is nothing to wait for, and this ends at once.
    let _ = all.recv_timeout(PATIENCE);
}

/// To tell the manager waits while its socket is full. It is told on a thread of its own, so that one which does not listen
/// holds up neither the start nor a stop.
fn tell(what: Told) {
    static TELLER: OnceLock<Option<SyncSender<Told>>> = OnceLock::new();
    let teller = TELLER.get_or_init(|| {
        std::env::var_os("NOTIFY_SOCKET")?;
        let (sender, receiver) = sync_channel(WAITING);
        thread::Builder::new().name("manager".into()).spawn(move || tell_all(&receiver)).ok()?;
        Some(sender)
    });
    if let Some(teller) = teller
        && teller.try_send(what).is_err()
    {
        tracing::warn!("the service manager does not listen");
    }
}

fn tell_all(receiver: &Receiver<Told>) {
    for what in receiver {
        let told = match &what {
            Told::Ready(status) => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)]),
            Told::Reloading(Some(began)) => sd_notify::notify(&[NotifyState::Reloading, began.clone()]),
            Told::Reloading(None) => sd_notify::notify(&[NotifyState::Reloading]),
            Told::Stopping(status, left) => {
                let left = NotifyState::ExtendTimeoutUsec(*left);
                sd_notify::notify(&[NotifyState::Stopping, left, NotifyState::Status(status)])
            }
            Told::All(told) => {
                // Who waited has gone when it took too long.
                let _ = told.send(());
                Ok(())
            }
        };
        if let Err(error) = told {
            tracing::warn!(%error, "the service manager could not be told");
        }
    }
}
