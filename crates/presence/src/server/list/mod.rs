//! Resource lists (RFC 4662): one subscription for many presentities, which may belong to other owners.

mod document;
mod follower;
mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sip::Aor;
use wire::sip::{HeaderName, Headers, Message};

use super::authorization::Standing;
use super::refusal::{Refusal, Subject};
use super::subscription::{Delivery, News, Reason};
use super::{Due, EventPackage, Mutant, Output, PresenceServer, WatchedList, limits};

pub(super) use follower::Followers;
pub use follower::{Followed, Following};
pub(super) use request::Asked;

/// The option tag of RFC 4662.
const EVENTLIST: &str = "eventlist";
/// The option tag of RFC 5367.
pub(super) const RECIPIENT_LIST: &str = "recipient-list-subscribe";
/// The type of the root of a NOTIFY's body.
const RLMI: &str = "application/rlmi+xml";
/// The type of a NOTIFY's body.
const RELATED: &str = "multipart/related";
/// The extensions that a SUBSCRIBE may require.
pub(super) const EXTENSIONS: [&str; 2] = [EVENTLIST, RECIPIENT_LIST];

/// One of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its URI, as whoever wrote the list knows it.
    pub uri: Box<str>,
    /// Its name, for people.
    pub name: Option<Box<str>>,
}

impl Resource {
    /// About how many octets it takes in a document that names all of a list.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.uri.len() + self.name.as_ref().map_or(0, |name| name.len() + 13) + 28
    }
}

/// The lists of the configuration, by their URIs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists(BTreeMap<Aor, Arc<[Resource]>>);

impl FromIterator<(Aor, Vec<Resource>)> for Lists {
    fn from_iter<I: IntoIterator<Item = (Aor, Vec<Resource>)>>(lists: I) -> Self {
        Self(lists.into_iter().map(|(uri, resources)| (uri, resources.into())).collect())
    }
}

impl Lists {
    /// Whether this is the URI of one.
    pub(super) fn has(&self, uri: &Aor) -> bool {
        self.0.contains_key(uri)
    }
}

/// What a subscription to a list knows of it.
#[derive(Debug)]
pub(super) struct List {
    /// Its URI.
    uri: Box<str>,
    /// Whether it stands in the configuration; otherwise the watcher has sent it.
    configured: bool,
    resources: Arc<[Resource]>,
    /// Whether its watcher has sent others since.
    is_another: bool,
    /// What is known of each.
    states: Vec<Known>,
    /// The number of the next document of each, where the package numbers them.
    versions: Vec<u32>,
    /// How often members were asked for: what comes in answer to an earlier question is not listened to.
    asked: u32,
    /// Whether the next document names all resources.
    full: bool,
    /// Of which resources the watcher has yet to learn.
    fresh: BTreeSet<u32>,
    /// How many are not known yet.
    unknown: usize,
}

/// What is known of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    Told(Followed),
}

impl List {
    /// A list whose next document, and those of its resources, have this number.
    fn new(uri: &Aor, asked: Asked, version: u32) -> Box<Self> {
        let mut list = Self {
            uri: uri.as_str().into(),
            configured: asked.configured,
            resources: Arc::from([]),
            is_another: false,
            states: Vec::new(),
            versions: Vec::new(),
            asked: 0,
            full: true,
            fresh: BTreeSet::new(),
            unknown: 0,
        };
        list.replace(asked.resources, version);
        Box::new(list)
    }

    /// What the store keeps of it.
    pub(super) fn kept(&self) -> WatchedList {
        match self.configured {
            true => WatchedList::Configured,
            false => WatchedList::Sent(Arc::clone(&self.resources)),
        }
    }

    /// The resources, where they are others than at the beginning.
    pub(super) fn another(&self) -> Option<Arc<[Resource]>> {
        self.is_another.then(|| Arc::clone(&self.resources))
    }

    /// Whether its watcher has sent it.
    pub(super) fn is_sent(&self) -> bool {
        !self.configured
    }

    /// The number of its resources.
    pub(super) fn len(&self) -> usize {
        self.resources.len()
    }

    /// Takes other resources. The documents of those that stay go on as they were numbered; what comes anew was perhaps there
    /// before, but has had no document of this number yet, which the list's next one has.
    fn replace(&mut self, resources: Arc<[Resource]>, version: u32) {
        let known = self.resources.iter().map(|resource| &*resource.uri).zip(self.versions.iter().copied());
        let known: BTreeMap<&str, u32> = known.collect();
        self.versions =
            resources.iter().map(|resource| known.get(&*resource.uri).copied().unwrap_or(version)).collect();
        self.states = vec![Known::Nothing; resources.len()];
        self.unknown = resources.len();
        self.resources = resources;
        self.asked = self.asked.wrapping_add(1);
        self.start_over();
    }

