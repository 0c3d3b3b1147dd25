//! Where a call goes: the first route that matches.

use std::sync::Arc;

use regex::Regex;

use crate::Source;

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Whose calls it takes.
    pub from: From,
    /// What the user part of the Request-URI must match; everything where there is none.
    pub callee: Option<Regex>,
    /// Where they go.
    pub to: To,
}

/// Whose calls a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// Everyone's.
    Any,
    /// A peer's.
    Peer(Arc<str>),
    /// Those of our users.
    Registered,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// To a peer.
    Peer(Arc<str>),
    /// To wherever the callee has registered.
    Registered,
}

/// The first route that matches.
#[must_use]
pub fn first_match<'a>(routes: &'a [Route], source: &Source, callee: &str) -> Option<&'a Route> {
    routes.iter().find(|route| {
        let from = match (&route.from, source) {
            (From::Any, _) | (From::Registered, Source::User(_)) => true,
            (From::Peer(name), Source::Peer(peer)) => name == peer,
            _ => false,
        };
        from && route.callee.as_ref().is_none_or(|pattern| pattern.is_match(callee))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(from: From, callee: Option<&str>, to: &str) -> Route {
        Route { from, callee: callee.map(|pattern| Regex::new(pattern).unwrap()), to: To::Peer(to.into()) }
    }

    #[test]
    fn the_first_route_that_matches_counts() {
        let routes = [
            route(From::Peer("pbx".into()), None, "a"),
            route(From::Any, Some(r"^\+"), "b"),
            route(From::Registered, None, "c"),
        ];
        let to = |source: &Source, callee: &str| first_match(&routes, source, callee).map(|route| route.to.clone());
        let user = Source::User(sip::Aor::parse("sip:john.doe@sfb.example").unwrap());
        assert_eq!(to(&Source::Peer("pbx".into()), "+49"), Some(To::Peer("a".into())));
        assert_eq!(to(&Source::Peer("other".into()), "+49"), Some(To::Peer("b".into())));
        assert_eq!(to(&user, "1056"), Some(To::Peer("c".into())));
        assert_eq!(to(&Source::Peer("other".into()), "1056"), None);
        assert_eq!(to(&Source::Nobody, "1056"), None);
    }
}
