//! The demo, as a newcomer runs it: it shows the lamps, and would notice if they stayed dark.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::{Command, Output};

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_offhook")).arg("demo").args(arguments).env("NO_COLOR", "1").output().unwrap()
}

#[test]
fn the_watcher_sees_both_on_the_phone_and_clear_again() {
    let output = demo(&[]);
    let ladder = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{ladder}{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "INVITE",
        "200 OK",
        "PUBLISH",
        "<ep:activity>on-the-phone</ep:activity>",
        "SIP-ETag: ",
        "SIP-If-Match: ",
        "BYE",
        "Expires: 0",
    ] {
        assert!(ladder.contains(line), "no {line} in\n{ladder}");
    }
    let place = |text: &str, nth: usize| ladder.match_indices(text).nth(nth).map(|(place, _)| place);
    let (lit, clear) = (place("on the phone", 0).unwrap(), ladder.rfind("closed").unwrap());
    assert!(lit < clear, "dark before light in\n{ladder}");
    assert_eq!(ladder.matches("PUBLISH ─").count(), 6, "initial, refresh and removal of two people in\n{ladder}");
    assert!(ladder.contains("The watcher saw john.doe and jane.roe on the phone, and off again."));
}

#[test]
fn a_publisher_that_says_nothing_fails_the_demo() {
    let output = demo(&["--break-publisher"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the watcher did not see both people on the phone"), "{said}");
}
