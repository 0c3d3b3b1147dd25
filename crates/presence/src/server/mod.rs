//! The presence server: event state compositor (RFC 3903) and notifier (RFC 6665) as one deterministic machine.

pub mod authorization;
mod calendar;
mod compositor;
mod dialog;
mod hard_state;
mod ledger;
pub mod limits;
pub mod list;
mod message_summary;
mod mutant;
mod notifier;
mod outliving;
mod package;
mod presence;
mod presentity;
mod publish;
mod queue;
mod rate;
mod record;
mod refusal;
mod report;
mod saves;
mod shares;
mod subscription;
mod waiting;
mod winfo;
mod xml;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::timer::Wheel;
use sip::transaction::ServerKey;
use sip::transport::Flow;
use sip::{Aor, KeyedState, Names, Owner, Random, Request, Response, Target};
use wire::sip::Message;

use authorization::Rules;
use compositor::Compositor;
pub use dialog::CallDialog;
pub use hard_state::HardStates;
use list::{Followed, Followers, Following, Lists};
pub use mutant::Mutant;
use notifier::Notifier;
pub use package::{
    BodyFault, Composing, EventPackage, EventState, Live, Named, Numbered, PACKAGES, Remember, View, Watching,
};
pub use record::{Answer, Content, EntityTag, Forgotten, Life, Origin, Progress, Record, WatchedList, Watcher};
pub use report::Report;
use saves::Saves;
pub use shares::Share;
use subscription::{News, Reason};
use waiting::Waiting;

/// What a presence server is told once, at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The domains whose presentities it serves, as they stand in URIs; an address where clients use it as the domain.
    pub domains: Vec<Box<str>>,
    /// The shortest time that is granted; at most an hour (RFC 3903 section 6, RFC 6665 section 4.2.1.1).
    pub min_expires: Duration,
    /// The longest time that is granted.
    pub max_expires: Duration,
    /// The event packages that it has.
    pub packages: Vec<EventPackage>,
    /// Whether what is saved outlives this run. Then an orderly stop ends no subscription.
    pub outlives: bool,
    /// How many NOTIFYs that are sent again may time out, one after the other, until the subscription is removed.
    pub notify_timeouts: u32,
    /// The shortest time between two NOTIFYs to a watcher that are not asked for; changes in between are told together.
    pub notify_interval: Duration,
    /// Who may watch whom, beyond what each package grants by itself.
    pub rules: Arc<Rules>,
    /// The lists that can be watched by one subscription.
    pub lists: Arc<Lists>,
    /// What one peer may have here at a time.
    pub share: Share,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            min_expires: Duration::from_secs(60),
            max_expires: Duration::from_secs(3600),
            packages: PACKAGES.to_vec(),
            outlives: false,
            notify_timeouts: 3,
            notify_interval: Duration::ZERO,
            rules: Arc::default(),
            lists: Arc::default(),
            share: Share::default(),
        }
    }
}

/// Who sent a request, as far as that is proved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The configured peer that it came from, proved by certificate, digest or address; trusted for its domains.
    pub peer: Option<Arc<str>>,
    /// The domains that the peer is trusted with; all that the server serves where there are none.
    pub domains: Option<Arc<[Box<str>]>>,
    /// The user that authenticated.
    pub user: Option<Aor>,
    /// Whether the peer is configured as a publisher: its restarts supersede what it published before.
    pub publisher: bool,
    /// Whether it came from this very node.
    pub internal: bool,
}

impl Identity {
    /// Whether it is trusted to speak for everyone in a domain.
    #[must_use]
    pub fn speaks_for(&self, domain: &str) -> bool {
        let trusted = |domains: &Arc<[Box<str>]>| domains.iter().any(|d| d.eq_ignore_ascii_case(domain));
        self.internal || (self.peer.is_some() && self.domains.as_ref().is_none_or(trusted))
    }
}

