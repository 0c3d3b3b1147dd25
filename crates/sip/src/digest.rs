//! Digest authentication, both sides (RFC 7616, RFC 8760, and RFC 2617 for those who know no better).

use std::time::{Duration, Instant};

use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};
use wire::sip::{HeaderName, Message, Params};

use crate::limits;
use crate::{KeyedMap, KeyedState, Random};

/// A hash that digest may use; the later ones are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// MD5, which everyone has.
    Md5,
    /// SHA-512/256.
    Sha512Of256,
    /// SHA-256, which RFC 8760 makes mandatory.
    Sha256,
}

impl Algorithm {
    /// As the `algorithm` parameter writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha512Of256 => "SHA-512-256",
            Self::Sha256 => "SHA-256",
        }
    }

    /// The algorithm of a challenge, and whether it is of a session; a challenge that names none means MD5.
    fn parse(name: Option<&str>) -> Option<(Self, bool)> {
        let name = name.unwrap_or("MD5");
        let (name, session) = match name.len().checked_sub(5).and_then(|at| name.split_at_checked(at)) {
            Some((name, suffix)) if suffix.eq_ignore_ascii_case("-sess") => (name, true),
            _ => (name, false),
        };
        let known = [Self::Md5, Self::Sha512Of256, Self::Sha256];
        known.into_iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name)).map(|known| (known, session))
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha512Of256 => hex(&Sha512_256::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

fn hex(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]).collect()
}

/// What the response is computed from.
struct Proof<'a> {
    algorithm: Algorithm,
    session: bool,
    username: &'a str,
    realm: &'a str,
    password: &'a str,
    nonce: &'a str,
    method: &'a str,
    uri: &'a str,
    /// Nonce count and client nonce, where `qop=auth` is used.
    counted: Option<(&'a str, &'a str)>,
    /// The client nonce of a session without qop.
    cnonce: &'a str,
}

impl Proof<'_> {
    fn response(&self) -> String {
        let hash = |text: String| self.algorithm.hash(&text);
        let mut secret = hash(format!("{}:{}:{}", self.username, self.realm, self.password));
        if self.session {
            secret = hash(format!("{secret}:{}:{}", self.nonce, self.cnonce));
        }
        let request = hash(format!("{}:{}", self.method, self.uri));
        match self.counted {
            Some((count, cnonce)) => hash(format!("{secret}:{}:{count}:{cnonce}:auth:{request}", self.nonce)),
            None => hash(format!("{secret}:{}:{request}", self.nonce)),
        }
    }
}

/// Which of several challenges of one realm is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// The strongest that we know: an attacker cannot gain by putting a weak one first.
    #[default]
    Strongest,
    /// The first that we know, as RFC 8760 section 2.3 has it: the order is the server's wish.
    Topmost,
}

/// Whose credentials are proved.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials of {}", self.username)
    }
}

/// What a challenge means for who was challenged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenged {
    /// Try again with [`Client::authorize`].
    Retry,
    /// The credentials were right and the nonce too old: try again, it does not count as an attempt.
    Stale,
    /// The credentials were refused.
    Refused,
    /// No challenge that we can answer.
    Unknown,
}

/// Proves credentials to servers: one memory of challenges for each server.
#[derive(Clone, Debug)]
pub struct Client {
    credentials: Credentials,
    preference: Preference,
    /// The newest challenge of each realm; a request may pass several that ask.
    challenges: Vec<Challenge>,
}

#[derive(Clone, Debug)]
struct Challenge {
    proxy: bool,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    named: bool,
    session: bool,
    qop: bool,
    count: u32,
}

/// Realms that one request passes at most.
const REALMS: usize = 8;

impl Client {
    /// No challenge yet.
    #[must_use]
    pub fn new(credentials: Credentials, preference: Preference) -> Self {
        Self { credentials, preference, challenges: Vec::new() }
    }

