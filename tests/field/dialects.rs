//! What other products publish, as they publish it: each document is read, composed, valid, and understood by real clients.

use std::fs;

use tests::conversation::{PIDF, tag, uri};
use tests::office::{LIMIT, host};
use tests::{Baresip, Linphone, Seen, Transport, material, schema_faults, until};

use crate::call::Ground;

/// The documents of `tests/material/pidf`, and whether each says that somebody is on the phone.
const DIALECTS: [(&str, bool); 11] = [
    ("asterisk-pjsip-on-the-phone.xml", true),
    ("audiocodes-seed-on-the-phone.xml", true),
    ("baresip-1.0.0-online-captured.xml", false),
    ("cisco-cucm7-on-the-phone.xml", true),
    ("cisco-imp-available.xml", false),
    ("exosip-linphone1-rpid-status-busy.xml", false),
    ("freeswitch-on-the-phone.xml", true),
    ("linphone-5.1.65-online-captured.xml", false),
    ("pjsua-2.17-on-the-phone-text-busy-captured.xml", true),
    ("pjsua-2.17-online-captured.xml", false),
    ("sipe-ocs-lcs-pidf.xml", true),
];

fn document(name: &str) -> String {
    fs::read_to_string(material(&format!("pidf/{name}"))).unwrap()
}

#[test]
fn every_dialect_is_taken_refreshed_with_its_body_shown_valid_and_gone_when_it_is_removed() {
    let ground = Ground::new("dialects", "");
    let (mut publisher, mut watcher) = (ground.known(), ground.known());
    for (place, (name, on_the_phone)) in DIALECTS.into_iter().enumerate() {
        let user = format!("dialect{place}");
        let body = document(name);
        let (watch, _) = watcher.watch(&user, "watcher", 600);
        let first = publisher.ask(&publisher.publish_document(&user, 600, &body));
        assert_eq!(first.code(), 200, "{name}:\n{first}");
        let shown = watch.notified(&mut watcher);
        assert_eq!(schema_faults(&shown.body()), None, "{name}:\n{shown}");
        let seen = Seen::read(&shown.body());
        assert_eq!(seen.is_on_the_phone(), on_the_phone, "{name}:\n{shown}");
        assert!(seen.basic.contains(&"open".to_owned()), "{name}:\n{shown}");
        assert!(shown.body().contains(&format!("entity=\"{}\"", uri(&user))), "{name}:\n{shown}");
        // Snom's phones send the body with every refresh: <https://github.com/OpenSIPS/opensips/pull/14>
        let refreshed = publisher.modify(&user, &tag(&first), 600, &body);
        assert_eq!(refreshed.code(), 200, "{name}:\n{refreshed}");
        assert_eq!(publisher.refresh(&user, &tag(&refreshed), 0).code(), 200);
        let last = watch.notified(&mut watcher);
        assert!(!last.body().contains("activit"), "no activity survives, {name}:\n{last}");
        assert_eq!(Seen::read(&last.body()).basic, ["closed"], "{name}:\n{last}");
    }
}

#[test]
fn all_dialects_of_one_user_make_one_valid_document() {
    let ground = Ground::new("all-dialects", "");
    let (mut publisher, mut watcher) = (ground.known(), ground.known());
    let (watch, _) = watcher.watch("john.doe", "watcher", 600);
    let mut tags = Vec::new();
    let mut busy = false;
    for (name, on_the_phone) in DIALECTS {
        tags.push((publisher.initial("john.doe", 600, &document(name)), on_the_phone));
        busy |= on_the_phone;
        let shown = watch.notified(&mut watcher);
        assert_eq!(schema_faults(&shown.body()), None, "{name}:\n{shown}");
        assert_eq!(Seen::read(&shown.body()).on_the_phone, busy, "{name}:\n{shown}");
    }
    // One leaves after the other: as long as one of them says so, it shows.
    while let Some((etag, _)) = tags.pop() {
        assert_eq!(publisher.refresh("john.doe", &etag, 0).code(), 200);
        let shown = watch.notified(&mut watcher);
        assert_eq!(schema_faults(&shown.body()), None, "{shown}");
        assert_eq!(Seen::read(&shown.body()).on_the_phone, tags.iter().any(|(_, busy)| *busy), "{shown}");
    }
}

/// A document that is no PIDF is refused with the type that is read; nothing of it shows.
#[test]
fn what_is_no_pidf_is_refused_with_what_would_be_read() {
    let ground = Ground::new("no-dialect", "");
    let mut publisher = ground.known();
    for (name, media) in [
        ("freeswitch-polycom-xpidf.xml", "application/xpidf+xml"),
        ("lync-ocs2007-phonestate-publication.xml", "application/msrtc-category-publish+xml"),
    ] {
        let request = publisher.publish_document("john.doe", 600, &document(name)).header("Content-Type", media);
        let answer = publisher.ask(&request);
        assert_eq!(answer.code(), 415, "{name}:\n{answer}");
        assert_eq!(answer.header("Accept").as_deref(), Some(PIDF), "{name}:\n{answer}");
    }
}

/// baresip says `Busy`, linphone is sent what says so.
#[test]
fn baresip_and_linphone_understand_what_is_made_of_every_dialect() {
    let ground = Ground::new("dialects-clients", "");
    let office = &ground.office;
    let mut publisher = ground.known();
    let baresip = Baresip::start(office, host::OTHER_PHONE, "jane.roe", "kim", Transport::Udp);
    let linphone = Linphone::start(office, host::CALLEE, "john.doe", "kim", Transport::Udp);
    let changes = || baresip.shown().matches("changed status from").count();
    until("both watch", LIMIT, || {
        let both = baresip.shown().contains("NOTIFY sip:") && !linphone.notified().is_empty();
        both.then_some(())
    });
    for (name, on_the_phone) in DIALECTS {
        let before = (changes(), linphone.notified().len());
        let etag = publisher.initial("kim", 600, &document(name));
        let what = if on_the_phone { "to Busy" } else { "to " };
        until(&format!("baresip shows {name} as `{what}`"), LIMIT, || {
            let shown = baresip.shown();
            let last = shown.lines().rfind(|line| line.contains("changed status from"))?;
            (changes() > before.0 && last.contains(what)).then_some(())
        });
        until(&format!("linphone is sent {name}"), LIMIT, || {
            let notified = linphone.notified();
            let last = notified.last().filter(|_| notified.len() > before.1)?;
            (last.is_on_the_phone() == on_the_phone).then_some(())
        });
        let before = changes();
        assert_eq!(publisher.refresh("kim", &etag, 0).code(), 200);
        until(&format!("baresip shows the end of {name}"), LIMIT, || (changes() > before).then_some(()));
    }
}
