//! Session timers (RFC 4028) of one leg: how long it lives without a refresh, who refreshes it, and by which request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::timer::TimerKey;
use wire::sip::{HeaderName, Headers, Message, Method};

use crate::{cross, limits};

/// What calls are told about their lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// After so long without a refresh a session is over; asked for by Session-Expires.
    pub expires: Duration,
    /// The shortest Session-Expires that is accepted; RFC 4028 section 4 allows none below 90 seconds.
    pub min_expires: Duration,
    /// A call that lasts longer is ended.
    pub longest: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { expires: Duration::from_secs(600), min_expires: Duration::from_secs(90), longest: None }
    }
}

/// Who sends the refreshes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresher {
    Us,
    Them,
}

/// What a message of the other side says about its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    /// It knows session timers.
    timer: bool,
    /// It takes UPDATE; `None` where it does not say.
    update: Option<bool>,
    expires: Option<Duration>,
    /// The value of `refresher`: whether it is the one that sent the request.
    uac_refreshes: Option<bool>,
    min: Option<Duration>,
}

impl Word {
    fn of(message: &Message<'_>) -> Self {
        let lists = |name, wanted: &str| message.option_tags(name).any(|tag| tag.eq_ignore_ascii_case(wanted));
        let value = message.header(HeaderName::SessionExpires);
        let refresher = |value: &[u8]| {
            let text = std::str::from_utf8(value).ok()?;
            let params = text.split(';').skip(1).filter_map(|param| param.split_once('='));
            let mut found = params.filter(|(name, _)| name.trim().eq_ignore_ascii_case("refresher"));
            found.next().map(|(_, who)| who.trim().eq_ignore_ascii_case("uac"))
        };
        let allows = message.header(HeaderName::Allow).is_some();
        Self {
            timer: lists(HeaderName::Supported, "timer") || lists(HeaderName::Require, "timer"),
            update: allows.then(|| lists(HeaderName::Allow, "UPDATE")),
            expires: value.and_then(seconds),
            uac_refreshes: value.and_then(refresher),
            min: message.header(HeaderName::MinSe).and_then(seconds),
        }
    }
}

/// A number of seconds, whatever parameters follow.
fn seconds(value: &[u8]) -> Option<Duration> {
    let digits = value.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let number: u32 = std::str::from_utf8(value.get(..digits)?).ok()?.parse().ok()?;
    Some(Duration::from_secs(u64::from(number)))
}

/// The session of one leg.
#[derive(Debug)]
pub(crate) struct Session {
    interval: Duration,
    /// The least that this side accepts.
    min: Duration,
    /// This side knows session timers; otherwise we look after it in other ways.
    timer: bool,
    update: bool,
    refresher: Refresher,
    /// When it was refreshed last.
    refreshed: Instant,
    /// The time of the next step.
    pub(crate) due: Option<TimerKey>,
    /// A refresh of ours is under way.
    refreshing: bool,
    /// No refresh of ours before this.
    not_before: Instant,
    /// The last refresh was refused for its time alone: the next one need not wait.
    at_once: bool,
    /// What the request that is under way asks for; it counts with its 2xx.
    proposed: Option<Word>,
    /// The session description that we sent last, with its headers: a refresh by re-INVITE repeats it.
    description: Option<(Headers, Arc<[u8]>)>,
}

/// What is due on a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing before then.
    Wait(Instant),
    /// A refresh by this method.
    Refresh(Method),
    /// Nobody has refreshed it.
    Expired,
}

/// Whether a request asks for a session that is too brief: 422.
pub(crate) fn too_brief(settings: &Settings, message: &Message<'_>) -> bool {
    let word = Word::of(message);
    word.timer && word.expires.is_some_and(|expires| expires < settings.min_expires)
}

/// What our INVITE to a callee asks for.
pub(crate) fn ask(expires: Duration, min: Duration, headers: &mut Headers) {
    headers.push(HeaderName::Supported, "timer");
    headers.push_fmt(HeaderName::SessionExpires, format_args!("{};refresher=uac", expires.max(min).as_secs()));
    headers.push_fmt(HeaderName::MinSe, format_args!("{}", min.as_secs()));
}

/// The time that a 422 wants, where it is more than was asked and no more than we can live with.
pub(crate) fn wanted(refused: &Message<'_>, asked: Duration) -> Option<Duration> {
    Word::of(refused).min.filter(|min| *min > asked && *min <= limits::LONGEST_SESSION)
}

impl Session {
    /// Of the leg on which this INVITE came.
    pub(crate) fn of_caller(settings: &Settings, invite: &Message<'_>, now: Instant) -> Self {
        let word = Word::of(invite);
        let mut session = Self::new(settings, now);
        session.requested(settings, word);
        session
    }

    /// Of the leg on which this 2xx came.
    pub(crate) fn of_callee(settings: &Settings, answer: &Message<'_>, now: Instant) -> Self {
        let mut session = Self::new(settings, now);
        session.granted(answer, now);
        session
    }

    /// One of which the other side has said nothing yet.
    pub(crate) fn new(settings: &Settings, now: Instant) -> Self {
        Self {
            interval: settings.expires,
            min: settings.min_expires,
            timer: false,
            update: false,
            refresher: Refresher::Us,
            refreshed: now,
            due: None,
            refreshing: false,
            not_before: now,
            at_once: false,
            proposed: None,
            description: None,
        }
    }

