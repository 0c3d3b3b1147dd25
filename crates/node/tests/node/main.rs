//! The whole node in virtual time, between two peers and a presence server made of text.
#![allow(clippy::disallowed_methods, reason = "one reading of the clock to start from; it never moves by itself")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;
mod first_light;
mod lamps;
mod lists;
mod overload;
mod reach;
mod returning;
mod streams;
mod ways;
mod world;
