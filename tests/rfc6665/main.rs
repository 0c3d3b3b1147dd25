//! RFC 6665, event notification, from the side of the notifier: a rule, a test, over the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::ExitCode;

fn main() -> ExitCode {
    tests::conformance::run("rfc6665", &[], &[])
}
