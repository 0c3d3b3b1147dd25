//! The notifier: SUBSCRIBE and NOTIFY by RFC 6665 section 4.2.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::dialog::Dialog;
use sip::timer::Wheel;
use sip::transaction::ServerKey;
use sip::transport::Flow;
use sip::{Aor, ContactUser, KeyedMap, KeyedState, NumberMap, Response};
use wire::sip::{Contact, HeaderName, Headers, Host, Message, Method};

use super::authorization::{Standing, watcher};
use super::ledger::KNOWS_ALL;
use super::list::{Asked, announce_list};
use super::publish::shortened_uri;
use super::queue::{Lane, Queue};
use super::rate::Rates;
use super::refusal::{Refusal, Subject, understood};
use super::report::name_of;
use super::subscription::{Delivery, Kept, News, Reason, Subscription};
use super::{Due, EventPackage, Identity, Mutant, NotifyKey, Output, PresenceServer, Report, View, limits, winfo};

/// All subscriptions.
#[derive(Debug)]
pub(super) struct Notifier {
    keyed: KeyedState,
    /// What lies in the table has one word there, so that its empty places cost little.
    subscriptions: NumberMap<Box<Subscription>>,
    /// By the tag that we gave the dialog: unguessable, and never given twice.
    by_tag: KeyedMap<Box<str>, u64>,
    numbered: u64,
    /// The highest number that the store knows a subscription of an earlier run by.
    stored: u64,
    /// Subscriptions whose NOTIFY is due.
    queue: Queue,
    /// How many of them may still leave before other work has its turn.
    turn: u32,
    /// How much each user watches.
    watchers: KeyedMap<Aor, Usage>,
    /// How many subscriptions each peer has.
    peers: BTreeMap<Arc<str>, usize>,
    /// The time of the last input, and the shortest time between two NOTIFYs.
    now: Instant,
    interval: Duration,
}

/// How much a user watches.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    subscriptions: usize,
    /// Of lists.
    members: usize,
}

/// What a watcher is granted.
struct Granted {
    standing: Standing,
    seconds: u32,
    list: Option<Asked>,
}

impl PresenceServer {
    /// A SUBSCRIBE arrived; if it begins a dialog, this is our tag in it.
    pub(super) fn subscribe(
        &mut self,
        tag: &str,
        key: ServerKey,
        message: &Message<'_>,
        flow: Flow,
        presentity: Option<Aor>,
        who: &Identity,
    ) {
        let saved = self.saves.issued();
        let answered = match message.to_tag() {
            Some(tag) => self.resubscribed(tag, message, flow, who),
            None => self.subscribed(tag, message, flow, presentity, who),
        };
        let response = answered.map(|accepted| self.naming_packages(accepted)).unwrap_or_else(|refusal| {
            let uri = shortened_uri(message);
            self.report(Report::SubscribeRefused { uri, by: name_of(who), code: refusal.code, why: refusal.why });
            refusal.response()
        });
        self.answer(key, response, saved);
    }

    /// Whatever answers a request that begins a dialog says which packages there are (RFC 6665 section 4.4.4).
    fn naming_packages(&self, mut response: Response) -> Response {
        response.headers.push(HeaderName::AllowEvents, &*self.watchable);
        response
    }

