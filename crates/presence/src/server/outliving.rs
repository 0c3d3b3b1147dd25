//! How subscriptions outlive a restart: what the store keeps of them, and how their watchers learn of the new run.
//!
//! A NOTIFY never has a CSeq that another one has had: numbers are reserved in the store, many at a time, before they are used. A
//! run begins above all that were reserved.

use std::time::{Duration, Instant};

use sip::transport::Flow;
use sip::{Aor, dialog::Dialog};
use wire::sip::{Host, Uri};

use super::ledger::KNOWS_ALL;
use super::rate::Rates;
use super::record::{Answer, EntityTag, Forgotten, Progress, Record, Watcher};
use super::subscription::{Delivery, Kept, News, Reason, Subscription};
use super::{Due, Mutant, PresenceServer, WatchedList, limits};

impl Kept {
    pub(super) fn new(number: u64, granted: u32, mark: u64, now: Instant) -> Self {
        let reserved = limits::RESERVED;
        Self {
            number,
            version: 0,
            saved: 0,
            reserved,
            granted,
            mark,
            answered_at: now,
            returning: false,
            forgotten: false,
        }
    }
}

impl Subscription {
    /// What the store keeps of it, besides what never changes.
    fn progress(&self, kept: &Kept) -> Progress {
        Progress {
            version: kept.version,
            expires_at: self.expires_at,
            granted: kept.granted,
            mark: kept.mark,
            answered_at: kept.answered_at,
            reserved: kept.reserved,
            remote_cseq: self.dialog.remote_cseq,
            remote_target: self.dialog.remote_target.clone(),
            flow: self.flow,
            rates: self.rates.as_ref().map(|rates| rates.texts()).unwrap_or_default(),
            list: self.list.as_ref().and_then(|list| list.another()),
        }
    }

    /// Whether the way to it leads through a NAT, and was found in an earlier run.
    pub(super) fn is_behind_nat_since_before(&self) -> bool {
        self.kept.is_some_and(|kept| kept.returning) && matches!(self.flow, Some(Flow::Udp { .. }))
    }
}

impl PresenceServer {
    /// A new subscription goes to the store.
    pub(super) fn save_subscription(&mut self, id: u64) {
        let Some(subscription) = self.notifier.subscription(id) else { return };
        let (Some(kept), Some(package)) = (subscription.kept, self.package(subscription.package)) else { return };
        let watcher = Watcher {
            package: package.name.into(),
            dialog: subscription.dialog.clone(),
            uri: subscription.watcher.clone(),
            who: subscription.who.clone(),
            event_id: subscription.event_id.clone(),
            contact_user: subscription.contact_user.clone(),
            list: subscription.list.as_ref().map(|list| list.kept()),
        };
        let (presentity, progress) = (subscription.presentity.clone(), subscription.progress(&kept));
        let (watcher, progress) = (Box::new(watcher), Box::new(progress));
        let saved = self.save(Record::Subscription { presentity, number: kept.number, watcher, progress });
        self.waits_for(id, saved);
    }

    /// A subscription was refreshed.
    pub(super) fn resave_subscription(&mut self, id: u64, granted: u32, mark: u64) {
        let now = self.now;
        let Some(subscription) = self.notifier.subscription_mut(id).filter(|known| known.over.is_none()) else {
            return;
        };
        let Some(kept) = &mut subscription.kept else { return };
        *kept = Kept { granted, mark, answered_at: now, returning: false, ..*kept };
        if !self.is_broken(Mutant::RefreshNotSaved) {
            self.save_progress(id);
        }
    }

    /// Whether the NOTIFY of a subscription has to wait until the store has what it stands for: the subscription itself, and
    /// its number.
    pub(super) fn waits_for_the_store(&mut self, id: u64) -> bool {
        let Some(subscription) = self.notifier.subscription_mut(id) else { return false };
        let next = subscription.dialog.local_cseq.saturating_add(1);
        let Some(kept) = &mut subscription.kept else { return false };
        if next > kept.reserved && !kept.forgotten {
            kept.reserved = next.saturating_add(limits::RESERVED - 1);
            self.save_progress(id);
        }
        let saved = self.notifier.subscription(id).and_then(|subscription| subscription.kept).map(|kept| kept.saved);
        self.holds_notify(saved.unwrap_or_default(), id)
    }

    /// What has changed about a subscription goes to the store.
    fn save_progress(&mut self, id: u64) {
        let Some(subscription) = self.notifier.subscription_mut(id) else { return };
        let Some(kept) = &mut subscription.kept else { return };
        kept.version = kept.version.saturating_add(1);
        let kept = *kept;
        let (presentity, progress) = (subscription.presentity.clone(), Box::new(subscription.progress(&kept)));
        let saved = self.save(Record::Refreshed { presentity, number: kept.number, progress });
        self.waits_for(id, saved);
    }

    /// The store forgets a subscription, which may still have its last NOTIFY to send.
    pub(super) fn unsave_subscription(&mut self, id: u64) {
        let Some(subscription) = self.notifier.subscription_mut(id) else { return };
        let Some(kept) = subscription.kept.as_mut().filter(|kept| !kept.forgotten) else { return };
        kept.forgotten = true;
        let (number, refreshed) = (kept.number, kept.version > 0);
        let presentity = subscription.presentity.clone();
        let saved = self.unsave(Forgotten::Subscription { presentity, number, refreshed });
        self.waits_for(id, saved);
    }