    /// A request of the other side: an INVITE, a re-INVITE or an UPDATE.
    fn requested(&mut self, settings: &Settings, word: Word) {
        self.timer = word.timer;
        self.update = word.update.unwrap_or(self.update);
        self.min = word.min.unwrap_or(settings.min_expires).max(settings.min_expires);
        // We may shorten what is asked for, though not below what that side can bear.
        self.interval = word.expires.map_or(settings.expires, |asked| asked.min(settings.expires)).max(self.min);
        self.refresher = match word.uac_refreshes {
            Some(true) if word.timer => Refresher::Them,
            Some(_) => Refresher::Us,
            // Who can be refreshed by an UPDATE is refreshed by us: that shows at once when it is gone.
            None if word.timer && !self.update => Refresher::Them,
            None => Refresher::Us,
        };
    }

    /// The other side asks for a refresh; it counts once we have answered with 2xx.
    pub(crate) fn propose(&mut self, request: &Message<'_>) {
        self.proposed = Some(Word::of(request));
    }

    /// We answer that request with 2xx: what it says goes into these headers.
    pub(crate) fn accept(&mut self, settings: &Settings, now: Instant, headers: &mut Headers) {
        if let Some(word) = self.proposed.take() {
            if word.timer || word.expires.is_some() {
                self.requested(settings, word);
            }
            self.refreshed = now;
        }
        self.answer(headers);
    }

    /// A 2xx of the other side to a request of ours that refreshes.
    pub(crate) fn granted(&mut self, answer: &Message<'_>, now: Instant) {
        let word = Word::of(answer);
        self.update = word.update.unwrap_or(self.update);
        self.refreshed = now;
        match word.expires {
            Some(expires) => {
                self.timer = true;
                self.interval = expires.max(limits::BRIEFEST_SESSION);
                self.refresher = if word.uac_refreshes == Some(false) { Refresher::Them } else { Refresher::Us };
            }
            // It does not know timers, or wants none: we look after it all the same.
            None => (self.timer, self.refresher) = (word.timer, Refresher::Us),
        }
    }

    /// It is still there, whatever else it says.
    pub(crate) fn alive(&mut self, now: Instant) {
        self.refreshed = now;
    }

    /// A refresh of ours leaves.
    pub(crate) fn begin(&mut self) {
        self.refreshing = true;
        self.at_once = false;
    }

    /// It has its answer, or will not get one; the next one not before this.
    pub(crate) fn settle(&mut self, not_before: Instant) {
        self.refreshing = false;
        self.not_before = not_before;
    }

    /// It does not take UPDATE after all.
    pub(crate) fn takes_no_update(&mut self) {
        self.update = false;
    }

    /// It wants longer sessions; whether there is anything to try.
    pub(crate) fn lengthen(&mut self, refused: &Message<'_>) -> bool {
        match wanted(refused, self.interval) {
            Some(min) => {
                (self.interval, self.min, self.at_once) = (min, min, true);
                true
            }
            None => false,
        }
    }

    /// What was last sent to this side, should a refresh have to repeat it.
    pub(crate) fn describe(&mut self, headers: &Headers, body: &Arc<[u8]>) {
        if self.timer && !body.is_empty() {
            self.description = Some((cross::description(headers), Arc::clone(body)));
        }
    }

    pub(crate) fn description(&self) -> Option<&(Headers, Arc<[u8]>)> {
        self.description.as_ref()
    }

    /// What a 2xx of ours to a request of this side says (RFC 4028 section 9).
    fn answer(&self, headers: &mut Headers) {
        if !self.timer {
            return;
        }
        headers.push(HeaderName::Supported, "timer");
        let refresher = match self.refresher {
            Refresher::Us => "uas",
            Refresher::Them => {
                headers.push(HeaderName::Require, "timer");
                "uac"
            }
        };
        headers.push_fmt(HeaderName::SessionExpires, format_args!("{};refresher={refresher}", self.interval.as_secs()));
    }

    /// What a re-INVITE or UPDATE of ours to this side says: the one who refreshes stays the same.
    pub(crate) fn request(&self, headers: &mut Headers) {
        if !self.timer {
            return;
        }
        headers.push(HeaderName::Supported, "timer");
        let refresher = if self.refresher == Refresher::Us { "uac" } else { "uas" };
        headers.push_fmt(HeaderName::SessionExpires, format_args!("{};refresher={refresher}", self.interval.as_secs()));
        headers.push_fmt(HeaderName::MinSe, format_args!("{}", self.min.as_secs()));
    }

    /// What is due.
    pub(crate) fn step(&self, now: Instant) -> Step {
        match self.refresher {
            Refresher::Us => {
                let refresh = (self.refreshed + self.interval / 2).max(self.not_before);
                let end = self.refreshed + self.interval;
                if now >= end {
                    return Step::Expired;
                }
                if self.refreshing {
                    return Step::Wait(end);
                }
                if now < refresh && !self.at_once { Step::Wait(refresh) } else { Step::Refresh(self.method()) }
            }
            // A little before the end, so that the BYE still finds a session (RFC 4028 section 10).
            Refresher::Them => {
                let end = self.refreshed + self.interval - limits::BEFORE_THE_END.min(self.interval / 3);
                if now < end { Step::Wait(end) } else { Step::Expired }
            }
        }
    }

    /// An UPDATE needs no session description; re-INVITE is for those who know timers and no UPDATE; whoever knows neither is
    /// asked by OPTIONS, whose answer shows as well whether the dialog is still known.
    fn method(&self) -> Method {
        match (self.update, self.timer, &self.description) {
            (true, _, _) => Method::Update,
            (false, true, Some(_)) => Method::Invite,
            (false, _, _) => Method::Options,
        }
    }
}