    /// An initial SUBSCRIBE: a new subscription, or with `Expires: 0` a fetch.
    fn subscribed(
        &mut self,
        tag: &str,
        message: &Message<'_>,
        flow: Flow,
        presentity: Option<Aor>,
        who: &Identity,
    ) -> Result<Response, Refusal> {
        let subject = self.subject(message, presentity, false)?;
        let package = self.package(subject.package).ok_or_else(|| Refusal::new(500, "no such package"))?;
        let Granted { standing, seconds: granted, list } = self.watched(&subject, &package, message, who, false)?;
        let event_id = message.event().and_then(|event| event.id);
        if event_id.is_some_and(|id| id.len() > limits::TOKEN) {
            return Err(Refusal::new(400, "the Event id is too long"));
        }
        let mark = self.saves.mark(message);
        if let Some(again) = self.saves.answered(self.now, mark) {
            let contact_user = Some(subject.presentity.user().into());
            let tag = Some(again.entity_tag.as_str());
            return Ok(accepted(again.granted, contact_user, tag, list.is_some()));
        }
        let dialog = Dialog::uas(message, tag)?;
        self.saves.keeps_up()?;
        let id = self.admit(&subject, who, list.as_ref().map_or(0, Asked::len))?;
        let expires_at = self.now + Duration::from_secs(granted.into());
        let expiry = (granted > 0).then(|| self.timers.schedule(expires_at, Due::Subscription(id)));
        let contact_user = Some(subject.presentity.user().into());
        let subscription = Subscription {
            package: subject.package,
            contact_user,
            presentity: subject.presentity.clone(),
            watcher: message.from().map(|from| from.uri.as_str().into()).unwrap_or_default(),
            who: who.clone(),
            standing,
            flow: direct(message, flow),
            astray: false,
            heard: false,
            event_id: event_id.map(Into::into),
            dialog,
            expires_at,
            kept: (granted > 0).then(|| Kept::new(id, granted, mark, self.now)),
            expiry,
            delivery: Delivery::Settled,
            lane: self.notifier.lane(&subject.presentity),
            rates: message.event().and_then(|event| Rates::granted(&event, self.settings.notify_interval)),
            list: None,
            notified_at: None,
            notifies: 0,
            documents: 0,
            shown: KNOWS_ALL,
            seen: KNOWS_ALL,
            timeouts: 0,
            failures: 0,
            over: (granted == 0).then_some(Reason::Timeout),
        };
        let response = accepted(granted, subscription.contact_user.clone(), Some(tag), list.is_some());
        let (index, presentity) = (subscription.package, subscription.presentity.clone());
        self.notifier.insert(id, subscription);
        if let Some(asked) = list {
            self.list_begins(id, asked);
        }
        self.save_subscription(id);
        self.notifier.state_changed(id, News::Asked, &mut self.timers);
        if package.remember.is_some() {
            // What this watcher is shown may not have been remembered yet.
            self.compositor.change(index, &presentity);
        }
        self.watchers_changed(index, &presentity);
        Ok(response)
    }

    /// The number of a new subscription, if there is room for it.
    fn admit(&mut self, subject: &Subject, who: &Identity, members: usize) -> Result<u64, Refusal> {
        if self.notifier.len() >= limits::SUBSCRIPTIONS {
            return Err(Refusal::overloaded("too many subscriptions"));
        }
        let Usage { subscriptions, members: others } = self.notifier.usage(who);
        if subscriptions >= limits::SUBSCRIPTIONS_PER_WATCHER || others + members > limits::MEMBERS_PER_WATCHER {
            return Err(Refusal::full("too many subscriptions of one watcher"));
        }
        if self.notifier.of_peer(who) >= self.settings.share.subscriptions {
            return Err(Refusal::full("too many subscriptions of one peer"));
        }
        if self.crowds(subject.package, &subject.presentity, who) {
            return Err(Refusal::full("too many subscriptions of one watcher to one presentity"));
        }
        let presentity = self
            .compositor
            .presentity_mut(subject.package, &subject.presentity)
            .ok_or_else(|| Refusal::overloaded("too many presentities"))?;
        if presentity.subscriptions.len() >= limits::SUBSCRIPTIONS_PER_PRESENTITY {
            return Err(Refusal::full("too many subscriptions to one presentity"));
        }
        let id = self.notifier.next_id();
        presentity.subscriptions.insert(id);
        Ok(id)
    }

    /// Whether a user would take more of a presentity's room than is left to one. They are counted only where it is scarce.
    pub(super) fn crowds(&mut self, package: usize, presentity: &Aor, who: &Identity) -> bool {
        let Some(user) = &who.user else { return false };
        let Some(known) = self.compositor.known_mut(package, presentity) else { return false };
        if known.subscriptions.len() < limits::SUBSCRIPTIONS_PER_PRESENTITY / 2 {
            return false;
        }
        let of = |id: &u64| match self.notifier.subscription(*id) {
            Some(subscription) => subscription.who.user.as_ref(),
            None => self.followers.user(*id),
        };
        let theirs = known.subscriptions.iter().filter(|id| of(id) == Some(user));
        theirs.take(limits::SUBSCRIPTIONS_OF_ONE_TO_ONE).count() >= limits::SUBSCRIPTIONS_OF_ONE_TO_ONE
    }

