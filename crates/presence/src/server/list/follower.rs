//! The other side of a list: the owner of a member tells the owner of the list what its watcher may see of the member.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sip::timer::TimerKey;
use sip::{Aor, KeyedMap, KeyedState, NumberMap, Owner};

use super::super::authorization::Standing;
use super::super::ledger::KNOWS_ALL;
use super::super::{Due, EventPackage, Identity, Output, PresenceServer, View, limits, winfo};

/// Whose members are followed, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Following {
    /// The subscription, by the number that the list's owner gave it.
    pub list: u64,
    /// How often that one has asked.
    pub asked: u32,
    /// The name of the event package.
    pub package: &'static str,
    /// Who the watcher has proved to be.
    pub who: Identity,
    /// The watcher, by the name that rules know.
    pub watcher: Option<Aor>,
}

/// What a watcher may know of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// This is its state; the list's owner numbers it.
    Active(Arc<[u8]>),
    /// Nobody has decided yet.
    Pending,
    /// The watcher may not watch it.
    Rejected,
    /// It is nobody that we serve.
    NoResource,
    /// There is no room for it now.
    Later,
}

/// Members of lists that live here.
#[derive(Debug)]
pub(in crate::server) struct Followers {
    followers: NumberMap<Follower>,
    /// The followers of each list, by its owner and number.
    groups: KeyedMap<(Owner, u64), Group>,
    /// Whose state may be another one.
    changed: BTreeSet<u64>,
}

#[derive(Debug)]
struct Follower {
    asker: Owner,
    following: Arc<Following>,
    /// Its place in the list.
    place: u32,
    package: usize,
    presentity: Aor,
    /// What it is granted; none where it may not watch.
    standing: Option<Standing>,
    /// What it has seen of what ends.
    seen: u32,
}

#[derive(Debug)]
struct Group {
    followers: Vec<u64>,
    expiry: TimerKey,
}

impl Followers {
    pub(in crate::server) fn new(keyed: KeyedState) -> Self {
        Self { followers: NumberMap::default(), groups: KeyedMap::with_hasher(keyed), changed: BTreeSet::new() }
    }

    pub(in crate::server) fn len(&self) -> usize {
        self.followers.len()
    }

    /// Who watches through a list, if the follower is one that may: the watcher's name, and what it is granted.
    pub(in crate::server) fn watcher(&self, id: u64) -> Option<(&Aor, Standing)> {
        let follower = self.followers.get(&id)?;
        Some((follower.following.watcher.as_ref()?, follower.standing?))
    }

    /// The user who watches through a list.
    pub(in crate::server) fn user(&self, id: u64) -> Option<&Aor> {
        self.followers.get(&id)?.following.who.user.as_ref()
    }

    /// A document is another one.
    pub(in crate::server) fn document_changed(&mut self, id: u64, package: &EventPackage, view: View) {
        let shown = self.followers.get(&id).and_then(|follower| follower.standing?.view());
        if shown.is_some_and(|shown| package.view(shown) == view) {
            self.changed.insert(id);
        }
    }
}

impl PresenceServer {
    /// Another owner, or this one itself, wants to know of members of a list. Whatever it wanted for that list before is over.
    pub(in crate::server) fn follow(
        &mut self,
        asker: Owner,
        following: &Arc<Following>,
        members: &[(u32, Aor)],
        lasts: Duration,
    ) {
        if self.goes_on(asker, following, members, lasts) {
            return;
        }
        self.unfollow(asker, following.list);
        let Some(index) = self.settings.packages.iter().position(|known| known.name == following.package) else {
            return;
        };
        let expiry = self.timers.schedule(self.now + lasts, Due::Following(asker, following.list));
        let mut refused = Vec::new();
        let mut group = Group { followers: Vec::with_capacity(members.len()), expiry };
        for (place, presentity) in members {
            match self.admit_follower(index, presentity, &following.who) {
                Some(id) => {
                    self.begin_to_follow(id, asker, following, (*place, index, presentity));
                    group.followers.push(id);
                }
                None => refused.push((*place, Followed::Later)),
            }
        }
        if !refused.is_empty() {
            let (list, asked) = (following.list, following.asked);
            self.outputs.push_back(Output::Followed { asker, list, asked, news: refused });
        }
        self.followers.groups.insert((asker, following.list), group);
    }

    /// The same members are asked for once more: they are told of again. Whether it is so.
    fn goes_on(&mut self, asker: Owner, following: &Arc<Following>, members: &[(u32, Aor)], lasts: Duration) -> bool {
        let Followers { followers, groups, changed } = &mut self.followers;
        let Some(group) = groups.get_mut(&(asker, following.list)) else { return false };
        let is_same = |(id, (place, presentity)): (&u64, &(u32, Aor))| {
            followers.get(id).is_some_and(|known| {
                known.place == *place
                    && known.presentity == *presentity
                    && known.following.package == following.package
                    && known.following.who == following.who
            })
        };
        if group.followers.len() != members.len() || !group.followers.iter().zip(members).all(is_same) {
            return false;
        }
        for id in &group.followers {
            if let Some(follower) = followers.get_mut(id) {
                follower.following = Arc::clone(following);
                changed.insert(*id);
            }
        }
        self.timers.cancel(group.expiry);
        group.expiry = self.timers.schedule(self.now + lasts, Due::Following(asker, following.list));
        true
    }

