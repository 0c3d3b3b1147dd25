//! Builds that are broken on purpose, all of which some seed must find.

use call::Mutant as Call;
use presence::publisher::Mutant as Publisher;
use presence::server::Mutant as Server;
use sip::transaction::Mutant as Transaction;

/// A deliberate fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// Of the node.
    Node(node::Mutant),
    /// Of the store.
    Store(Store),
}

/// A deliberate fault of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Store {
    /// What is written is acknowledged and lost.
    LosesWrites,
    /// What is written over something older is lost.
    KeepsTheOldest,
    /// Nothing is ever deleted.
    DeletesNothing,
}

/// All of them.
pub const MUTANTS: [Mutant; 44] = [
    publisher(Publisher::TagNotUpdated),
    publisher(Publisher::Ignores412),
    publisher(Publisher::RemoveLost),
    publisher(Publisher::Late2xxIgnored),
    publisher(Publisher::RefreshesLate),
    publisher(Publisher::EndInFlightForgotten),
    publisher(Publisher::NoIntent),
    publisher(Publisher::LeftoversForgotten),
    publisher(Publisher::RefreshIsInitial),
    publisher(Publisher::GrantIgnored),
    publisher(Publisher::NoRetry),
    publisher(Publisher::OneCallOnly),
    publisher(Publisher::NewerForgotten),
    call(Call::ByeNotPassed),
    call(Call::EndNotTold),
    call(Call::AnswerNotTold),
    call(Call::RecordNotSaved),
    call(Call::RecordNotForgotten),
    call(Call::LeftoversForgotten),
    call(Call::SessionsForgotten),
    transaction(Transaction::NoRetransmission),
    transaction(Transaction::NeverTimesOut),
    transaction(Transaction::NeverOver),
    server(Server::ChangeNotTold),
    server(Server::NewsForgotten),
    server(Server::NoRetry),
    server(Server::OneTimeoutIsTheEnd),
    server(Server::EndNotTold),
    server(Server::SubscriptionsForgotten),
    server(Server::ReturnNotTold),
    server(Server::NumbersBeginAnew),
    server(Server::RefreshNotSaved),
    server(Server::ExpiryNotTold),
    server(Server::PublicationsForgotten),
    server(Server::RightsStay),
    server(Server::MembersNotTold),
    server(Server::LostMembersForgotten),
    server(Server::ListsStay),
    server(Server::OldWayAwaited),
    server(Server::WatchersNotTold),
    Mutant::Node(node::Mutant::UsersStay),
    Mutant::Store(Store::LosesWrites),
    Mutant::Store(Store::KeepsTheOldest),
    Mutant::Store(Store::DeletesNothing),
];

const fn publisher(mutant: Publisher) -> Mutant {
    Mutant::Node(node::Mutant::Publisher(mutant))
}

const fn call(mutant: Call) -> Mutant {
    Mutant::Node(node::Mutant::Call(mutant))
}

const fn transaction(mutant: Transaction) -> Mutant {
    Mutant::Node(node::Mutant::Transaction(mutant))
}

const fn server(mutant: Server) -> Mutant {
    Mutant::Node(node::Mutant::PresenceServer(mutant))
}