    /// A SUBSCRIBE within a dialog: a refresh, or with `Expires: 0` the end.
    fn resubscribed(
        &mut self,
        tag: &str,
        message: &Message<'_>,
        flow: Flow,
        who: &Identity,
    ) -> Result<Response, Refusal> {
        let gone = || Refusal::new(481, "no such subscription");
        let id = self.notifier.of_dialog(tag, message).ok_or_else(gone)?;
        let subscription = self.notifier.subscriptions.get_mut(&id).ok_or_else(gone)?;
        let subject = Subject { package: subscription.package, presentity: subscription.presentity.clone() };
        let package = self.settings.packages.get(subject.package).copied().ok_or_else(gone)?;
        let same_event =
            message.event().is_some_and(|e| e.package == package.name && e.id == subscription.event_id.as_deref());
        if !same_event || subscription.over.is_some() || !subscription.is_of(who) {
            return Err(gone());
        }
        understood(&message.option_tags(HeaderName::Require).collect::<Vec<_>>(), false)?;
        let is_list = subscription.list.is_some();
        let Granted { standing, seconds: granted, list } = self.watched(&subject, &package, message, who, is_list)?;
        let mark = self.saves.mark(message);
        let again = self.saves.answered(self.now, mark);
        let subscription = self.notifier.subscriptions.get_mut(&id).ok_or_else(gone)?;
        if let Some(again) = again {
            return Ok(accepted(again.granted, subscription.contact_user.clone(), None, is_list));
        }
        self.saves.keeps_up()?;
        let stays = self.mutant == Some(Mutant::OldWayAwaited);
        let way_before = matches!(subscription.delivery, Delivery::Sent { .. }).then(|| subscription.way());
        subscription.dialog.accept(message)?;
        subscription.standing = standing;
        let rates = message.event().and_then(|event| Rates::granted(&event, self.settings.notify_interval));
        let old = std::mem::replace(&mut subscription.rates, rates);
        if let Some(timer) = old.and_then(|old| old.timer) {
            self.timers.cancel(timer);
        }
        subscription.flow = direct(message, flow).or(subscription.flow.filter(|_| message.contact().is_none()));
        (subscription.astray, subscription.heard) = (false, true);
        subscription.expires_at = self.now + Duration::from_secs(granted.into());
        (subscription.timeouts, subscription.failures) = (0, 0);
        // It can be reached; and what is on its way where it no longer is would only hold up what it has asked for.
        let has_moved = way_before.is_some_and(|before| before != subscription.way()) && !stays;
        if has_moved || matches!(subscription.delivery, Delivery::Unreachable) {
            subscription.delivery = Delivery::Settled;
        }
        if let Some(old) = subscription.expiry.take() {
            self.timers.cancel(old);
        }
        let response = accepted(granted, subscription.contact_user.clone(), None, is_list);
        if granted == 0 {
            subscription.over = Some(Reason::Timeout);
            if self.mutant == Some(Mutant::EndNotTold) {
                self.forget(id);
                return Ok(response);
            }
            // What is answered is true after a crash, too, however long the last NOTIFY has to wait for the one before it.
            self.unsave_subscription(id);
        } else {
            subscription.expiry = Some(self.timers.schedule(subscription.expires_at, Due::Subscription(id)));
            if is_list {
                self.list_refreshed(id, list);
            }
            self.resave_subscription(id, granted, mark);
        }
        self.send_now(id);
        Ok(response)
    }

    /// What a watcher is granted and for how many seconds, if it may watch and understands what it will be sent.
    fn watched(
        &self,
        subject: &Subject,
        package: &EventPackage,
        message: &Message<'_>,
        who: &Identity,
        is_list: bool,
    ) -> Result<Granted, Refusal> {
        let watcher = watcher(who, message);
        let standing = self
            .standing(package, &subject.presentity, who, watcher.as_ref())
            .ok_or_else(|| Refusal::new(403, "may not watch this presentity"))?;
        let list = self.asked_list(subject, package, message, is_list, standing)?;
        let is_sent = list.as_ref().is_some_and(Asked::is_sent);
        let standing = standing.unless_sent(is_sent);
        if !message.accepts(package.media_type) {
            return Err(
                Refusal::new(406, "does not accept what is notified").with(HeaderName::Accept, package.media_type)
            );
        }
        Ok(Granted { standing, seconds: self.granted(message, package)?, list })
    }