    fn admit_follower(&mut self, index: usize, presentity: &Aor, who: &Identity) -> Option<u64> {
        if self.followers.len() >= limits::FOLLOWERS || self.crowds(index, presentity, who) {
            return None;
        }
        let place = self.compositor.presentity_mut(index, presentity)?;
        if place.subscriptions.len() >= limits::SUBSCRIPTIONS_PER_PRESENTITY {
            return None;
        }
        let id = self.notifier.next_id();
        place.subscriptions.insert(id);
        Some(id)
    }

    fn begin_to_follow(
        &mut self,
        id: u64,
        asker: Owner,
        following: &Arc<Following>,
        (place, index, presentity): (u32, usize, &Aor),
    ) {
        let Some(package) = self.package(index) else { return };
        let standing = self.standing(&package, presentity, &following.who, following.watcher.as_ref());
        let follower = Follower {
            asker,
            following: Arc::clone(following),
            place,
            package: index,
            presentity: presentity.clone(),
            standing,
            seen: KNOWS_ALL,
        };
        self.followers.followers.insert(id, follower);
        self.followers.changed.insert(id);
        self.watchers_changed(index, presentity);
        if package.remember.is_some() {
            // What this watcher is shown may not have been remembered yet.
            self.compositor.change(index, presentity);
        }
    }

    /// A list is watched no longer.
    pub(in crate::server) fn unfollow(&mut self, asker: Owner, list: u64) {
        let Some(group) = self.followers.groups.remove(&(asker, list)) else { return };
        self.timers.cancel(group.expiry);
        for id in group.followers {
            self.followers.changed.remove(&id);
            if let Some(gone) = self.followers.followers.remove(&id) {
                self.compositor.unsubscribed(gone.package, &gone.presentity, id);
                if let (Some(standing @ Standing::Pending), Some(name)) = (gone.standing, &gone.following.watcher) {
                    let watcher = winfo::through_a_list(id, (name, standing));
                    let who = (gone.following.who.clone(), Some(name.clone()));
                    self.waits(id, gone.package, &gone.presentity, who, watcher);
                }
                self.watchers_changed(gone.package, &gone.presentity);
            }
        }
    }

    /// Other rules, and other people: what each follower is granted may be something else.
    pub(in crate::server) fn followers_configured(&mut self, who: impl Fn(&Identity) -> Option<Identity>) {
        let mut ids: Vec<u64> = self.followers.followers.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(follower) = self.followers.followers.get(&id) else { continue };
            let Some(package) = self.package(follower.package) else { continue };
            let (presentity, watcher) = (&follower.presentity, follower.following.watcher.as_ref());
            let now = who(&follower.following.who);
            let standing = now.and_then(|who| self.standing(&package, presentity, &who, watcher));
            if let Some(follower) = self.followers.followers.get_mut(&id)
                && follower.standing != standing
            {
                follower.standing = standing;
                self.followers.changed.insert(id);
                let (index, presentity) = (follower.package, follower.presentity.clone());
                self.watchers_changed(index, &presentity);
            }
        }
    }

    /// Tells the owners of lists what has changed for them.
    pub(in crate::server) fn tell_followers(&mut self) {
        let mut told: BTreeMap<(Owner, u64, u32), Vec<(u32, Followed)>> = BTreeMap::new();
        while let Some(id) = self.followers.changed.pop_first() {
            let Some(state) = self.state_for(id) else { continue };
            let Some(Follower { asker, following, place, .. }) = self.followers.followers.get(&id) else { continue };
            told.entry((*asker, following.list, following.asked)).or_default().push((*place, state));
        }
        for ((asker, list, asked), news) in told {
            self.outputs.push_back(Output::Followed { asker, list, asked, news });
        }
    }

    fn state_for(&mut self, id: u64) -> Option<Followed> {
        let follower = self.followers.followers.get_mut(&id)?;
        let package = self.settings.packages.get(follower.package)?;
        let untrue = match follower.standing {
            None => Some(Followed::Rejected),
            Some(Standing::Pending) => Some(Followed::Pending),
            Some(_) => None,
        };
        if untrue.is_some() {
            follower.seen = KNOWS_ALL;
            return untrue;
        }
        let view = follower.standing.and_then(Standing::view);
        let (seen, document) =
            self.compositor.shown(package, follower.package, &follower.presentity, view, follower.seen);
        follower.seen = seen;
        Some(Followed::Active(document))
    }
}