    /// The watcher may have lost what it was sent: everything is told anew.
    pub(super) fn start_over(&mut self) {
        self.full = true;
        let known = |(place, state): (u32, &Known)| matches!(state, Known::Told(_)).then_some(place);
        self.fresh = (0..).zip(&self.states).filter_map(known).collect();
    }

    /// Whether there is more to tell than fitted into the last NOTIFY.
    pub(super) fn has_more(&self) -> bool {
        self.full || !self.fresh.is_empty()
    }

    /// Learns something of one resource; whether that is news to the watcher.
    fn learn(&mut self, place: u32, state: Followed) -> bool {
        let Some(known) = usize::try_from(place).ok().and_then(|place| self.states.get_mut(place)) else {
            return false;
        };
        if *known == Known::Nothing {
            self.unknown = self.unknown.saturating_sub(1);
        }
        let state = Known::Told(state);
        if *known == state {
            return false;
        }
        *known = state;
        self.fresh.insert(place);
        true
    }
}

/// The body of a NOTIFY about a list.
pub(super) struct Content {
    pub(super) content_type: String,
    pub(super) body: Arc<[u8]>,
}

impl PresenceServer {
    /// The list that a SUBSCRIBE is about, if it is about one, and if its watcher understands lists. Who is blocked politely does not
    /// learn that there is one.
    pub(super) fn asked_list(
        &self,
        subject: &Subject,
        package: &EventPackage,
        message: &Message<'_>,
        is_list: bool,
        standing: Standing,
    ) -> Result<Option<Asked>, Refusal> {
        let is_there = is_list || standing != Standing::Polite;
        let asked = match request::in_body(message)? {
            Some(resources) => Asked { configured: false, resources },
            None => match self.settings.lists.0.get(&subject.presentity).filter(|_| is_there) {
                Some(resources) => Asked { configured: true, resources: Arc::clone(resources) },
                None if is_list => Asked { configured: false, resources: Arc::from([]) },
                None if subject.presentity.user().is_empty() => {
                    return Err(Refusal::new(404, "not a presentity of this server"));
                }
                None => return Ok(None),
            },
        };
        let knows = |name| message.option_tags(name).any(|tag| tag.eq_ignore_ascii_case(EVENTLIST));
        if !knows(HeaderName::Supported) && !knows(HeaderName::Require) {
            return Err(Refusal::new(421, "a list for who knows no lists").with(HeaderName::Require, EVENTLIST));
        }
        let wanted = [RLMI, RELATED, package.media_type];
        if wanted.iter().any(|media| !message.accepts(media)) {
            return Err(Refusal::new(406, "does not accept what is notified of lists")
                .with(HeaderName::Accept, wanted.join(", ")));
        }
        Ok(Some(asked))
    }

    /// A subscription to a list has begun: its members are asked for.
    pub(super) fn list_begins(&mut self, id: u64, asked: Asked) {
        if let Some(subscription) = self.notifier.subscription_mut(id) {
            subscription.list = Some(List::new(&subscription.presentity, asked, subscription.documents));
            if subscription.over.is_some() {
                // A fetch has one NOTIFY only: it waits for a moment until all members are known.
                let retry = self.timers.schedule(self.now + limits::FETCH_PATIENCE, Due::Notify(id));
                subscription.delivery = Delivery::Waiting { retry };
            }
        }
        self.list_sized(id, 0);
        self.ask_members(id);
    }

    /// A user watches a list of another length than before.
    fn list_sized(&mut self, id: u64, before: usize) {
        let Some(subscription) = self.notifier.subscription(id) else { return };
        let (who, now) = (subscription.who.clone(), subscription.list.as_ref().map_or(0, |list| list.len()));
        self.notifier.list_resized(&who, before, now);
    }

    /// A subscription of an earlier run is to a list. Its members are asked for when its watcher is told how things are.
    pub(super) fn list_returns(&mut self, id: u64, list: WatchedList, another: Option<Arc<[Resource]>>) {
        let Some(subscription) = self.notifier.subscription_mut(id) else { return };
        let is_another = another.is_some();
        let asked = match another.map_or(list, WatchedList::Sent) {
            WatchedList::Sent(resources) => Asked { configured: false, resources },
            WatchedList::Configured => match self.settings.lists.0.get(&subscription.presentity) {
                Some(resources) => Asked { configured: true, resources: Arc::clone(resources) },
                None => {
                    subscription.over.get_or_insert(Reason::NoResource);
                    Asked { configured: true, resources: Arc::from([]) }
                }
            },
        };
        let mut list = List::new(&subscription.presentity, asked, subscription.documents);
        list.is_another = is_another;
        subscription.list = Some(list);
        self.list_sized(id, 0);
    }