    /// A response to a NOTIFY arrived.
    pub(super) fn notify_answered(&mut self, key: NotifyKey, message: &Message<'_>) {
        let Some(status) = message.status() else { return };
        match status.code {
            100..200 => {}
            200..300 => self.notify_delivered(key),
            code => {
                let retry_after = message.retry_after().map(|seconds| Duration::from_secs(seconds.into()));
                self.notify_failed(key, Some(code), retry_after);
            }
        }
    }

    fn notify_delivered(&mut self, key: NotifyKey) {
        let is_deaf = self.is_broken(Mutant::NewsForgotten);
        let Some(subscription) = self.notifier.awaiting(key) else { return };
        (subscription.timeouts, subscription.failures) = (0, 0);
        if std::mem::take(&mut subscription.astray) {
            subscription.flow = None;
        }
        subscription.seen = subscription.shown;
        if let Some(kept) = &mut subscription.kept {
            kept.returning = false;
        }
        let Delivery::Sent { mut news, .. } = subscription.delivery else { return };
        if subscription.list.as_ref().is_some_and(|list| list.has_more()) {
            // What did not fit is part of what was asked for.
            news = News::Asked;
        }
        subscription.delivery = Delivery::Settled;
        if news > News::Nothing && !is_deaf {
            self.notifier.state_changed(key.subscription, news, &mut self.timers);
        }
    }

    /// A NOTIFY was refused or got no answer. A subscription whose dialog or usage is gone is removed; any other failure
    /// may pass, and until then the watcher would show what is not true: the newest state is sent again.
    pub(super) fn notify_failed(&mut self, key: NotifyKey, code: Option<u16>, retry_after: Option<Duration>) {
        let now = self.now;
        let allowed = if self.is_broken(Mutant::OneTimeoutIsTheEnd) { 0 } else { self.settings.notify_timeouts };
        let gives_up = self.is_broken(Mutant::NoRetry);
        let forgets_members = self.is_broken(Mutant::LostMembersForgotten);
        let Some(subscription) = self.notifier.awaiting(key) else { return };
        if let Some(list) = subscription.list.as_mut().filter(|_| !forgets_members) {
            list.start_over();
        }
        let was_heard = code.is_none() && subscription.heard;
        // The connection may be gone; its remote target can still be reached by a new one.
        let has_stream = code.is_none() && matches!(subscription.flow, Some(Flow::Stream { .. }));
        subscription.astray = has_stream && !was_heard && !subscription.astray;
        let lost = match code {
            Some(code) => is_gone(code) && (code == 481 || retry_after.is_none()),
            None => subscription.timeouts >= allowed,
        };
        if lost {
            self.lose(key.subscription, code);
            return;
        }
        // It was not yet the last one, which tells that it is over, and of which nobody waits for what becomes of it; or the
        // watcher has asked anew meanwhile; or there is a way that was not tried yet. Nothing is to be waited for.
        if subscription.over.is_some() || was_heard || subscription.astray {
            subscription.delivery = Delivery::Settled;
            self.send_now(key.subscription);
            return;
        }
        if code.is_none() && subscription.is_behind_nat_since_before() {
            // Its NAT has forgotten the way; whoever is there comes back.
            subscription.delivery = Delivery::Unreachable;
            return;
        }
        let pause = subscription.pause_after(code, retry_after);
        if gives_up {
            subscription.delivery = Delivery::Settled;
            return;
        }
        let retry = self.timers.schedule(now + pause, Due::Notify(key.subscription));
        subscription.delivery = Delivery::Waiting { retry };
    }

    /// The pause after a failed NOTIFY is over.
    pub(super) fn notify_again(&mut self, id: u64) {
        self.send_now(id);
    }

    /// A subscription's time is over.
    pub(super) fn subscription_expired(&mut self, id: u64) {
        let Some(subscription) = self.notifier.subscriptions.get_mut(&id) else { return };
        subscription.expiry = None;
        if subscription.over.is_some() {
            return;
        }
        subscription.over = Some(Reason::Timeout);
        let is_unreachable = matches!(subscription.delivery, Delivery::Unreachable);
        let report = Report::SubscriptionExpired {
            presentity: subscription.presentity.clone(),
            watcher: subscription.watcher.clone(),
        };
        self.report(report);
        if is_unreachable {
            self.forget(id);
        } else {
            self.send_now(id);
        }
    }

