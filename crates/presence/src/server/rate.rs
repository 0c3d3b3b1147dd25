//! How often a watcher is notified: what it asks for (RFC 6446), and what it is granted.

use std::fmt;
use std::time::Duration;

use sip::timer::TimerKey;
use wire::sip::Event;

use super::limits;

/// The rates of a subscription that asked for any; shown in Subscription-State.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// No two NOTIFYs are closer together: `max-rate`.
    max: Option<Rate>,
    /// No two NOTIFYs are further apart: `min-rate`.
    min: Option<Rate>,
    /// When a NOTIFY is due for `min-rate`, whether or not anything has changed.
    pub(super) timer: Option<TimerKey>,
}

/// NOTIFYs in a second.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rate {
    /// The time from one to the next.
    interval: Duration,
    /// As it is written.
    text: Box<str>,
}

impl Rates {
    /// What is granted of what an Event header asks for, when NOTIFYs are never closer together than `least`; none where
    /// it asks for nothing. What is no rate is passed over.
    pub(super) fn granted(event: &Event<'_>, least: Duration) -> Option<Box<Self>> {
        let asked = |name| event.params.value(name).and_then(Rate::parse);
        let max = asked("max-rate").map(|rate| rate.at_least(least).at_most(limits::MAX_RATE_INTERVAL));
        let closest = max.as_ref().map_or(least, |max| max.interval).max(limits::MIN_RATE_INTERVAL);
        let min = asked("min-rate").map(|rate| rate.at_least(closest));
        (max.is_some() || min.is_some()).then(|| Box::new(Self { max, min, timer: None }))
    }

    /// What is granted of what was asked before a restart.
    pub(super) fn again([max, min]: &[Option<Box<str>>; 2]) -> Option<Box<Self>> {
        let [max, min] = [max, min].map(|text| text.as_deref().and_then(Rate::parse));
        (max.is_some() || min.is_some()).then(|| Box::new(Self { max, min, timer: None }))
    }

    /// The rates as they are written: `max-rate` and `min-rate`.
    pub(super) fn texts(&self) -> [Option<Box<str>>; 2] {
        [&self.max, &self.min].map(|rate| rate.as_ref().map(|rate| rate.text.clone()))
    }

    /// The shortest time between two NOTIFYs, if the watcher asked for one.
    pub(super) fn shortest(&self) -> Option<Duration> {
        self.max.as_ref().map(|rate| rate.interval)
    }

    /// The longest time between two NOTIFYs, if the watcher asked for one.
    pub(super) fn longest(&self) -> Option<Duration> {
        self.min.as_ref().map(|rate| rate.interval)
    }
}

/// As parameters of Subscription-State.
impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, rate) in [("max-rate", &self.max), ("min-rate", &self.min)] {
            if let Some(rate) = rate {
                write!(f, ";{name}={}", rate.text)?;
            }
        }
        Ok(())
    }
}

impl Rate {
    /// Digits, and perhaps a point with up to ten more (RFC 6446 section 10).
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| (1..=10).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return None;
        }
        let interval = Duration::try_from_secs_f64(text.parse::<f64>().ok()?.recip()).ok()?;
        Some(Self { interval, text: text.into() })
    }

    fn of(interval: Duration) -> Self {
        let text = format!("{:.10}", interval.as_secs_f64().recip());
        Self { interval, text: text.trim_end_matches('0').trim_end_matches('.').into() }
    }

    fn at_least(self, interval: Duration) -> Self {
        if self.interval < interval { Self::of(interval) } else { self }
    }

    fn at_most(self, interval: Duration) -> Self {
        if self.interval > interval { Self::of(interval) } else { self }
    }
}
