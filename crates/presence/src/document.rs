//! What is published: a user is on the phone, in the spelling that the server reads.

use sip::Aor;
pub use wire::pidf::Spelling;

/// The media type of presence documents.
pub const PIDF: &str = "application/pidf+xml";

/// The document for a user. `id` is unique for the publishing node and the user.
#[must_use]
pub fn on_the_phone(spelling: Spelling, user: &Aor, display_name: Option<&str>, id: &str) -> Vec<u8> {
    wire::pidf::on_the_phone(spelling, user.as_str(), display_name, id)
}