    /// The server stops: every watcher is told so, unless the next run takes up where this one ends.
    pub(super) fn stop(&mut self) {
        if self.settings.outlives {
            return;
        }
        for id in self.notifier.ids() {
            if let Some(subscription) = self.notifier.subscriptions.get_mut(&id) {
                subscription.over.get_or_insert(Reason::Probation);
                self.send_now(id);
            }
        }
    }

    /// The next NOTIFY that is due.
    pub(super) fn next_notify(&mut self) -> Option<Output> {
        while let Some(id) = self.notifier.next() {
            if self.waits_for_the_store(id) {
                continue;
            }
            let list = self.next_list(id);
            let body = if list.is_some() { None } else { self.next_document(id) };
            if list.is_none() && body.is_none() {
                continue;
            }
            let Some(subscription) = self.notifier.subscriptions.get_mut(&id) else { continue };
            let Some(package) = self.settings.packages.get(subscription.package) else { continue };
            let mut request = subscription.dialog.request(Method::Notify);
            let headers = &mut request.headers;
            match &subscription.event_id {
                Some(event_id) => headers.push_fmt(HeaderName::Event, format_args!("{};id={event_id}", package.name)),
                None => headers.push(HeaderName::Event, package.name),
            };
            headers.push(HeaderName::SubscriptionState, subscription.state(self.now));
            if let Some(list) = list {
                announce_list(headers);
                headers.push(HeaderName::ContentType, list.content_type);
                request.body = list.body;
            } else if let Some(body) = body {
                headers.push(HeaderName::ContentType, package.media_type);
                request.body = body;
            }
            request.contact = Some(contact(subscription.contact_user.clone()));
            let number = subscription.notifies;
            subscription.notifies = number.wrapping_add(1);
            subscription.delivery = Delivery::Sent { number, news: News::Nothing };
            subscription.notified_at = Some(self.now);
            subscription.heard = false;
            if let Some(rates) = &mut subscription.rates {
                let next = rates.longest().filter(|_| subscription.over.is_none()).map(|longest| self.now + longest);
                let next = next.map(|at| self.timers.schedule(at, Due::Silence(id)));
                if let Some(old) = std::mem::replace(&mut rates.timer, next) {
                    self.timers.cancel(old);
                }
            }
            let target = subscription.way();
            if subscription.over.is_some() {
                // Its last NOTIFY: whatever becomes of it, there is nothing left to do.
                self.forget(id);
            }
            return Some(Output::Send { key: NotifyKey { subscription: id, number }, target, request });
        }
        None
    }

    /// Sends the newest state as soon as no other NOTIFY is on its way.
    pub(super) fn send_now(&mut self, id: u64) {
        if let Some(subscription) = self.notifier.subscriptions.get_mut(&id)
            && let Delivery::Waiting { retry } = subscription.delivery
        {
            self.timers.cancel(retry);
            subscription.delivery = Delivery::Settled;
        }
        self.notifier.state_changed(id, News::Asked, &mut self.timers);
        self.watcher_changed(id);
    }

    /// A subscription whose watcher does not take its NOTIFYs is removed without another.
    fn lose(&mut self, id: u64, code: Option<u16>) {
        if let Some(lost) = self.forget(id)
            && lost.over.is_none()
        {
            self.report(Report::SubscriptionLost { presentity: lost.presentity, watcher: lost.watcher, code });
        }
    }

    pub(super) fn forget(&mut self, id: u64) -> Option<Box<Subscription>> {
        self.unsave_subscription(id);
        let subscription = self.notifier.remove(id)?;
        if let Some(expiry) = subscription.expiry {
            self.timers.cancel(expiry);
        }
        if let Delivery::Waiting { retry } = subscription.delivery {
            self.timers.cancel(retry);
        }
        if let Some(timer) = subscription.rates.as_ref().and_then(|rates| rates.timer) {
            self.timers.cancel(timer);
        }
        if subscription.list.is_some() {
            self.outputs.push_back(Output::Unfollow { list: id });
        }
        self.compositor.unsubscribed(subscription.package, &subscription.presentity, id);
        if subscription.standing == Standing::Pending && matches!(subscription.over, None | Some(Reason::Timeout)) {
            let watcher = winfo::watcher(id, &subscription);
            let who = (subscription.who.clone(), subscription.watcher_aor());
            self.waits(id, subscription.package, &subscription.presentity, who, watcher);
        }
        self.watchers_changed(subscription.package, &subscription.presentity);
        Some(subscription)
    }
}

