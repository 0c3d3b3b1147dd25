//! What the field has got wrong, and what it sends, tried over the wire: each test names its public thread or its product.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod call;
mod dialects;
mod lamps;
mod restarts;
