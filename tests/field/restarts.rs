//! What others lost, or counted backwards, when they were started anew.

use tests::agent::PATIENCE;
use tests::conversation::{PIDF, on_the_phone, online, tag};
use tests::office::{LIMIT, Office, host};
use tests::{Seen, StandIn};

use crate::call::{Call, Ground};

/// CSeq of NOTIFY went backwards after a restart, and phones dropped what they were told.
/// <https://github.com/signalwire/freeswitch/pull/3056>
#[test]
fn freeswitch_3056_after_a_kill_the_cseq_of_notify_goes_on_upward() {
    let mut ground = Ground::new("freeswitch-3056", "");
    let (mut watcher, mut publisher) = (ground.known(), ground.known());
    let watch = Ground::watch(&mut watcher, "jane.roe", "presence", PIDF);
    let mut etag = publisher.initial("jane.roe", 600, &online("jane.roe"));
    let mut cseq = watch.notified(&mut watcher).cseq();
    for _ in 0..3 {
        ground.offhook.kill();
        ground.offhook.restart();
        // The tag outlives the kill, and so does the watcher's dialog.
        let answer = publisher.modify("jane.roe", &etag, 600, &on_the_phone("jane.roe"));
        assert_eq!(answer.code(), 200, "{answer}");
        etag = tag(&answer);
        let lit = loop {
            let notify = watch.notified(&mut watcher);
            assert!(notify.cseq() > cseq, "{} after {cseq}", notify.cseq());
            cseq = notify.cseq();
            if Seen::read(&notify.body()).is_on_the_phone() {
                break notify;
            }
        };
        assert!(lit.header("Subscription-State").is_some_and(|state| state.starts_with("active")), "{lit}");
        etag = tag(&publisher.modify("jane.roe", &etag, 600, &online("jane.roe")));
        let cleared = watch.notified(&mut watcher);
        assert!(cleared.cseq() > cseq, "{cleared}");
        cseq = cleared.cseq();
    }
}

/// After the network, or the client, was lost the publication stayed behind: there was no way to use a saved tag.
/// <https://github.com/pjsip/pjproject/issues/1293>, and a server that was restarted in the call sent no PUBLISH at its end:
/// <https://github.com/OpenSIPS/opensips/issues/240>
#[test]
fn pjproject_1293_after_a_kill_what_was_published_is_removed_by_its_saved_tag() {
    let office = Office::new("pjproject-1293");
    let at = office.network.sip(host::KAMAILIO);
    let server = StandIn::start(at, None);
    let more = format!("[[presence_server]]\nname = \"elsewhere\"\nuri = \"sip:{at};transport=udp\"\n");
    let mut ground = Ground::of(office, &more);
    let mut phone = ground.phone("jane.roe");
    let mut caller = ground.known();
    let mut call = Call::begin(&mut caller, "somebody", "jane.roe");
    let invite = Call::ring(&mut phone, "jane.roe");
    call.answer(&mut phone, "jane.roe", &invite, &mut caller);
    let _ = server.expect("jane.roe", &["initial"]);
    tests::until("it is held", LIMIT, || (server.holds("jane.roe") == 1).then_some(()));
    ground.offhook.kill();
    ground.offhook.restart();
    let came = server.expect("jane.roe", &["initial", "remove"]);
    assert!(came[1].header("SIP-If-Match").is_some_and(|own| own.starts_with("stand-in-")), "{}", came[1].text);
    server.expect_clear("jane.roe");
    let bye = phone.next(PATIENCE, |message| message.is("BYE")).expect("both are hung up");
    phone.answer(&bye, 200, &[]);
}
