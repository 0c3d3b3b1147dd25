//! The event package `presence.winfo` (RFC 3857, 3858): who watches somebody's presence, told to that somebody.

use std::collections::BTreeMap;

use sip::Aor;
use wire::watcher_info::{self, Event, Status, Watcher};

use super::authorization::Standing;
use super::compositor::Compositor;
use super::package::{BodyFault, Composing, EventPackage, EventState, Live, Named, oneself};
use super::subscription::{Reason, Subscription};
use super::xml::uri;
use super::{Mutant, PresenceServer, limits};

/// The event package `presence.winfo`.
pub(super) const PRESENCE_WINFO: EventPackage = EventPackage {
    name: "presence.winfo",
    media_type: "application/watcherinfo+xml",
    default_expires: 3600,
    published: false,
    read,
    detailed: false,
    compose,
    remember: Some(remember),
    numbered: Some(watcher_info::numbered),
    watches: Some("presence"),
    watching: oneself,
};

fn read(_: &[u8]) -> Result<EventState, BodyFault> {
    Err(BodyFault::Malformed("who watches is not published"))
}

/// The watchers that are known, by the number of the subscription.
#[derive(Debug, Default)]
struct Memory(BTreeMap<u64, Entry>);

/// One watcher.
#[derive(Debug)]
struct Entry {
    watcher: Watcher,
    /// The moment at which its subscription ended; 0 for one that nobody was told of.
    ended: Option<u32>,
}

fn remember(_: Named<'_>, memory: &mut Option<EventState>, live: &[Live<'_, EventState>], moment: u32) -> bool {
    let known = memory.take().and_then(|memory| memory.downcast::<Memory>().ok());
    let is_first = known.is_none();
    let mut remembered = known.unwrap_or_default();
    let ended = remembered.renew(live, moment, is_first);
    *memory = Some(remembered);
    ended
}

impl Memory {
    /// Takes who watches now, at a moment. Whether a subscription has ended.
    fn renew(&mut self, live: &[Live<'_, EventState>], moment: u32, is_first: bool) -> bool {
        let now: BTreeMap<u64, &Watcher> =
            live.iter().filter_map(Live::of::<Watcher>).map(|live| (live.number, live.state)).collect();
        let mut ended = false;
        for (number, watcher) in &now {
            match self.0.get_mut(number) {
                Some(entry) => ended |= entry.renew(watcher.status, watcher.event, moment),
                None => {
                    // Whoever only looks once has ended already; that is told, too.
                    let over = watcher.status == Status::Terminated;
                    ended |= over && !is_first;
                    let ended = over.then_some(if is_first { 0 } else { moment });
                    self.0.insert(*number, Entry { watcher: (*watcher).clone(), ended });
                }
            }
        }
        // Whoever waits waits no more once they are there again.
        self.0.retain(|number, entry| now.contains_key(number) || entry.watcher.status != Status::Waiting);
        for (number, entry) in &mut self.0 {
            if !now.contains_key(number) {
                ended |= entry.renew(Status::Terminated, Event::Timeout, moment);
            }
        }
        self.prune();
        ended
    }

    /// Only so many are remembered of those who have left.
    fn prune(&mut self) {
        let gone = |entry: &Entry| entry.ended.is_some();
        let mut excess = self.0.values().filter(|entry| gone(entry)).count().saturating_sub(limits::ENDED);
        self.0.retain(|_, entry| {
            let goes = excess > 0 && gone(entry);
            excess -= usize::from(goes);
            !goes
        });
    }
}

impl Entry {
    /// How the subscription stands now. Whether it has just ended.
    fn renew(&mut self, status: Status, event: Event, moment: u32) -> bool {
        let before = self.watcher.status;
        if self.ended.is_some() || before == status {
            return false;
        }
        (self.watcher.status, self.watcher.event) = match (before, status, event) {
            (Status::Pending, Status::Active, _) => (status, Event::Approved),
            _ => (status, event),
        };
        let has_ended = self.watcher.status == Status::Terminated;
        self.ended = has_ended.then_some(moment);
        has_ended
    }
}

/// Those that nobody has decided about come first.
fn compose(composing: &Composing<'_>) -> Vec<u8> {
    let memory = composing.memory.and_then(|memory| memory.downcast_ref::<Memory>());
    let entries = memory.iter().flat_map(|memory| memory.0.values());
    let shown = entries.filter(|entry| entry.ended.is_none_or(|ended| ended > composing.since));
    let mut watchers: Vec<&Watcher> = shown.map(|entry| &entry.watcher).collect();
    watchers.sort_by_key(|watcher| watcher.status);
    watchers.truncate(limits::WATCHERS);
    watcher_info::write(&uri(composing.presentity.as_str()), "presence", watchers)
}

impl PresenceServer {
    /// Something has changed about a subscription: packages that tell of it have something new to tell.
    pub(super) fn watcher_changed(&mut self, id: u64) {
        if let Some(Subscription { package, presentity, .. }) = self.notifier.subscription(id)
            && !self.is_broken(Mutant::WatchersNotTold)
        {
            tell_of(&self.settings.packages, &mut self.compositor, *package, presentity);
        }
    }

