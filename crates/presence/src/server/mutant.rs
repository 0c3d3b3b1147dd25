//! Faults that are made on purpose, so that tests can show that they would find them.

use super::PresenceServer;

/// A deliberate fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// Nobody is told that a document is another one.
    ChangeNotTold,
    /// What changes while a NOTIFY is on its way is not told after it.
    NewsForgotten,
    /// A NOTIFY that got no answer is not sent again.
    NoRetry,
    /// A NOTIFY that got no answer is the last.
    OneTimeoutIsTheEnd,
    /// Who ends a subscription is not told so.
    EndNotTold,
    /// A subscription of an earlier run is not taken back.
    SubscriptionsForgotten,
    /// Watchers of an earlier run are not told how things are.
    ReturnNotTold,
    /// After a restart the NOTIFYs of a subscription are numbered from 1.
    NumbersBeginAnew,
    /// What a refresh has changed is not written down.
    RefreshNotSaved,
    /// Nobody is told that a publication has run out.
    ExpiryNotTold,
    /// A publication of an earlier run is not taken back.
    PublicationsForgotten,
    /// Who may watch no longer goes on watching.
    RightsStay,
    /// The watchers of a list are not told that the document of one on it is another.
    MembersNotTold,
    /// What a NOTIFY about a list said that got no answer is not told again.
    LostMembersForgotten,
    /// Watchers of a list of the configuration are not told that it is another.
    ListsStay,
    /// Who asks anew from elsewhere is told only after what is on its way to where it was.
    OldWayAwaited,
    /// Who is watched is not told that somebody watches, or does so no longer.
    WatchersNotTold,
}

impl PresenceServer {
    /// Breaks it on purpose.
    pub fn mutate(&mut self, mutant: Mutant) {
        self.mutant = Some(mutant);
    }

    pub(super) fn is_broken(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}
