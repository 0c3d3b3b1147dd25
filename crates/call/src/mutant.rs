//! Deliberate faults of the calls, so that tests can show that they would find them.

/// A deliberate fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// Who hangs up is answered, and the other side hears nothing.
    ByeNotPassed,
    /// Nobody is told that a call is over.
    EndNotTold,
    /// Nobody is told that a call was answered.
    AnswerNotTold,
    /// What a BYE needs after a restart is not written down.
    RecordNotSaved,
    /// What was written down is never dropped.
    RecordNotForgotten,
    /// Calls of an earlier run are not hung up.
    LeftoversForgotten,
    /// Nobody looks after the sessions.
    SessionsForgotten,
}