/// The handle of a NOTIFY on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotifyKey {
    /// The subscription's number.
    subscription: u64,
    /// The NOTIFY's number within it.
    number: u32,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A PUBLISH arrived.
    Publish {
        /// Its transaction.
        key: ServerKey,
        /// The request, checked.
        message: &'a Message<'a>,
        /// Whose state it is about, by the name that its user is kept under; where it is absent, whom the Request-URI names.
        presentity: Option<Aor>,
        /// Who sent it.
        who: &'a Identity,
    },
    /// A SUBSCRIBE arrived; one with a To tag belongs to a dialog.
    Subscribe {
        /// Its transaction.
        key: ServerKey,
        /// The request, checked.
        message: &'a Message<'a>,
        /// How it came: a watcher behind a NAT, or over a stream, is notified the same way.
        flow: Flow,
        /// Whose state it is about, by the name that its user is kept under; where it is absent, whom the Request-URI names.
        presentity: Option<Aor>,
        /// The place of the presentity among all that have owners: a new dialog's tag names it.
        place: u16,
        /// Who sent it.
        who: &'a Identity,
    },
    /// A response to a NOTIFY arrived.
    NotifyAnswered {
        /// The NOTIFY.
        key: NotifyKey,
        /// The response.
        message: &'a Message<'a>,
    },
    /// A NOTIFY got no answer, or could not be sent.
    NotifyFailed {
        /// The NOTIFY.
        key: NotifyKey,
    },
    /// The node itself knows something of a presentity, which is so until it says otherwise.
    Told {
        /// The event package that it belongs to.
        package: &'a str,
        /// The presentity.
        presentity: &'a Aor,
        /// What tells it from whatever else the node says of the presentity.
        source: u64,
        /// What the package is to make of it.
        state: EventState,
        /// Whether these are the last words: then it is over.
        last: bool,
    },
    /// The store has everything up to this number of [`Output::Save`] and [`Output::Forget`].
    Written {
        /// The last of them.
        up_to: u64,
    },
    /// The owner of a list wants to know of members that are ours; what it wanted for that list before is over.
    Follow {
        /// The owner.
        asker: Owner,
        /// What for.
        following: &'a Arc<Following>,
        /// The members, by their places in the list.
        members: &'a [(u32, Aor)],
        /// How long.
        lasts: Duration,
    },
    /// The owner of a list does not want to know any more.
    Unfollow {
        /// The owner.
        asker: Owner,
        /// The list, by the number of its subscription.
        list: u64,
    },
    /// An owner of members of a list tells of them.
    Followed {
        /// The list, by the number of its subscription.
        list: u64,
        /// Which question this answers.
        asked: u32,
        /// What is known, by the places in the list.
        news: &'a [(u32, Followed)],
    },
    /// The time of [`PresenceServer::next_timeout`] has come. Harmless when early.
    Timeout,
    /// Stop in order: every watcher is told that its subscription is over for now.
    Stop,
}

/// One thing that is asked for.
#[derive(Debug)]
pub enum Output {
    /// Put something into the store. Numbers ascend, of this and of [`Output::Forget`] together; [`Input::Written`] follows. No
    /// answer is given before what it promises is safe.
    Save {
        /// The number.
        number: u64,
        /// What is kept.
        record: Record,
    },
    /// Take something out of the store.
    Forget {
        /// The number.
        number: u64,
        /// What is forgotten.
        what: Forgotten,
    },
    /// Answer a request.
    Respond {
        /// Its transaction.
        key: ServerKey,
        /// The answer.
        response: Response,
    },
    /// Send a NOTIFY; [`Input::NotifyAnswered`] or [`Input::NotifyFailed`] tells what became of it.
    Send {
        /// Its handle.
        key: NotifyKey,
        /// Where to.
        target: Target,
        /// The NOTIFY.
        request: Request,
    },
    /// Ask the owners of these presentities to follow them for a list of ours, by [`Input::Follow`].
    Follow {
        /// What for.
        following: Arc<Following>,
        /// The members, by their places in the list.
        members: Vec<(u32, Aor)>,
        /// How long.
        lasts: Duration,
    },
    /// Tell every owner that a list of ours is watched no longer, by [`Input::Unfollow`].
    Unfollow {
        /// The list, by the number of its subscription.
        list: u64,
    },
    /// Tell the owner of a list of its members, by [`Input::Followed`].
    Followed {
        /// The owner.
        asker: Owner,
        /// The list, by the number of its subscription.
        list: u64,
        /// Which question this answers.
        asked: u32,
        /// What the list's watcher may know of them, by their places in the list.
        news: Vec<(u32, Followed)>,
    },
    /// Something that a person or a counter wants to know.
    Report(Report),
}

/// The presence server of one node.
#[derive(Debug)]
pub struct PresenceServer {
    settings: Settings,
    mutant: Option<Mutant>,
    /// The packages that can be watched, as Allow-Events has them.
    watchable: Box<str>,
    names: Names,
    compositor: Compositor,
    notifier: Notifier,
    followers: Followers,
    waiting: Waiting,
    saves: Saves,
    /// Subscriptions of an earlier run whose watchers are to be told how things are.
    returning: VecDeque<u64>,
    timers: Wheel<Due>,
    outputs: VecDeque<Output>,
    /// The time of the last input.
    now: Instant,
}

/// What a timer is for.
#[derive(Clone, Debug)]
enum Due {
    /// Some more watchers of an earlier run are told how things are.
    Returning,
    /// A subscription runs out.
    Subscription(u64),
    /// A NOTIFY that failed is sent again, or one that came too early for the watcher's rate is sent.
    Notify(u64),
    /// The longest time between two NOTIFYs that the watcher asked for is over.
    Silence(u64),
    /// A list's owner has not said for too long that it still wants to know of its members.
    Following(Owner, u64),
}