    /// Takes a 401 or 407.
    pub fn challenged(&mut self, response: &Message<'_>) -> Challenged {
        let mut best: Vec<(Challenge, bool)> = Vec::new();
        let mut any = false;
        for (name, proxy) in [(HeaderName::WwwAuthenticate, false), (HeaderName::ProxyAuthenticate, true)] {
            for header in response.headers().filter(|header| header.name == name) {
                any = true;
                let Some((challenge, stale)) = parse_challenge(header.value, proxy) else { continue };
                let same = |(known, _): &&mut (Challenge, bool)| known.proxy == proxy && known.realm == challenge.realm;
                if let Some(place) = best.iter_mut().find(same) {
                    if self.preference == Preference::Strongest && challenge.algorithm > place.0.algorithm {
                        *place = (challenge, stale);
                    }
                } else if best.len() < REALMS {
                    best.push((challenge, stale));
                }
            }
        }
        if best.is_empty() {
            return if any { Challenged::Unknown } else { Challenged::Refused };
        }
        let mut verdict = Challenged::Refused;
        for (challenge, stale) in best {
            let same = |known: &&mut Challenge| known.proxy == challenge.proxy && known.realm == challenge.realm;
            match self.challenges.iter_mut().find(same) {
                // The same realm asks again: the answer was wrong, unless only its nonce was too old.
                Some(known) => {
                    let answered = known.count > 0;
                    *known = challenge;
                    match (answered, stale) {
                        (true, false) => {}
                        (true, true) if verdict == Challenged::Refused => verdict = Challenged::Stale,
                        _ => verdict = Challenged::Retry,
                    }
                }
                None => {
                    self.challenges.push(challenge);
                    verdict = Challenged::Retry;
                }
            }
        }
        verdict
    }

    /// Forgets every challenge, as after a refusal: the next request begins anew.
    pub fn forget(&mut self) {
        self.challenges.clear();
    }

    /// The headers that prove the credentials for a request, one for each realm that has asked.
    pub fn authorize(&mut self, random: &mut Random, method: &str, uri: &str) -> Vec<(HeaderName, String)> {
        let credentials = &self.credentials;
        let answer = |challenge: &mut Challenge| {
            challenge.count = challenge.count.saturating_add(1);
            let count = format!("{:08x}", challenge.count);
            let cnonce = format!("{:016x}", random.u64());
            let proof = Proof {
                algorithm: challenge.algorithm,
                session: challenge.session,
                username: &credentials.username,
                realm: &challenge.realm,
                password: &credentials.password,
                nonce: &challenge.nonce,
                method,
                uri,
                counted: challenge.qop.then_some((&count, &cnonce)),
                cnonce: &cnonce,
            };
            let mut value = format!(
                "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{}\"",
                credentials.username,
                challenge.realm,
                challenge.nonce,
                proof.response()
            );
            if challenge.named {
                let session = if challenge.session { "-sess" } else { "" };
                value.push_str(&format!(", algorithm={}{session}", challenge.algorithm.as_str()));
            }
            if challenge.qop {
                value.push_str(&format!(", qop=auth, nc={count}, cnonce=\"{cnonce}\""));
            } else if challenge.session {
                value.push_str(&format!(", cnonce=\"{cnonce}\""));
            }
            if let Some(opaque) = &challenge.opaque {
                value.push_str(&format!(", opaque=\"{opaque}\""));
            }
            let name = if challenge.proxy { HeaderName::ProxyAuthorization } else { HeaderName::Authorization };
            (name, value)
        };
        self.challenges.iter_mut().map(answer).collect()
    }
}