impl Notifier {
    pub(super) fn new(keyed: KeyedState, now: Instant) -> Self {
        Self {
            keyed,
            subscriptions: NumberMap::default(),
            by_tag: KeyedMap::with_hasher(keyed),
            numbered: 1,
            stored: 0,
            queue: Queue::new(),
            turn: 0,
            watchers: KeyedMap::with_hasher(keyed),
            peers: BTreeMap::new(),
            now,
            interval: Duration::ZERO,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.subscriptions.len()
    }

    pub(super) fn insert(&mut self, id: u64, subscription: Subscription) {
        self.by_tag.insert(subscription.dialog.id.local_tag.clone(), id);
        if let Some(user) = &subscription.who.user {
            self.watchers.get_or_default(user.clone()).subscriptions += 1;
        }
        if let Some(peer) = &subscription.who.peer {
            *self.peers.entry(Arc::clone(peer)).or_default() += 1;
        }
        self.subscriptions.insert(id, Box::new(subscription));
    }

    fn remove(&mut self, id: u64) -> Option<Box<Subscription>> {
        let subscription = self.subscriptions.remove(&id)?;
        self.by_tag.remove(subscription.dialog.id.local_tag.as_ref());
        if let Some(user) = &subscription.who.user
            && let Some(usage) = self.watchers.get_mut(user)
        {
            usage.subscriptions = usage.subscriptions.saturating_sub(1);
            usage.members = usage.members.saturating_sub(subscription.list.as_ref().map_or(0, |list| list.len()));
            if usage.subscriptions == 0 {
                self.watchers.remove(user);
            }
        }
        if let Some(count) = subscription.who.peer.as_ref().and_then(|peer| self.peers.get_mut(peer)) {
            *count = count.saturating_sub(1);
        }
        Some(subscription)
    }

    /// How many subscriptions a peer has, for all whom it speaks for.
    fn of_peer(&self, who: &Identity) -> usize {
        who.peer.as_ref().and_then(|peer| self.peers.get(peer)).copied().unwrap_or_default()
    }

    /// How much a user watches.
    fn usage(&self, who: &Identity) -> Usage {
        who.user.as_ref().and_then(|user| self.watchers.get(user)).copied().unwrap_or_default()
    }

    /// A list that a user watches has become longer or shorter.
    pub(super) fn list_resized(&mut self, who: &Identity, before: usize, now: usize) {
        if let Some(usage) = who.user.as_ref().and_then(|user| self.watchers.get_mut(user)) {
            usage.members = (usage.members + now).saturating_sub(before);
        }
    }

    /// The number of a new subscription, or of a member of a list.
    pub(super) fn next_id(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered - 1
    }

    pub(super) fn lane(&self, presentity: &Aor) -> Lane {
        Lane::of(self.keyed.hash_one(presentity.as_str()))
    }

    /// An input comes: how many NOTIFYs may leave after it. Inputs of one moment share a turn, of which each has a little.
    pub(super) fn turn(&mut self, now: Instant, before: Instant, interval: Duration) {
        self.turn = if now > before { limits::NOTIFIES_AT_ONCE } else { self.turn.max(limits::NOTIFIES_PER_INPUT) };
        (self.now, self.interval) = (now, interval);
    }

    /// Whether NOTIFYs wait for their next turn.
    pub(super) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next subscription whose NOTIFY leaves; none once the turn is over.
    fn next(&mut self) -> Option<u64> {
        let left = self.turn.checked_sub(1)?;
        let next = self.queue.pop()?;
        self.turn = left;
        Some(next)
    }

    /// There is something new for a watcher: it is queued, waits until the watcher's rate allows it, or follows the NOTIFY
    /// that is on its way.
    pub(super) fn state_changed(&mut self, id: u64, new: News, timers: &mut Wheel<Due>) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        match &mut subscription.delivery {
            Delivery::Settled => {
                let asked = subscription.rates.as_ref().and_then(|rates| rates.shortest());
                let earliest = subscription.notified_at.map(|last| last + asked.unwrap_or(self.interval));
                match earliest.filter(|at| *at > self.now && new < News::Asked) {
                    Some(at) => {
                        let retry = timers.schedule(at, Due::Notify(id));
                        subscription.delivery = Delivery::Waiting { retry };
                    }
                    None => {
                        subscription.delivery = Delivery::Queued;
                        self.queue.push(subscription.lane, id);
                    }
                }
            }
            Delivery::Sent { news, .. } => *news = new.max(*news),
            Delivery::Queued | Delivery::Waiting { .. } | Delivery::Unreachable => {}
        }
    }

