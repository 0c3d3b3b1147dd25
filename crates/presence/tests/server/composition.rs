//! Composition (RFC 3903 section 2, RFC 4479, RFC 4480): one document from many publications.

use std::time::Duration;

use crate::world::{JOHN, PIDF, World, header, john, on_the_phone, online, pidf};

fn doing(activity: &str) -> String {
    pidf("t0", "open", &format!("<rpid:activities><rpid:{activity}/></rpid:activities>"))
}

fn says(document: &str, piece: &str) -> bool {
    document.contains(piece)
}

#[test]
fn nothing_published_is_closed() {
    let world = World::new();
    let document = world.document();
    assert!(says(&document, "<tuple id=\"t0\"><status><basic>closed</basic></status></tuple>"));
    assert!(says(&document, "entity=\"sip:john.doe@sfb.example\""));
}

#[test]
fn on_the_phone_shows_whatever_else_is_older_or_newer() {
    let mut world = World::new();
    world.initial(&doing("away"));
    let call = world.initial(&on_the_phone());
    world.initial(&doing("meeting"));
    world.initial(&pidf("t3", "closed", ""));
    for needed in ["<rpid:on-the-phone/>", "<rpid:away/>", "<rpid:meeting/>", "<ep:activity>on-the-phone</ep:activity>"]
    {
        assert!(says(&world.document(), needed), "{needed}");
    }
    world.refresh(&call, 0);
    assert!(!says(&world.document(), "on-the-phone"));
    assert!(says(&world.document(), "<rpid:away/>") && says(&world.document(), "<rpid:meeting/>"));
}

#[test]
fn of_two_calls_the_end_of_one_leaves_the_other() {
    let mut world = World::new();
    let first = world.initial(&on_the_phone());
    world.wait(Duration::from_secs(10));
    let second = world.initial(&on_the_phone());
    world.refresh(&first, 0);
    assert!(says(&world.document(), "<rpid:on-the-phone/>"));
    world.refresh(&second, 0);
    assert!(!says(&world.document(), "on-the-phone"));
}

#[test]
fn note_and_mood_come_from_the_publication_received_last() {
    let mut world = World::new();
    let old = world.initial(&pidf("a", "open", "<rpid:mood><rpid:happy/></rpid:mood><dm:note>old</dm:note>"));
    world.initial(&pidf("b", "open", "<rpid:mood><rpid:angry/></rpid:mood><dm:note>new</dm:note>"));
    let document = world.document();
    assert!(says(&document, "<dm:note>new</dm:note>") && !says(&document, "<dm:note>old</dm:note>"));
    assert!(says(&document, "<rpid:angry/>") && !says(&document, "<rpid:happy/>"));
    world.modify(&old, &pidf("a", "open", "<rpid:mood><rpid:sad/></rpid:mood><dm:note>newest</dm:note>"));
    let document = world.document();
    assert!(says(&document, "<dm:note>newest</dm:note>") && says(&document, "<rpid:sad/>"));
    assert!(!says(&document, "<rpid:angry/>"));
}

#[test]
fn a_phone_that_sends_its_body_with_every_refresh_does_not_come_last_by_that() {
    let mut world = World::new();
    let body = pidf("a", "open", "<dm:note>phone</dm:note>");
    let phone = world.initial(&body);
    world.initial(&pidf("b", "open", "<dm:note>desk</dm:note>"));
    assert_eq!(world.modify(&phone, &body).response.code, 200);
    assert!(says(&world.document(), "<dm:note>desk</dm:note>"));
}

#[test]
fn there_is_one_person() {
    let mut world = World::new();
    world.initial(&doing("away"));
    world.initial(&doing("meal"));
    assert_eq!(world.document().matches("<dm:person ").count(), 1);
}

#[test]
fn open_tuples_come_first() {
    let mut world = World::new();
    world.initial(&pidf("open1", "open", ""));
    world.initial(&pidf("closed1", "closed", ""));
    let document = world.document();
    assert!(document.find("open1").unwrap() < document.find("closed1").unwrap());
}

#[test]
fn ids_that_collide_or_are_no_names_are_rewritten() {
    let mut world = World::new();
    for id in ["same", "same", "0", "0", "person", "a b", ""] {
        world.initial(&pidf(id, "open", ""));
    }
    let document = world.document();
    let mut ids: Vec<&str> = document.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids.len(), 7);
    for id in &ids {
        assert!(id.starts_with(|c: char| c.is_ascii_alphabetic()) && !id.contains(' '), "{id}");
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 7);
    assert!(ids.contains(&"same") && ids.contains(&"t0"));
}

