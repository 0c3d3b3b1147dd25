//! Overload: new work is turned away so that what is there goes on.

use std::time::Instant;

use wire::sip::{HeaderName, Message, Method};

use sip::Response;
use sip::transaction::{self, ServerKey};

use crate::limits;
use crate::node::Node;
use crate::report::Report;

/// What is known of the load.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overload {
    /// Whether the driver says that more arrives than can be done.
    pressed: bool,
    /// Whether new work is turned away.
    turning: bool,
    /// How many requests were turned away since that began.
    turned_away: u64,
}

impl Node {
    /// The driver tells whether more arrives than can be done.
    pub(crate) fn pressed(&mut self, pressed: bool) {
        self.overload.pressed = pressed;
        self.weigh();
    }

    /// Turns a request away if it is new work and there is too much of it already. Whatever belongs to something that is
    /// there (a BYE, a refresh, a removal, a registration) goes on, and of what is turned away nothing is kept that would take
    /// its room.
    pub(crate) fn turns_away(&mut self, now: Instant, key: ServerKey, message: &Message<'_>) -> bool {
        self.weigh();
        if !self.overload.turning || !is_new_work(message) {
            return false;
        }
        self.overload.turned_away += 1;
        let mut response = Response::new(503);
        // Not all of them at the same moment again.
        let spread = self.random.below(limits::OVERLOAD_RETRY_SPREAD.into());
        let after = u64::from(limits::OVERLOAD_RETRY_AFTER) + spread;
        response.headers.push(HeaderName::RetryAfter, after.to_string());
        self.transactions.handle(now, &mut self.random, transaction::Input::TurnAway { key, response });
        true
    }

    /// New work is turned away while the driver says so, and while few transactions are left for what is there.
    fn weigh(&mut self) {
        let open = self.transactions.len();
        let full = if self.overload.turning { limits::FEW_TRANSACTIONS } else { limits::MANY_TRANSACTIONS };
        let turning = self.overload.pressed || open >= full;
        if turning != self.overload.turning {
            let turned_away = std::mem::take(&mut self.overload.turned_away);
            self.overload.turning = turning;
            self.report(if turning {
                Report::Overloaded { transactions: open }
            } else {
                Report::Relieved { turned_away }
            });
        }
    }
}

/// Whether a request begins something: a call, a subscription, a publication.
fn is_new_work(message: &Message<'_>) -> bool {
    match message.method() {
        Method::Invite | Method::Subscribe => message.to_tag().is_none(),
        Method::Publish => message.header(HeaderName::SipIfMatch).is_none(),
        _ => false,
    }
}