    /// The store has what a NOTIFY in the queue waited for.
    pub(super) fn due_now(&mut self, id: u64) {
        if let Some(subscription) = self.subscriptions.get(&id) {
            self.queue.push(subscription.lane, id);
        }
    }

    /// A number for a subscription of an earlier run, which the store knows by another.
    pub(super) fn next_number(&mut self, stored: u64) -> u64 {
        self.stored = self.stored.max(stored);
        self.numbered += 1;
        self.numbered - 1
    }

    /// All of an earlier run are there: what is new is told from them in the store.
    pub(super) fn returned(&mut self) {
        self.numbered = self.numbered.max(self.stored + 1);
    }

    /// A document is another one: those watchers learn of it that are shown it. Whether there is such a watcher.
    pub(super) fn document_changed(
        &mut self,
        id: u64,
        package: &EventPackage,
        view: View,
        timers: &mut Wheel<Due>,
    ) -> bool {
        let Some(subscription) = self.subscriptions.get(&id) else { return false };
        let shown = subscription.view().filter(|_| subscription.list.is_none());
        if shown.is_some_and(|shown| package.view(shown) == view) {
            self.state_changed(id, News::Changed, timers);
        }
        true
    }

    /// The numbers of all subscriptions, ascending.
    pub(super) fn ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.subscriptions.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn subscription(&self, id: u64) -> Option<&Subscription> {
        self.subscriptions.get(&id).map(Box::as_ref)
    }

    pub(super) fn subscription_mut(&mut self, id: u64) -> Option<&mut Subscription> {
        self.subscriptions.get_mut(&id).map(Box::as_mut)
    }

    /// The subscription that awaits the answer to this NOTIFY.
    fn awaiting(&mut self, key: NotifyKey) -> Option<&mut Subscription> {
        let subscription = self.subscriptions.get_mut(&key.subscription)?;
        let is_it = matches!(subscription.delivery, Delivery::Sent { number, .. } if number == key.number);
        is_it.then_some(subscription)
    }

    /// The subscription of a dialog, by all three of its marks (RFC 3261 section 12).
    fn of_dialog(&self, tag: &str, message: &Message<'_>) -> Option<u64> {
        let id = *self.by_tag.get(tag)?;
        let dialog = &self.subscriptions.get(&id)?.dialog.id;
        let same_call = message.call_id().is_ok_and(|call_id| call_id == &*dialog.call_id);
        let same_peer = message.from_tag().unwrap_or_default() == &*dialog.remote_tag;
        (same_call && same_peer).then_some(id)
    }
}

/// Whether a final answer to NOTIFY says that the usage, or its dialog, is gone (RFC 6665 section 4.2.2, RFC 5057).
fn is_gone(code: u16) -> bool {
    matches!(code, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604)
}

/// The flow that reaches a watcher which speaks with us directly, where its Contact would not: over a stream, or from
/// behind a NAT.
fn direct(message: &Message<'_>, flow: Flow) -> Option<Flow> {
    if message.vias().nth(1).is_some() || message.record_routes().next().is_some() {
        return None;
    }
    match flow {
        Flow::Udp { remote, .. } => {
            let Some(Ok(Contact::Address(contact))) = message.contact() else { return Some(flow) };
            let address = match contact.uri.host() {
                Host::Address(address) => address,
                Host::Name(_) | Host::None => return None,
            };
            (address != remote.ip()).then_some(flow)
        }
        Flow::Stream { .. } | Flow::Internal => Some(flow),
    }
}

fn accepted(granted: u32, contact_user: Option<Box<str>>, tag: Option<&str>, is_list: bool) -> Response {
    let mut headers = Headers::with_capacity(128);
    headers.push(HeaderName::Expires, granted.to_string());
    if is_list {
        announce_list(&mut headers);
    }
    Response { headers, to_tag: tag.map(Into::into), contact: Some(contact(contact_user)), ..Response::new(200) }
}

fn contact(user: Option<Box<str>>) -> ContactUser {
    ContactUser { user, ..ContactUser::default() }
}