#[test]
fn the_same_device_is_described_once_by_the_publication_received_last() {
    let mut world = World::new();
    let device = |note: &str| {
        format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" entity=\"{JOHN}\">\
             <dm:device id=\"d\"><dm:deviceID>urn:device:1</dm:deviceID><dm:note>{note}</dm:note></dm:device></presence>"
        )
    };
    world.initial(&device("first"));
    world.initial(&device("second"));
    let document = world.document();
    assert_eq!(document.matches("<dm:device ").count(), 1);
    assert!(says(&document, "second") && !says(&document, "first"));
}

#[test]
fn extensions_are_kept() {
    let mut world = World::new();
    world.initial(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:x=\"urn:example:x\" entity=\"sip:a@b\"><tuple id=\"a\"><status>\
         <basic>open</basic><x:in a=\"1\">deep</x:in></status><x:beside/></tuple><x:top>t</x:top></presence>",
    );
    let document = world.document();
    for kept in [
        "<in xmlns=\"urn:example:x\" a=\"1\">deep</in>",
        "<beside xmlns=\"urn:example:x\"/>",
        "<top xmlns=\"urn:example:x\">t</top>",
    ] {
        assert!(says(&document, kept), "{kept}");
    }
}

#[test]
fn a_person_on_the_phone_without_a_service_is_open_for_watchers_of_the_older_form() {
    let mut world = World::new();
    world.initial(&on_the_phone().replace("<tuple id=\"t0\"><status><basic>open</basic></status></tuple>", ""));
    let document = world.document();
    assert!(says(&document, "<basic>open</basic><ep:activities><ep:activity>on-the-phone</ep:activity>"));
}

#[test]
fn no_activity_survives_that_was_modified_away() {
    let mut world = World::new();
    let tag = world.initial(&on_the_phone());
    let outcome = world.modify(&tag, &online());
    assert_eq!(outcome.response.code, 200);
    assert!(!says(&world.document(), "activit"));
    let tag = header(&outcome.response.headers, "SIP-ETag").unwrap();
    world.modify(&tag, &doing("away"));
    assert!(says(&world.document(), "<rpid:away/>") && !says(&world.document(), "on-the-phone"));
}

#[test]
fn a_document_in_latin_1_is_read_as_such() {
    let mut world = World::new();
    let text = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"a\"><note>caf";
    let mut body = text.as_bytes().to_vec();
    body.extend_from_slice(b"\xe9</note></presence>");
    assert_eq!(world.publish_octets(&john(), JOHN, &["Event: presence", PIDF], &body).response.code, 200);
    assert!(says(&world.document(), "café"));
}

#[test]
fn on_the_phone_is_understood_in_the_namespace_of_every_draft() {
    for draft in ["rpid:rpid-status", "rpid-person", "rpid:rpid-tuple", "status:rpid", "rpid:person"] {
        let mut world = World::new();
        let activities = format!(
            "<e:activities xmlns:e=\"urn:ietf:params:xml:ns:pidf:{draft}\"><e:activity>on-the-phone</e:activity></e:activities>"
        );
        let tag = world.initial(&pidf("t0", "open", &activities));
        assert!(says(&world.document(), "<rpid:on-the-phone/>"), "{draft}");
        world.refresh(&tag, 0);
        assert!(!says(&world.document(), "on-the-phone"), "{draft}");
    }
}

#[test]
fn a_document_in_utf_16_is_read_as_such() {
    let text = on_the_phone().replace("t0", "caf\u{e9}\u{1f600}");
    let octets =
        |of: fn(u16) -> [u8; 2]| -> Vec<u8> { format!("\u{feff}{text}").encode_utf16().flat_map(of).collect() };
    for body in [octets(u16::to_le_bytes), octets(u16::to_be_bytes)] {
        let mut world = World::new();
        assert_eq!(world.publish_octets(&john(), JOHN, &["Event: presence", PIDF], &body).response.code, 200);
        assert!(says(&world.document(), "<rpid:on-the-phone/>"));
        let outcome = world.publish_octets(&john(), JOHN, &["Event: presence", PIDF], &body[..body.len() - 1]);
        assert_eq!(outcome.response.code, 400, "half a letter");
    }
}