/// A challenge we can answer, and whether it says `stale=true`.
fn parse_challenge(value: &[u8], proxy: bool) -> Option<(Challenge, bool)> {
    let fields = Fields::parse(value)?;
    let (algorithm, session) = Algorithm::parse(fields.get("algorithm"))?;
    let qop = match fields.get("qop") {
        None => false,
        Some(list) => list.split(',').any(|qop| qop.trim().eq_ignore_ascii_case("auth")).then_some(true)?,
    };
    let challenge = Challenge {
        proxy,
        realm: fields.get("realm")?.to_owned(),
        nonce: fields.get("nonce")?.to_owned(),
        opaque: fields.get("opaque").map(str::to_owned),
        algorithm,
        named: fields.get("algorithm").is_some(),
        session,
        qop,
        count: 0,
    };
    Some((challenge, fields.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"))))
}

/// The fields of a Digest header.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

/// Fields in one header.
const FIELDS: usize = 32;

impl<'a> Fields<'a> {
    fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let (scheme, rest) = text.split_at_checked(text.find(|c: char| c.is_ascii_whitespace())?)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut fields = Vec::new();
        let mut rest = rest.as_bytes();
        while !rest.is_empty() && fields.len() < FIELDS {
            // A quoted value may hold commas.
            let mut quoted = false;
            let comma = rest.iter().position(|octet| {
                quoted ^= *octet == b'"';
                *octet == b',' && !quoted
            });
            let (one, after) = rest.split_at_checked(comma.unwrap_or(rest.len()))?;
            rest = after.get(1..).unwrap_or_default();
            fields.extend(Params::new(one).into_iter().next().and_then(|(name, value)| Some((name, value?))));
        }
        Some(Self(fields))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

/// What a server found out about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// These credentials are proved: the user name.
    Proved(String),
    /// No credentials for this realm: challenge.
    Missing,
    /// They were right, the nonce too old or used before: challenge with `stale=true`.
    Stale,
    /// They are wrong: the user name that was claimed.
    Wrong(String),
}

/// Checks credentials for one realm. Nonces carry their own seal, so that asking costs no memory.
#[derive(Debug)]
pub struct Server {
    realm: String,
    algorithms: Vec<Algorithm>,
    secret: String,
    start: Instant,
    lifetime: Duration,
    /// The highest count seen of each nonce in use.
    counts: KeyedMap<String, (Instant, u32)>,
}

impl Server {
    /// A server for this realm that offers these algorithms, the preferred one first.
    #[must_use]
    pub fn new(realm: &str, algorithms: &[Algorithm], random: &mut Random, now: Instant) -> Self {
        let keyed = KeyedState::new(random);
        Self {
            realm: realm.to_owned(),
            algorithms: algorithms.to_vec(),
            secret: hex(&random.seed()),
            start: now,
            lifetime: Duration::from_secs(300),
            counts: KeyedMap::with_hasher(keyed),
        }
    }

    /// From now on these algorithms are offered and accepted, the preferred one first.
    pub fn offer(&mut self, algorithms: &[Algorithm]) {
        self.algorithms = algorithms.to_vec();
    }

    /// The values of WWW-Authenticate or Proxy-Authenticate, one for each algorithm.
    pub fn challenge(&self, now: Instant, random: &mut Random, stale: bool) -> Vec<String> {
        let nonce = self.nonce(now, random);
        let stale = if stale { ", stale=true" } else { "" };
        let one = |algorithm: &Algorithm| {
            let (realm, algorithm) = (&self.realm, algorithm.as_str());
            format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", qop=\"auth\", algorithm={algorithm}{stale}")
        };
        self.algorithms.iter().map(one).collect()
    }

    /// Checks the credentials of a request; `password` gives the password of a user name.
    pub fn verify(
        &mut self,
        now: Instant,
        request: &Message<'_>,
        proxy: bool,
        password: impl Fn(&str) -> Option<String>,
    ) -> Verdict {
        let name = if proxy { HeaderName::ProxyAuthorization } else { HeaderName::Authorization };
        let found = request.headers().filter(|header| header.name == name).find_map(|header| {
            Fields::parse(header.value).filter(|fields| fields.get("realm") == Some(self.realm.as_str()))
        });
        let Some(fields) = found else { return Verdict::Missing };
        let (Some(username), Some(nonce), Some(uri), Some(response)) =
            (fields.get("username"), fields.get("nonce"), fields.get("uri"), fields.get("response"))
        else {
            return Verdict::Missing;
        };
        let wrong = || Verdict::Wrong(username.to_owned());
        let Some((algorithm, session)) = Algorithm::parse(fields.get("algorithm")) else { return wrong() };
        if !self.algorithms.contains(&algorithm) {
            return wrong();
        }
        // For who is unknown the same is computed as for who is known: the time that it takes tells nobody who there is.
        let known = password(username);
        let password = known.as_deref().unwrap_or_default();
        let counted = match (fields.get("qop"), fields.get("nc"), fields.get("cnonce")) {
            (None, _, _) => None,
            (Some(qop), Some(count), Some(cnonce)) if qop.eq_ignore_ascii_case("auth") => Some((count, cnonce)),
            _ => return wrong(),
        };
        let token = request.request().map(|line| String::from_utf8_lossy(line.token)).unwrap_or_default();
        let proof = Proof {
            algorithm,
            session,
            username,
            realm: &self.realm,
            password,
            nonce,
            method: &token,
            uri,
            counted,
            cnonce: fields.get("cnonce").unwrap_or_default(),
        };
        if !same(&proof.response(), &response.to_ascii_lowercase()) || known.is_none() {
            return wrong();
        }
        if !self.is_fresh(now, nonce) || !self.count(now, nonce, counted.map(|(count, _)| count)) {
            return Verdict::Stale;
        }
        Verdict::Proved(username.to_owned())
    }

    fn nonce(&self, now: Instant, random: &mut Random) -> String {
        let age = now.saturating_duration_since(self.start).as_millis();
        let text = format!("{age:x}.{:016x}", random.u64());
        let seal = self.seal(&text);
        format!("{text}.{seal}")
    }

    fn seal(&self, text: &str) -> String {
        let mut seal = Algorithm::Sha256.hash(&format!("{}:{text}:{}", self.secret, self.realm));
        seal.truncate(24);
        seal
    }

    fn is_fresh(&self, now: Instant, nonce: &str) -> bool {
        let Some((text, seal)) = nonce.rsplit_once('.') else { return false };
        let made = text.split_once('.').and_then(|(age, _)| u64::from_str_radix(age, 16).ok());
        let Some(made) = made.and_then(|age| self.start.checked_add(Duration::from_millis(age))) else { return false };
        same(&self.seal(text), seal) && now.saturating_duration_since(made) <= self.lifetime
    }

    /// Whether this count of this nonce is new. Without counts a nonce is good for its lifetime.
    fn count(&mut self, now: Instant, nonce: &str, count: Option<&str>) -> bool {
        let Some(count) = count else { return true };
        let Ok(count) = u32::from_str_radix(count, 16) else { return false };
        if self.counts.len() >= limits::NONCES {
            let lifetime = self.lifetime;
            self.counts.retain(|_, (seen, _)| now.saturating_duration_since(*seen) <= lifetime);
            if self.counts.len() >= limits::NONCES {
                self.counts.clear();
                // What is forgotten must not be replayed: every nonce made so far is too old from now on.
                self.secret.push('.');
                return false;
            }
        }
        match self.counts.get_mut(nonce) {
            Some((_, highest)) if *highest >= count => false,
            Some((_, highest)) => {
                *highest = count;
                true
            }
            None => {
                self.counts.insert(nonce.to_owned(), (now, count));
                true
            }
        }
    }
}

/// Compares without telling by its time how much is alike.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |differs, (l, r)| differs | (l ^ r)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(algorithm: Algorithm) -> String {
        // RFC 7616 section 3.9.1.
        Proof {
            algorithm,
            session: false,
            username: "Mufasa",
            realm: "http-auth@example.org",
            password: "Circle of Life",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            method: "GET",
            uri: "/dir/index.html",
            counted: Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")),
            cnonce: "",
        }
        .response()
    }

    #[test]
    fn the_responses_are_those_of_rfc_7616() {
        assert_eq!(vector(Algorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(vector(Algorithm::Sha256), "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
    }

    #[test]
    fn without_qop_the_response_is_that_of_rfc_2069() {
        let proof = Proof {
            algorithm: Algorithm::Md5,
            session: false,
            username: "Mufasa",
            realm: "testrealm@host.com",
            password: "Circle Of Life",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            method: "GET",
            uri: "/dir/index.html",
            counted: None,
            cnonce: "",
        };
        assert_eq!(proof.response(), "670fd8c2df070c60b045671b8b24ff02");
    }

    fn request(headers: &str) -> String {
        format!(
            "REGISTER sip:sfb.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nFrom: <sip:john@sfb.example>;tag=1\r\n\
             To: <sip:john@sfb.example>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n{headers}Content-Length: 0\r\n\r\n"
        )
    }

    fn challenge(headers: &str) -> String {
        format!(
            "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nFrom: <sip:john@sfb.example>;tag=1\r\n\
             To: <sip:john@sfb.example>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n{headers}Content-Length: 0\r\n\r\n"
        )
    }

    struct Pair {
        server: Server,
        client: Client,
        random: Random,
        now: Instant,
    }

    impl Pair {
        #[allow(clippy::disallowed_methods, reason = "one reading to start from; it never moves by itself")]
        fn new(algorithms: &[Algorithm], password: &str) -> Self {
            let mut random = Random::from_number(5);
            let now = Instant::now();
            let server = Server::new("sfb.example", algorithms, &mut random, now);
            let credentials = Credentials { username: "john".to_owned(), password: password.to_owned() };
            Self { server, client: Client::new(credentials, Preference::Strongest), random, now }
        }

        fn ask(&mut self, stale: bool) -> Challenged {
            let values = self.server.challenge(self.now, &mut self.random, stale);
            let lines: String = values.iter().map(|value| format!("WWW-Authenticate: {value}\r\n")).collect();
            self.client.challenged(&Message::parse(challenge(&lines).as_bytes()).unwrap())
        }

        fn answer(&mut self) -> String {
            let headers = self.client.authorize(&mut self.random, "REGISTER", "sip:sfb.example");
            headers.iter().map(|(name, value)| format!("{}: {value}\r\n", name.as_str())).collect()
        }

        fn check(&mut self, headers: &str) -> Verdict {
            let text = request(headers);
            let message = Message::parse(text.as_bytes()).unwrap();
            self.server.verify(self.now, &message, false, |user| (user == "john").then(|| "secret".to_owned()))
        }
    }

    #[test]
    fn a_client_proves_itself_with_the_strongest_algorithm_offered() {
        let mut pair = Pair::new(&[Algorithm::Md5, Algorithm::Sha256], "secret");
        assert_eq!(pair.check(""), Verdict::Missing);
        assert_eq!(pair.ask(false), Challenged::Retry);
        let answer = pair.answer();
        assert!(answer.contains("algorithm=SHA-256"), "{answer}");
        assert_eq!(pair.check(&answer), Verdict::Proved("john".to_owned()));
    }

    #[test]
    fn a_wrong_password_is_refused_and_the_client_does_not_try_for_ever() {
        let mut pair = Pair::new(&[Algorithm::Md5], "guess");
        assert_eq!(pair.ask(false), Challenged::Retry);
        let answer = pair.answer();
        assert_eq!(pair.check(&answer), Verdict::Wrong("john".to_owned()));
        assert_eq!(pair.ask(false), Challenged::Refused);
    }

    #[test]
    fn an_old_nonce_is_stale_and_a_used_count_too() {
        let mut pair = Pair::new(&[Algorithm::Md5], "secret");
        assert_eq!(pair.ask(false), Challenged::Retry);
        let answer = pair.answer();
        assert_eq!(pair.check(&answer), Verdict::Proved("john".to_owned()));
        assert_eq!(pair.check(&answer), Verdict::Stale);
        let next = pair.answer();
        assert_eq!(pair.check(&next), Verdict::Proved("john".to_owned()));
        pair.now += Duration::from_secs(301);
        let late = pair.answer();
        assert_eq!(pair.check(&late), Verdict::Stale);
        assert_eq!(pair.ask(true), Challenged::Stale);
        let fresh = pair.answer();
        assert_eq!(pair.check(&fresh), Verdict::Proved("john".to_owned()));
    }

    #[test]
    fn an_unknown_scheme_counts_as_no_credentials() {
        let mut pair = Pair::new(&[Algorithm::Md5], "secret");
        assert_eq!(pair.check("Authorization: NoOneKnowsThisScheme opaque-data=here\r\n"), Verdict::Missing);
    }
}
