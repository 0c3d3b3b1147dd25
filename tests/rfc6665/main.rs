//! RFC 6665, event notification, from the side of the notifier: a rule, a test, over the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kamailio;
mod rates;
mod section_3_1;
mod section_3_2;
mod section_4_1;
mod section_4_2_1;
mod section_4_2_2;
mod section_4_4;
mod section_8;

use std::process::ExitCode;

fn main() -> ExitCode {
    let sections = [
        section_3_1::RULES,
        section_3_2::RULES,
        section_4_1::RULES,
        section_4_2_1::RULES,
        section_4_2_2::RULES,
        section_4_4::RULES,
        section_8::RULES,
        rates::RULES,
    ];
    tests::conformance::run("rfc6665", &sections, kamailio::BREAKS)
}