#[test]
fn what_stands_around_a_document_does_not_count() {
    let mut world = World::new();
    world.initial(&format!("\u{feff}\r\n{}\r\n\0", on_the_phone()));
    assert!(says(&world.document(), "<rpid:on-the-phone/>"));
}

// The documents in `composed` are what the server makes of those that were published; the project's tests against the
// schemas of RFC 3863, 4479 and 4480 validate them.
macro_rules! samples {
    ($($name:ident: $file:literal, $phone:literal;)*) => {$(
        #[test]
        fn $name() {
            let body = include_str!(concat!("../../../../tests/material/pidf/", $file));
            let mut world = World::new();
            let tag = world.initial(body);
            let document = world.document();
            assert_eq!(document, include_str!(concat!("composed/", $file)));
            assert!(says(&document, "<basic>open</basic>"), "{document}");
            assert_eq!(says(&document, "<rpid:on-the-phone/>"), $phone, "{document}");
            assert_eq!(says(&document, "<ep:activity>on-the-phone</ep:activity>"), $phone, "{document}");
            world.initial(&doing("away"));
            assert_eq!(says(&world.document(), "<rpid:on-the-phone/>"), $phone);
            world.refresh(&tag, 0);
            assert!(!says(&world.document(), "on-the-phone"));
        }
    )*

        #[test]
        fn all_of_them_together_make_one_document() {
            let mut world = World::new();
            $(world.initial(include_str!(concat!("../../../../tests/material/pidf/", $file)));)*
            assert_eq!(world.document(), include_str!("composed/everything.xml"));
        }
    };
}

samples! {
    the_document_of_the_manual_page_is_understood: "audiocodes-seed-on-the-phone.xml", true;
    the_document_of_asterisk_is_understood: "asterisk-pjsip-on-the-phone.xml", true;
    the_document_of_baresip_is_understood: "baresip-1.0.0-online-captured.xml", false;
    the_document_of_cucm_is_understood: "cisco-cucm7-on-the-phone.xml", true;
    the_document_of_cisco_im_and_presence_is_understood: "cisco-imp-available.xml", false;
    the_document_of_exosip_is_understood: "exosip-linphone1-rpid-status-busy.xml", false;
    the_document_of_freeswitch_is_understood: "freeswitch-on-the-phone.xml", true;
    the_document_of_linphone_is_understood: "linphone-5.1.65-online-captured.xml", false;
    the_words_of_pjsua_are_understood: "pjsua-2.17-on-the-phone-text-busy-captured.xml", true;
    the_document_of_pjsua_is_understood: "pjsua-2.17-online-captured.xml", false;
    the_document_of_communicator_is_understood: "sipe-ocs-lcs-pidf.xml", true;
}

#[test]
fn what_would_make_a_document_invalid_is_left_out() {
    let mut world = World::new();
    world.initial(include_str!("published/hostile.xml"));
    assert_eq!(world.document(), include_str!("composed/hostile.xml"));
}

#[test]
fn what_stands_in_odd_places_is_carried_as_it_is_or_not_at_all() {
    let mut world = World::new();
    world.initial(include_str!("published/odd.xml"));
    let document = world.document();
    assert_eq!(document, include_str!("composed/odd.xml"));
    assert!(says(&document, "line=\"1&#10;2&#9;3\""), "a line's end in an attribute");
    let within =
        "<in xmlns=\"\"><rpid:sphere><within xmlns=\"urn:ietf:params:xml:ns:pidf\">1</within></rpid:sphere></in>";
    assert!(says(&document, within), "{document}");
    assert!(says(&document, "<dm:deviceID>urn:uuid:1</dm:deviceID>") && !says(&document, "h:port"), "{document}");
}

#[test]
fn the_hard_state_is_a_document_too() {
    assert_eq!(World::new().document(), include_str!("composed/nothing.xml"));
}

#[test]
fn documents_of_other_formats_are_refused() {
    for body in [
        include_str!("../../../../tests/material/pidf/freeswitch-polycom-xpidf.xml"),
        include_str!("../../../../tests/material/pidf/lync-ocs2007-phonestate-publication.xml"),
    ] {
        let mut world = World::new();
        assert_eq!(world.publish(&john(), JOHN, &["Event: presence", PIDF], body).response.code, 400);
    }
}
