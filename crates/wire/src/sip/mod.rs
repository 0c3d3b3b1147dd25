//! SIP messages: read where they lie, printed into a buffer (RFC 3261 section 7 and 25).

mod fault;
mod frame;
mod head;
mod header;
mod message;
mod method;
mod name_addr;
mod params;
pub mod print;
mod scan;
mod uri;
mod via;

pub use fault::{Fault, Unframeable};
pub use frame::{Framed, Framer};
pub use head::{RequestLine, StatusLine};
pub use header::{Header, HeaderName};
pub use message::{CSeq, Contact, Event, MediaType, Message};
pub use method::Method;
pub use name_addr::NameAddr;
pub use params::Params;
pub use print::{Headers, reason_phrase};
pub use uri::{BadUri, Host, Scheme, Uri};
pub use via::Via;
