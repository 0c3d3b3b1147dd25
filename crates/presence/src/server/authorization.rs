//! Who may watch whom, and how much of it they see: the rules of the configuration over what each package grants by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use sip::Aor;
use wire::sip::Message;

use super::list::Lists;
use super::subscription::Delivery;
use super::{EventPackage, Identity, Mutant, PresenceServer, Reason, View, Watching};

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// One address-of-record.
    One(Aor),
    /// Everyone of a domain, in lower case.
    Domain(Box<str>),
    /// Everyone.
    Everyone,
}

impl Pattern {
    /// Reads `*`, `*@domain` or a SIP URI; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everyone);
        }
        match text.strip_prefix("*@").or_else(|| text.strip_prefix("sip:*@")) {
            Some(domain) if domain.is_empty() || domain.contains('*') => None,
            Some(domain) => Aor::parse(&format!("sip:any@{domain}")).map(|aor| Self::Domain(aor.host().into())),
            None => Aor::parse(text).filter(|aor| !aor.user().is_empty() && !text.contains('*')).map(Self::One),
        }
    }

    /// This one and all that fit whatever it fits.
    #[must_use]
    pub fn wider(&self) -> Vec<Self> {
        match self {
            Self::One(aor) => vec![self.clone(), Self::Domain(aor.host().into()), Self::Everyone],
            Self::Domain(_) => vec![self.clone(), Self::Everyone],
            Self::Everyone => vec![Self::Everyone],
        }
    }
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The watcher sees the presentity.
    Allow,
    /// 403 for a new subscription; one that exists ends.
    Block,
    /// The watcher is told that the presentity is closed, as of one that nobody ever heard of.
    PoliteBlock,
    /// The subscription is pending until the rules decide otherwise.
    Confirm,
}

/// One rule: what one watcher, or many, may see of one presentity, or many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who is watched.
    pub presentity: Pattern,
    /// Who watches.
    pub watcher: Pattern,
    /// What is done.
    pub action: Action,
    /// Whether a watcher that is allowed sees with whom, where a package knows.
    pub details: bool,
}

/// The rules, of which the first that fits counts.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// In the order of the configuration.
    rules: Vec<Rule>,
    /// The first rule for each pair of presentity and watcher, so that a look-up costs the same however many there are.
    places: BTreeMap<Pattern, BTreeMap<Pattern, usize>>,
}

impl FromIterator<Rule> for Rules {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        Self { rules: rules.into_iter().collect(), places: BTreeMap::new() }.known_by(|aor| vec![aor.clone()])
    }
}

impl Rules {
    /// The same rules, by whichever of a user's names they are written: `names` tells all of them.
    #[must_use]
    pub fn known_by(&self, names: impl Fn(&Aor) -> Vec<Aor>) -> Self {
        let also = |pattern: &Pattern| match pattern {
            Pattern::One(aor) => names(aor).into_iter().map(Pattern::One).collect(),
            Pattern::Domain(_) | Pattern::Everyone => vec![pattern.clone()],
        };
        let mut places: BTreeMap<Pattern, BTreeMap<Pattern, usize>> = BTreeMap::new();
        for (place, rule) in self.rules.iter().enumerate() {
            let watchers = also(&rule.watcher);
            for presentity in also(&rule.presentity) {
                let table = places.entry(presentity).or_default();
                for watcher in &watchers {
                    table.entry(watcher.clone()).or_insert(place);
                }
            }
        }
        Self { rules: self.rules.clone(), places }
    }

    /// The rule for this watcher of this presentity.
    fn of(&self, presentity: &Aor, watcher: Option<&Aor>) -> Option<&Rule> {
        if self.rules.is_empty() {
            return None;
        }
        let watchers = watcher.map_or(Pattern::Everyone, |aor| Pattern::One(aor.clone())).wider();
        let fitting = Pattern::One(presentity.clone()).wider();
        let tables = fitting.iter().filter_map(|pattern| self.places.get(pattern));
        let places = tables.flat_map(|table| watchers.iter().filter_map(|pattern| table.get(pattern)));
        self.rules.get(*places.min()?)
    }
}

/// What a watcher is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is shown the presentity's state.
    Allowed(View),
    /// It is shown the state of one that nobody ever heard of, and told that its subscription is active.
    Polite,
    /// The same, and told that nobody has decided yet.
    Pending,
}