    fn waits_for(&mut self, id: u64, saved: u64) {
        if let Some(kept) = self.notifier.subscription_mut(id).and_then(|subscription| subscription.kept.as_mut()) {
            kept.saved = saved;
        }
    }

    /// Takes back a subscription of an earlier run.
    pub(super) fn watcher_returns(&mut self, presentity: &Aor, number: u64, watcher: Watcher, progress: Progress) {
        let now = self.now;
        let id = self.notifier.next_number(number);
        let index = self.settings.packages.iter().position(|package| package.name == watcher.package);
        // A clock that was set back must not make anything live longer than it was granted.
        let expires_at = progress.expires_at.min(now + Duration::from_secs(progress.granted.into()));
        let lives = expires_at > now && self.serves(presentity.host()) && self.notifier.len() < limits::SUBSCRIPTIONS;
        let lives = lives && !self.is_broken(Mutant::SubscriptionsForgotten);
        let place = index.filter(|_| lives);
        let place = place.and_then(|index| Some((index, self.compositor.presentity_mut(index, presentity)?)));
        let Some((index, place)) = place else {
            self.unsave(Forgotten::Subscription { presentity: presentity.clone(), number, refreshed: true });
            return;
        };
        place.subscriptions.insert(id);
        let Watcher { dialog, uri, who, event_id, contact_user, list, .. } = watcher;
        let (flow, reaches) = way(&progress);
        let named = who.user.clone().or_else(|| Aor::parse(&uri));
        let package = self.package(index);
        let standing = package.and_then(|package| self.standing(&package, presentity, &who, named.as_ref()));
        let is_sent = progress.list.is_some() || matches!(list, Some(WatchedList::Sent(_)));
        let standing = standing.map(|standing| standing.unless_sent(is_sent));
        let tag = EntityTag::new(&dialog.id.local_tag);
        let Progress { version, granted, mark, answered_at, reserved, remote_cseq, remote_target, .. } = progress;
        let first = if self.is_broken(Mutant::NumbersBeginAnew) { dialog.local_cseq } else { reserved };
        let subscription = Subscription {
            package: index,
            presentity: presentity.clone(),
            // The watcher has seen all numbers that were ever reserved, for all we know.
            dialog: Dialog { local_cseq: first, remote_cseq, remote_target, ..dialog },
            watcher: uri,
            who,
            standing: standing.unwrap_or(super::authorization::Standing::Polite),
            event_id,
            contact_user,
            flow,
            astray: false,
            heard: false,
            expires_at,
            kept: Some(Kept { version, reserved, returning: true, ..Kept::new(number, granted, mark, answered_at) }),
            expiry: Some(self.timers.schedule(expires_at, Due::Subscription(id))),
            delivery: if reaches { Delivery::Settled } else { Delivery::Unreachable },
            lane: self.notifier.lane(presentity),
            rates: Rates::again(&progress.rates),
            list: None,
            notified_at: None,
            notifies: 0,
            documents: reserved,
            shown: KNOWS_ALL,
            seen: KNOWS_ALL,
            timeouts: 0,
            failures: 0,
            over: standing.is_none().then_some(Reason::Rejected),
        };
        self.notifier.insert(id, subscription);
        if package.is_some_and(|package| package.remember.is_some()) {
            self.compositor.change(index, presentity);
        }
        self.watchers_changed(index, presentity);
        if let Some(list) = list {
            self.list_returns(id, list, progress.list);
        }
        if reaches && !self.is_broken(Mutant::ReturnNotTold) {
            self.returning.push_back(id);
        }
        if let Some(entity_tag) = tag {
            self.saves.restore(now, Answer { mark, entity_tag, granted, at: answered_at });
        }
    }

    /// Everything of the earlier run is there: its watchers are told how things are now, some at a time.
    pub(super) fn all_returned(&mut self) {
        self.notifier.returned();
        if !self.returning.is_empty() {
            self.timers.schedule(self.now, Due::Returning);
        }
    }

    /// The next watchers of the earlier run are told, unless they have been meanwhile.
    pub(super) fn tell_returning(&mut self) {
        let at_once = limits::RETURNING_PER_SECOND * u32::try_from(limits::RETURNING.as_millis()).unwrap_or(1) / 1000;
        let mut left = at_once.max(1);
        while left > 0
            && let Some(id) = self.returning.pop_front()
        {
            if self.notifier.subscription(id).is_some_and(|subscription| subscription.notifies == 0) {
                self.ask_members(id);
                self.notifier.state_changed(id, News::Asked, &mut self.timers);
                left -= 1;
            }
        }
        if self.returning.is_empty() {
            self.returning.shrink_to_fit();
        } else {
            self.timers.schedule(self.now + limits::RETURNING, Due::Returning);
        }
    }
}

/// The flow to a watcher of an earlier run, and whether there is a way to it: a stream is gone with the run that held it, and
/// what stands in the Contact of a watcher behind a NAT leads nowhere.
fn way(progress: &Progress) -> (Option<Flow>, bool) {
    match progress.flow {
        Some(Flow::Stream { remote, .. }) => {
            let uri = Uri::parse(progress.remote_target.as_bytes());
            let is_there = uri.is_ok_and(|uri| match uri.host() {
                Host::Address(address) => address == remote.ip(),
                Host::Name(_) => true,
                Host::None => false,
            });
            (None, is_there)
        }
        Some(Flow::Internal) => (None, false),
        Some(Flow::Udp { .. }) | None => (progress.flow, true),
    }
}
