//! The package `message-summary` (RFC 3842): a new package is one file, and behaves as the others do.

use std::time::Duration;

use crate::world::{JOHN, World, header, jane, john, publisher};

const EVENT: &str = "Event: message-summary";
const TYPE: &str = "Content-Type: application/simple-message-summary";
const HARD: &str = "Messages-Waiting: no\r\n";

#[test]
fn a_mailbox_tells_its_owner_what_waits() {
    let mut world = World::new();
    let watched = world.subscribe_with(&john(), None, &[EVENT, "Expires: 3600"]);
    assert_eq!(watched.response.code, 200);
    assert_eq!(watched.notifies[0].body(), HARD, "nothing is published yet");
    assert_eq!(watched.notifies[0].header("Event").unwrap(), "message-summary");
    assert_eq!(watched.notifies[0].header("Content-Type").unwrap(), "application/simple-message-summary");
    world.answer(watched.notifies[0].key, 200, &[]);
    let body = "Messages-Waiting: yes\r\nMessage-Account: sip:john.doe@vmail.example\r\nvoice-message:  2/8 (0/2)\r\n\r\n\
                From: <sip:jane@sfb.example>\r\nSubject: lunch\r\n";
    let published = world.publish(&publisher("voicemail"), JOHN, &[EVENT, TYPE, "Expires: 600"], body);
    assert_eq!(published.response.code, 200);
    assert_eq!(
        published.notifies[0].body(),
        "Messages-Waiting: yes\r\nMessage-Account: sip:john.doe@vmail.example\r\nVoice-Message: 2/8 (0/2)\r\n\r\n\
         From: <sip:jane@sfb.example>\r\nSubject: lunch\r\n"
    );
    world.answer(published.notifies[0].key, 200, &[]);
    let expired = world.wait(Duration::from_secs(601));
    assert_eq!(expired[0].body(), HARD, "the publication has run out");
}

#[test]
fn mailboxes_are_added_up() {
    let mut world = World::new();
    let headers = [EVENT, TYPE, "Expires: 600"];
    let one = "Messages-Waiting: no\nVoice-Message: 0/3\nFax-Message: 1/0\n";
    let other = "Messages-Waiting: yes\r\nVoice-Message: 4/1 (1/0)\r\n";
    assert_eq!(world.publish(&john(), JOHN, &headers, one).response.code, 200);
    let tag = header(&world.publish(&john(), JOHN, &headers, other).response.headers, "SIP-ETag").unwrap();
    let fetched = world.subscribe_with(&john(), None, &[EVENT, "Expires: 0"]);
    let sum = "Messages-Waiting: yes\r\nVoice-Message: 4/4 (1/0)\r\nFax-Message: 1/0\r\n";
    assert_eq!(fetched.notifies[0].body(), sum);
    let matching = format!("SIP-If-Match: {tag}");
    assert_eq!(world.publish(&john(), JOHN, &[EVENT, &matching, "Expires: 0"], "").response.code, 200);
    let fetched = world.subscribe_with(&john(), None, &[EVENT, "Expires: 0"]);
    assert_eq!(fetched.notifies[0].body(), "Messages-Waiting: no\r\nVoice-Message: 0/3\r\nFax-Message: 1/0\r\n");
}

#[test]
fn only_its_owner_may_look_into_a_mailbox_and_a_peer_in_the_owners_name() {
    let mut world = World::new();
    assert_eq!(world.subscribe_with(&jane(), None, &[EVENT]).response.code, 403);
    let pbx = publisher("pbx");
    assert_eq!(world.subscribe_with(&pbx, None, &[EVENT]).response.code, 403, "Jane, behind a peer");
    assert_eq!(world.subscribe_to("sip:jane@sfb.example", &pbx, &[EVENT]).response.code, 200);
    let refused = world.publish(&jane(), JOHN, &[EVENT, TYPE], HARD);
    assert_eq!(refused.response.code, 403);
}

#[test]
fn what_is_no_summary_is_refused() {
    let mut world = World::new();
    let bodies = [
        "Voice-Message: 1/0\r\n",
        "Messages-Waiting: perhaps\r\n",
        "Messages-Waiting: yes\r\nVoice-Message: many\r\n",
        "Messages-Waiting: yes\r\nVoice-Message: 1/0 (1/0\r\n",
        "Messages-Waiting: yes\r\nVoice-Message: 99999999999/0\r\n",
        "Messages-Waiting: yes\r\n\r\nno header\r\n",
    ];
    for body in bodies {
        assert_eq!(world.publish(&john(), JOHN, &[EVENT, TYPE], body).response.code, 400, "{body}");
    }
    let headers = [EVENT, "Content-Type: application/pidf+xml"];
    let refused = world.publish(&john(), JOHN, &headers, HARD).response;
    assert_eq!(
        (refused.code, header(&refused.headers, "Accept").as_deref()),
        (415, Some("application/simple-message-summary"))
    );
}

#[test]
fn a_document_of_another_package_is_not_among_those_of_presence() {
    let mut world = World::new();
    let before = world.document();
    world.subscribe();
    let published = world.publish(&john(), JOHN, &[EVENT, TYPE], "Messages-Waiting: yes\r\n");
    assert_eq!(published.response.code, 200);
    assert!(published.notifies.is_empty());
    assert_eq!(world.document(), before);
}