impl Standing {
    /// What is granted in the end. A list that its watcher has sent tells nothing by itself, and its members are shown as the rules
    /// for each of them allow; one with nobody on it would tell that there is such a rule.
    pub(super) fn unless_sent(self, is_sent: bool) -> Self {
        if is_sent { Self::Allowed(View::Plain) } else { self }
    }

    /// What is shown; none where nothing true is.
    pub(super) fn view(self) -> Option<View> {
        match self {
            Self::Allowed(view) => Some(view),
            Self::Polite | Self::Pending => None,
        }
    }
}

impl PresenceServer {
    /// From now on these are the rules and the lists, and `who` tells who a watcher is by now, or that it is nobody any more. Every
    /// subscription is looked at: whoever may no longer watch is told that it is over.
    pub fn configure(&mut self, rules: Arc<Rules>, lists: Arc<Lists>, who: impl Fn(&Identity) -> Option<Identity>) {
        self.settings.rules = rules;
        self.settings.lists = lists;
        self.followers_configured(&who);
        self.waiting_configured(&who);
        self.lists_changed();
        if self.is_broken(Mutant::RightsStay) {
            return;
        }
        for id in self.notifier.ids() {
            let Some(subscription) = self.notifier.subscription(id) else { continue };
            if subscription.over.is_some() {
                continue;
            }
            let (index, presentity, old) =
                (subscription.package, subscription.presentity.clone(), subscription.standing);
            let Some(package) = self.package(index) else { continue };
            let now = who(&subscription.who);
            let watcher = subscription.watcher_aor();
            let is_sent = subscription.list.as_ref().is_some_and(|list| list.is_sent());
            let new = now.as_ref().and_then(|who| self.standing(&package, &presentity, who, watcher.as_ref()));
            let new = new.map(|new| new.unless_sent(is_sent));
            let Some(subscription) = self.notifier.subscription_mut(id) else { continue };
            if let Some(now) = now {
                subscription.who = now;
            }
            match new {
                Some(new) if new == old => {}
                Some(_) if subscription.list.is_none() && self.settings.lists.has(&presentity) => {
                    // It was not told that this is a list: it may ask for it now.
                    self.end(id, Reason::Probation);
                }
                Some(new) => {
                    subscription.standing = new;
                    // What a list may show is another thing now.
                    self.list_refreshed(id, None);
                    self.send_now(id);
                }
                None => self.end(id, Reason::Rejected),
            }
        }
    }

    /// The last NOTIFY tells a watcher why its subscription is over.
    pub(super) fn end(&mut self, id: u64, why: Reason) {
        if let Some(subscription) = self.notifier.subscription_mut(id) {
            subscription.over = Some(why);
            if let Some(expiry) = subscription.expiry.take() {
                self.timers.cancel(expiry);
            }
            if let Delivery::Unreachable = subscription.delivery {
                self.forget(id);
                return;
            }
            self.send_now(id);
        }
    }

    /// What a watcher is granted; none where it may not watch. Only who asks and the rules decide: never what is known of
    /// the presentity, so that the answer tells nothing about it.
    pub(super) fn standing(
        &self,
        package: &EventPackage,
        presentity: &Aor,
        who: &Identity,
        watcher: Option<&Aor>,
    ) -> Option<Standing> {
        let usual = match (package.watching)(who, watcher, presentity) {
            Watching::Always => return Some(Standing::Allowed(View::Detailed)),
            Watching::Never => return None,
            Watching::Allowed => Some(Standing::Allowed(View::Plain)),
            Watching::Forbidden => None,
        };
        let Some(rule) = self.settings.rules.of(presentity, watcher) else { return usual };
        match rule.action {
            Action::Allow if rule.details => Some(Standing::Allowed(View::Detailed)),
            Action::Allow => Some(Standing::Allowed(View::Plain)),
            Action::PoliteBlock => Some(Standing::Polite),
            Action::Confirm => Some(Standing::Pending),
            Action::Block => None,
        }
    }
}

/// Who watches, by the name that rules know: the user that has proved it, or whom a trusted peer names.
pub(super) fn watcher(who: &Identity, message: &Message<'_>) -> Option<Aor> {
    match &who.user {
        Some(user) => Some(user.clone()),
        None => message.from().ok().and_then(|from| Aor::from_uri(&from.uri)),
    }
}