impl PresenceServer {
    /// A presence server without any state. `keyed` is the same in every run, or requests that were answered before a restart
    /// are not known again.
    #[must_use]
    pub fn new(settings: Settings, names: Names, keyed: KeyedState, now: Instant) -> Self {
        let hour = Duration::from_secs(3600);
        let min_expires = settings.min_expires.min(hour);
        let settings = Settings { min_expires, max_expires: settings.max_expires.max(min_expires), ..settings };
        Self {
            compositor: Compositor::new(settings.packages.len(), settings.share, keyed, now),
            notifier: Notifier::new(keyed, now),
            followers: Followers::new(keyed),
            waiting: Waiting::default(),
            saves: Saves::new(keyed),
            returning: VecDeque::new(),
            mutant: None,
            watchable: package::listed(&settings.packages, false).into(),
            settings,
            names,
            timers: Wheel::new(now),
            outputs: VecDeque::new(),
            now,
        }
    }

    /// Takes back a publication of an earlier run, at the start; those of one presentity in the order of their contents.
    pub fn restore_publication(&mut self, now: Instant, presentity: &Aor, number: u64, content: Content, life: &Life) {
        self.now = now;
        self.take_back(presentity, number, content, life);
    }

    /// Takes back a subscription of an earlier run.
    pub fn restore_subscription(
        &mut self,
        now: Instant,
        presentity: &Aor,
        number: u64,
        watcher: Watcher,
        progress: Progress,
    ) {
        self.now = now;
        self.watcher_returns(presentity, number, watcher, progress);
    }

    /// Everything of the earlier run has been taken back.
    pub fn restored(&mut self, now: Instant) {
        self.now = now;
        self.all_returned();
    }

    /// Takes back an answer of an earlier run.
    pub fn restore_answer(&mut self, now: Instant, answer: Answer) {
        self.saves.restore(now, answer);
    }

    /// One thing happened; drain [`PresenceServer::poll`] after it.
    pub fn handle(&mut self, now: Instant, random: &mut Random, input: Input<'_>) {
        self.notifier.turn(now, self.now, self.settings.notify_interval);
        self.now = now;
        // What is over must not count any more, however late the timer comes.
        self.expire();
        match input {
            Input::Publish { key, message, presentity, who } => self.publish(random, key, message, presentity, who),
            Input::Subscribe { key, message, flow, presentity, who, place } => {
                let tag = Names::tag_at(place, random);
                self.subscribe(&tag, key, message, flow, presentity, who);
            }
            Input::NotifyAnswered { key, message } => self.notify_answered(key, message),
            Input::NotifyFailed { key } => self.notify_failed(key, None, None),
            Input::Told { package, presentity, source, state, last } => {
                self.tell(package, presentity, source, state, last);
            }
            Input::Written { up_to } => self.written(up_to),
            Input::Follow { asker, following, members, lasts } => self.follow(asker, following, members, lasts),
            Input::Unfollow { asker, list } => self.unfollow(asker, list),
            Input::Followed { list, asked, news } => self.followed(list, asked, news),
            Input::Timeout => {}
            Input::Stop => self.stop(),
        }
    }

    /// What to do next; answers come before the NOTIFYs that they cause.
    pub fn poll(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        self.announce();
        self.tell_followers();
        // A NOTIFY that has to wait for the store has given it something to do.
        let output = self.outputs.pop_front().or_else(|| self.next_notify());
        output.or_else(|| self.outputs.pop_front())
    }

    /// When to come back with [`Input::Timeout`] at the latest.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.notifier.is_waiting() {
            return Some(self.now);
        }
        [self.timers.next(), self.next_expiry()].into_iter().flatten().min()
    }

    /// The number of live publications, of all packages.
    #[must_use]
    pub fn publications(&self) -> usize {
        self.compositor.publications()
    }

    /// The number of subscriptions, of all packages.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.notifier.len()
    }

    /// The number of members of lists that are followed here.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.followers.len()
    }

    /// The composed document of a presentity as its watchers would be sent it now, in full; for consoles and tests.
    #[must_use]
    pub fn document(&self, package: &str, presentity: &Aor) -> Option<Arc<[u8]>> {
        let index = self.settings.packages.iter().position(|p| p.name == package)?;
        Some(self.compositor.composed(self.settings.packages.get(index)?, index, presentity))
    }

    fn expire(&mut self) {
        self.expire_publications();
        while let Some(due) = self.timers.expire(self.now) {
            match due {
                Due::Returning => self.tell_returning(),
                Due::Subscription(id) => self.subscription_expired(id),
                Due::Notify(id) => self.notify_again(id),
                Due::Following(asker, list) => self.unfollow(asker, list),
                Due::Silence(id) => self.notifier.state_changed(id, News::Asked, &mut self.timers),
            }
        }
    }

    fn report(&mut self, report: Report) {
        self.outputs.push_back(Output::Report(report));
    }
}