    /// A subscription to a list was refreshed, perhaps with another list.
    pub(super) fn list_refreshed(&mut self, id: u64, asked: Option<Asked>) {
        let Some(subscription) = self.notifier.subscription_mut(id) else { return };
        let Some(list) = &mut subscription.list else { return };
        let before = list.len();
        match asked {
            Some(asked) if !asked.resources.is_empty() && asked.resources != list.resources => {
                list.configured = asked.configured;
                list.replace(asked.resources, subscription.documents);
                list.is_another = true;
            }
            _ => list.start_over(),
        }
        self.list_sized(id, before);
        self.ask_members(id);
    }

    /// The lists of the configuration may be others. Whoever watches one that is gone is told so.
    pub(super) fn lists_changed(&mut self) {
        if self.is_broken(Mutant::ListsStay) {
            return;
        }
        for id in self.notifier.ids() {
            let Some(subscription) = self.notifier.subscription_mut(id) else { continue };
            let Some(list) = subscription.list.as_mut().filter(|list| list.configured) else { continue };
            match self.settings.lists.0.get(&subscription.presentity) {
                Some(resources) if *resources == list.resources => continue,
                Some(resources) => {
                    let before = list.len();
                    list.replace(Arc::clone(resources), subscription.documents);
                    self.list_sized(id, before);
                    self.ask_members(id);
                    self.send_now(id);
                }
                None => self.end(id, Reason::NoResource),
            }
        }
    }

    /// Asks the owners of a list's members for their state. What is not ours is nobody's.
    pub(super) fn ask_members(&mut self, id: u64) {
        let Some(subscription) = self.notifier.subscription_mut(id) else { return };
        let watcher = subscription.watcher_aor();
        let lasts = subscription.expires_at.saturating_duration_since(self.now) + limits::FOLLOWED_LONGER;
        let is_over = subscription.over.is_some();
        let (who, shows) = (subscription.who.clone(), subscription.standing.view().is_some());
        let Some(package) = self.settings.packages.get(subscription.package) else { return };
        let Some(list) = subscription.list.as_mut().filter(|_| shows) else { return };
        let mut members = Vec::new();
        let resources = Arc::clone(&list.resources);
        for (place, resource) in (0..).zip(resources.iter()) {
            let serves = |aor: &Aor| self.settings.domains.iter().any(|domain| domain.eq_ignore_ascii_case(aor.host()));
            match Aor::parse(&resource.uri).filter(|aor| !aor.user().is_empty() && serves(aor)) {
                Some(aor) => members.push((place, aor)),
                None => drop(list.learn(place, Followed::NoResource)),
            }
        }
        let following = Following { list: id, asked: list.asked, package: package.name, who, watcher };
        let lasts = if is_over { limits::FETCHED } else { lasts };
        self.outputs.push_back(Output::Follow { following: Arc::new(following), members, lasts });
    }

    /// Something is known of members of a list.
    pub(super) fn followed(&mut self, id: u64, asked: u32, news: &[(u32, Followed)]) {
        let Some(subscription) = self.notifier.subscription_mut(id) else { return };
        let is_fetch = subscription.over.is_some();
        let Some(list) = subscription.list.as_mut().filter(|list| list.asked == asked) else { return };
        let mut any = false;
        for (place, state) in news {
            any |= list.learn(*place, state.clone());
        }
        let is_known = list.unknown == 0;
        if is_fetch && is_known {
            self.send_now(id);
        } else if any && !is_fetch {
            self.notifier.state_changed(id, News::Changed, &mut self.timers);
        }
    }

    /// The body of the next NOTIFY of a subscription to a list.
    pub(super) fn next_list(&mut self, id: u64) -> Option<Content> {
        let subscription = self.notifier.subscription_mut(id)?;
        let package = self.settings.packages.get(subscription.package)?;
        let shows = subscription.view().is_some();
        // One that was watched has told everything before; a fetch tells it now.
        let parting = subscription.over.is_some() && subscription.notifies > 0;
        let tag = subscription.dialog.id.local_tag.clone();
        let host: Box<str> = subscription.presentity.host().into();
        let list = subscription.list.as_mut()?;
        let mark = document::Mark { tag: &tag, host: &host, version: subscription.documents };
        subscription.documents = subscription.documents.wrapping_add(1);
        Some(list.next(package, &mark, shows && !parting))
    }
}

/// What a watcher is told by the answer to its SUBSCRIBE to a list.
pub(super) fn announce_list(headers: &mut Headers) {
    headers.push(HeaderName::Require, EVENTLIST);
}
