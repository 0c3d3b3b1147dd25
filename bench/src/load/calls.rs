//! Callers and callees: calls at a rate, each of them INVITE, 180, 200, ACK, a while, BYE, 200.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::request::From;
use super::{Outcome, TRIES, message, request, socket, wait};

/// How long a call lasts from its answer.
pub(crate) const HOLD: Duration = Duration::from_millis(200);

/// How long the last calls may take beyond the time that they need.
const PATIENCE: Duration = Duration::from_secs(35);

/// Where a call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Invited,
    Answered,
    Ending,
    Over,
}

#[derive(Clone, Default)]
struct Call {
    state: State,
    tries: u32,
    began: Option<Instant>,
    sent: Option<Instant>,
    contact: String,
    routes: String,
    to_tag: String,
}

/// All calls through one server, which must route them to the callee.
pub(crate) struct Calls {
    server: SocketAddr,
    caller: UdpSocket,
    callee: UdpSocket,
    run: String,
    calls: Vec<Call>,
    answered: VecDeque<(Instant, usize)>,
    live: usize,
    outcome: Outcome,
    text: String,
}

impl Calls {
    /// Calls from here to `callee` by way of `server`; `run` makes the names of these unlike those of any other.
    pub(crate) fn new(server: SocketAddr, callee: UdpSocket, run: &str) -> io::Result<Self> {
        Ok(Self {
            server,
            caller: socket::bind()?,
            callee,
            run: run.to_owned(),
            calls: Vec::new(),
            answered: VecDeque::new(),
            live: 0,
            outcome: Outcome::default(),
            text: String::new(),
        })
    }

    /// Makes so many calls, so many in a second, and waits for the end of all.
    pub(crate) fn work(&mut self, calls: usize, rate: u32) -> io::Result<Outcome> {
        self.calls = vec![Call::default(); calls];
        self.outcome = Outcome::default();
        let interval = Duration::from_secs(1) / rate;
        let began = Instant::now();
        let last = began + interval * u32::try_from(calls).unwrap_or(u32::MAX) + HOLD + PATIENCE;
        let (mut next, mut due, mut scanned) = (0, began, began);
        while next < calls || self.live > 0 {
            let now = Instant::now();
            if now > last {
                break;
            }
            while next < calls && due <= now {
                let call = &mut self.calls[next];
                (call.state, call.began) = (State::Invited, Some(now));
                self.live += 1;
                self.send(next, "INVITE")?;
                next += 1;
                due += interval;
            }
            while let Some((until, number)) = self.answered.front().copied().filter(|(until, _)| *until <= now) {
                let _ = until;
                self.answered.pop_front();
                let call = &mut self.calls[number];
                (call.state, call.tries) = (State::Ending, 0);
                self.send(number, "BYE")?;
            }
            socket::wait([&self.caller, &self.callee], Duration::from_millis(1));
            self.drain()?;
            if now.duration_since(scanned) > Duration::from_millis(100) {
                scanned = now;
                self.repeat(now, next)?;
            }
        }
        self.outcome.failed += self.live as u64;
        self.live = 0;
        self.answered.clear();
        Ok(std::mem::take(&mut self.outcome))
    }

    fn send(&mut self, number: usize, method: &str) -> io::Result<()> {
        let call = &mut self.calls[number];
        call.sent = Some(Instant::now());
        let Call { to_tag, contact, routes, .. } = &*call;
        let request = request::Call { number, server: self.server, to_tag, contact, routes };
        request.write(&mut self.text, From { run: &self.run, here: self.caller.local_addr()? }, method);
        self.caller.send_to(self.text.as_bytes(), self.server).map(drop)
    }

    fn drain(&mut self) -> io::Result<()> {
        let mut octets = [0; 65_536];
        while let Ok((length, from)) = self.callee.recv_from(&mut octets) {
            if let Ok(text) = std::str::from_utf8(&octets[..length]) {
                self.asked(text, from)?;
            }
        }
        while let Ok(length) = self.caller.recv(&mut octets) {
            if let Ok(text) = std::str::from_utf8(&octets[..length]) {
                self.told(text)?;
            }
        }
        Ok(())
    }

    /// A request to the callee.
    fn asked(&mut self, received: &str, from: SocketAddr) -> io::Result<()> {
        let text = &mut self.text;
        if received.starts_with("INVITE ") {
            let here = self.callee.local_addr()?;
            request::ringing(text, received, here);
            self.callee.send_to(text.as_bytes(), from)?;
            request::answered(text, received, here);
        } else if received.starts_with("ACK ") || received.starts_with("SIP/2.0 ") {
            return Ok(());
        } else {
            request::confirmed(text, received, "callee");
        }
        self.callee.send_to(text.as_bytes(), from).map(drop)
    }

    /// An answer to the caller.
    fn told(&mut self, text: &str) -> io::Result<()> {
        let Some(status) = message::status(text).filter(|status| *status >= 200) else { return Ok(()) };
        let Some(number) = message::number(text, &self.run, 'c') else { return Ok(()) };
        let Some(call) = self.calls.get_mut(number) else { return Ok(()) };
        let is_invite = message::header(text, "cseq", "").is_some_and(|cseq| cseq.ends_with("INVITE"));
        match call.state {
            State::Invited if is_invite => {
                if let Some(tag) = message::header(text, "to", "t").and_then(|to| message::param(to, ";tag=")) {
                    tag.clone_into(&mut call.to_tag);
                }
                if status >= 300 {
                    self.send(number, "ACK")?;
                    self.end(number, Some(status));
                    return Ok(());
                }
                if let Some(contact) = message::header(text, "contact", "m").and_then(message::bracketed) {
                    contact.clone_into(&mut call.contact);
                }
                call.routes = message::routes(text);
                call.state = State::Answered;
                let now = Instant::now();
                self.outcome.latencies.extend(call.began.map(|began| now.duration_since(began)));
                self.answered.push_back((now + HOLD, number));
                self.send(number, "ACK")?;
            }
            // Our ACK was lost.
            State::Answered if is_invite => self.send(number, "ACK")?,
            State::Ending if !is_invite => self.end(number, Some(status).filter(|status| *status >= 300)),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, number: usize, refusal: Option<u16>) {
        self.calls[number] = Call { state: State::Over, ..Call::default() };
        self.live -= 1;
        match refusal {
            None => self.outcome.done += 1,
            Some(status) => {
                self.outcome.failed += 1;
                self.outcome.refusal = Some(status);
            }
        }
    }

    /// Sends again what had no answer, and gives up what never has one.
    fn repeat(&mut self, now: Instant, until: usize) -> io::Result<()> {
        for number in 0..until {
            let call = &mut self.calls[number];
            let method = match call.state {
                State::Invited => "INVITE",
                State::Ending => "BYE",
                _ => continue,
            };
            if call.sent.is_some_and(|sent| now.duration_since(sent) <= wait(call.tries)) {
                continue;
            }
            call.tries += 1;
            if call.tries > TRIES {
                self.end(number, None);
                self.outcome.done -= 1;
                self.outcome.failed += 1;
                continue;
            }
            self.outcome.repeated += 1;
            self.send(number, method)?;
        }
        Ok(())
    }
}