    /// The same, of all subscriptions to one presentity.
    pub(super) fn watchers_changed(&mut self, watched: usize, aor: &Aor) {
        if !self.is_broken(Mutant::WatchersNotTold) {
            tell_of(&self.settings.packages, &mut self.compositor, watched, aor);
        }
    }

    /// The state of a package whose state are the subscriptions of another one.
    pub(super) fn watchers_of(&mut self, package: &EventPackage, aor: &Aor) -> Vec<(u64, EventState)> {
        let watched = self.settings.packages.iter().position(|known| package.watches == Some(known.name));
        let Some(watched) = watched else { return Vec::new() };
        let mut watchers = self.subscribers(watched, aor);
        let is_there = |watcher: &Watcher| !matches!(watcher.status, Status::Waiting | Status::Terminated);
        let is_back = |uri: &str| watchers.iter().any(|(_, watcher)| watcher.uri == uri && is_there(watcher));
        let waiting = self.waiting_for(watched, aor, is_back);
        watchers.extend(waiting);
        watchers.into_iter().map(|(id, watcher)| (id, Box::new(watcher) as EventState)).collect()
    }

    /// Who has a subscription to a presentity, their own or through a list.
    fn subscribers(&mut self, watched: usize, aor: &Aor) -> Vec<(u64, Watcher)> {
        let Some(watched) = self.compositor.known_mut(watched, aor) else { return Vec::new() };
        let known = watched.subscriptions.iter().filter_map(|id| match self.notifier.subscription(*id) {
            Some(subscription) => Some((*id, watcher(*id, subscription))),
            None => Some((*id, through_a_list(*id, self.followers.watcher(*id)?))),
        });
        known.collect()
    }
}

fn tell_of(packages: &[EventPackage], compositor: &mut Compositor, watched: usize, aor: &Aor) {
    let Some(name) = packages.get(watched).map(|package| package.name) else { return };
    for (index, package) in packages.iter().enumerate() {
        if package.watches == Some(name) {
            compositor.change(index, aor);
        }
    }
}

/// Who watches through a list, as one who watches by a subscription of their own.
pub(super) fn through_a_list(id: u64, (name, standing): (&Aor, Standing)) -> Watcher {
    let status = if standing == Standing::Pending { Status::Pending } else { Status::Active };
    Watcher {
        id: format!("w{id}"),
        uri: uri(name.as_str()).into_owned(),
        display: None,
        status,
        event: Event::Subscribe,
    }
}

pub(super) fn watcher(id: u64, subscription: &Subscription) -> Watcher {
    let (status, event) = match (subscription.over, subscription.standing) {
        (None, Standing::Pending) => (Status::Pending, Event::Subscribe),
        (None, Standing::Allowed(_) | Standing::Polite) => (Status::Active, Event::Subscribe),
        (Some(Reason::Timeout), Standing::Pending) => (Status::Waiting, Event::Timeout),
        (Some(Reason::Timeout), _) => (Status::Terminated, Event::Timeout),
        (Some(Reason::Probation), _) => (Status::Terminated, Event::Probation),
        (Some(Reason::Rejected), _) => (Status::Terminated, Event::Rejected),
        (Some(Reason::NoResource), _) => (Status::Terminated, Event::Noresource),
    };
    let name = subscription.who.user.as_ref().map_or(&*subscription.watcher, |user| user.as_str());
    Watcher { id: format!("w{id}"), uri: uri(name).into_owned(), display: None, status, event }
}
