//! RFC 3903, event state publication, from the side of the event state compositor: a rule, a test, over the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kamailio;
mod section_11;
mod section_4;
mod section_6;
mod section_6_steps;
mod section_7;
mod section_8_3;

use std::process::ExitCode;

fn main() -> ExitCode {
    let sections = [
        section_4::RULES,
        section_6::RULES,
        section_6_steps::RULES,
        section_7::RULES,
        section_8_3::RULES,
        section_11::RULES,
    ];
    tests::conformance::run("rfc3903", &sections, kamailio::BREAKS)
}
