//! Resource lists: RFC 4662 for the NOTIFYs, RFC 5367 for lists that come in requests.

use std::sync::Arc;
use std::time::Duration;

use presence::server::authorization::{Action, Pattern, Rule, Rules};
use presence::server::list::{Lists, Resource};
use presence::server::{Identity, Settings, limits};
use roxmltree::Document;
use sip::Aor;

use crate::world::{JOHN, Notify, Outcome, PIDF, Watcher, World, header, jane, john, noted, on_the_phone};

const TEAM: &str = "sip:team@sfb.example";
const LIST: &str = "Supported: eventlist";
const ACCEPT: &str = "Accept: application/pidf+xml, application/rlmi+xml, multipart/related";
const IN_BODY: [&str; 6] = [
    "Event: presence",
    "Expires: 3600",
    LIST,
    ACCEPT,
    "Require: recipient-list-subscribe",
    "Content-Type: application/resource-lists+xml",
];

fn lists(members: &[&str]) -> Arc<Lists> {
    let resource = |uri: &&str| Resource { uri: (*uri).into(), name: None };
    Arc::new([(Aor::parse(TEAM).unwrap(), members.iter().map(resource).collect())].into_iter().collect())
}

fn world(members: &[&str]) -> World {
    world_with(members, &[])
}

fn world_with(members: &[&str], rules: &[Rule]) -> World {
    World::with(Settings {
        domains: vec!["sfb.example".into()],
        lists: lists(members),
        rules: Arc::new(rules.iter().cloned().collect()),
        ..Settings::default()
    })
}

fn rule(presentity: &str, action: Action) -> Rule {
    let pattern = |text| Pattern::parse(text).expect("a pattern");
    Rule { presentity: pattern(presentity), watcher: Pattern::Everyone, action, details: false }
}

fn watch(world: &mut World, who: &Identity) -> Outcome {
    world.subscribe_to(TEAM, who, &["Event: presence", "Expires: 3600", LIST, ACCEPT])
}

/// What a NOTIFY says of a list.
#[derive(Debug)]
struct Told {
    version: u32,
    full: bool,
    /// URI, state with reason, document.
    resources: Vec<(String, Option<String>, Option<String>)>,
}

impl Told {
    fn of(&self, uri: &str) -> (&str, &str) {
        let (_, state, document) = self.resources.iter().find(|(known, ..)| known == uri).expect("the resource");
        (state.as_deref().unwrap_or("nothing"), document.as_deref().unwrap_or_default())
    }
}

fn told(notify: &Notify) -> Told {
    assert_eq!(notify.header("Require").as_deref(), Some("eventlist"));
    let content_type = notify.header("Content-Type").unwrap();
    let param = |name: &str| {
        let (_, rest) = content_type.split_once(&format!("{name}=\"")).expect("the parameter");
        rest.split_once('"').expect("quotes").0.to_owned()
    };
    assert!(content_type.starts_with("multipart/related;"));
    assert_eq!(param("type"), "application/rlmi+xml");
    let body = format!("\r\n{}", notify.body());
    assert!(body.len() < 65_000);
    let (parts, end) = body.split_once(&format!("\r\n--{}--\r\n", param("boundary"))).expect("an end");
    assert_eq!(end, "");
    let parts: Vec<(String, &str)> = parts
        .split(&format!("\r\n--{}\r\n", param("boundary")))
        .skip(1)
        .map(|part| {
            let (head, content) = part.split_once("\r\n\r\n").expect("a head");
            assert!(head.contains("Content-Transfer-Encoding: binary"));
            let (_, id) = head.split_once("Content-ID: ").expect("an id");
            (id.lines().next().unwrap().to_owned(), content)
        })
        .collect();
    assert_eq!(parts[0].0, param("start"), "the list is the root");
    let root = Document::parse(parts[0].1).expect("XML");
    let list = root.root_element();
    assert!(list.has_tag_name(("urn:ietf:params:xml:ns:rlmi", "list")));
    let resources = list.children().filter(|node| node.has_tag_name(("urn:ietf:params:xml:ns:rlmi", "resource")));
    let resources = resources.map(|resource| {
        let instance = resource.children().find(|node| node.tag_name().name() == "instance");
        let state = instance.map(|instance| {
            let reason = instance.attribute("reason").map(|reason| format!(";{reason}")).unwrap_or_default();
            format!("{}{reason}", instance.attribute("state").unwrap())
        });
        let document = instance.and_then(|instance| instance.attribute("cid")).map(|cid| {
            let part = parts.iter().find(|(id, _)| *id == format!("<{cid}>")).expect("the part");
            Document::parse(part.1).expect("XML");
            part.1.to_owned()
        });
        (resource.attribute("uri").unwrap().to_owned(), state, document)
    });
    Told {
        version: list.attribute("version").unwrap().parse().unwrap(),
        full: list.attribute("fullState") == Some("true"),
        resources: resources.collect(),
    }
}

fn entries<'a>(uris: impl IntoIterator<Item = &'a str>) -> String {
    let entries: String = uris.into_iter().map(|uri| format!("<entry uri=\"{uri}\"/>")).collect();
    format!(
        "<?xml version=\"1.0\"?><resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{entries}</list></resource-lists>"
    )
}

#[test]
fn one_subscription_shows_everyone_on_the_list() {
    let mut world = world(&[JOHN, "sip:bob@sfb.example"]);
    world.initial(&on_the_phone());
    let outcome = watch(&mut world, &jane());
    assert_eq!(outcome.response.code, 200);
    assert_eq!(header(&outcome.response.headers, "Require").as_deref(), Some("eventlist"));
    assert_eq!(outcome.notifies.len(), 1);
    assert_eq!(outcome.notifies[0].header("Subscription-State").as_deref(), Some("active;expires=3600"));
    let told = told(&outcome.notifies[0]);
    assert!(told.full);
    assert_eq!(told.version, 0);
    assert_eq!(told.resources.len(), 2);
    let (state, document) = told.of(JOHN);
    assert!(state == "active" && document.contains("on-the-phone"));
    let (state, document) = told.of("sip:bob@sfb.example");
    assert!(state == "active" && document.contains("<basic>closed</basic>"));
}

#[test]
fn a_change_is_told_alone_with_the_next_version() {
    let mut world = world(&[JOHN, "sip:bob@sfb.example"]);
    let outcome = watch(&mut world, &jane());
    world.answer(outcome.notifies[0].key, 200, &[]);
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF], &on_the_phone());
    let told = told(&outcome.notifies[0]);
    assert!(!told.full);
    assert_eq!(told.version, 1);
    assert_eq!(told.resources.len(), 1);
    assert!(told.of(JOHN).1.contains("on-the-phone"));
}

#[test]
fn a_watcher_that_knows_no_lists_is_told_what_it_lacks() {
    let mut world = world(&[JOHN]);
    let outcome = world.subscribe_to(TEAM, &jane(), &["Event: presence"]);
    assert_eq!(outcome.response.code, 421);
    assert_eq!(header(&outcome.response.headers, "Require").as_deref(), Some("eventlist"));
}

#[test]
fn a_watcher_that_does_not_accept_what_lists_are_made_of_is_told_so() {
    let mut world = world(&[JOHN]);
    let outcome = world.subscribe_to(TEAM, &jane(), &["Event: presence", LIST, "Accept: application/pidf+xml"]);
    assert_eq!(outcome.response.code, 406);
    assert!(header(&outcome.response.headers, "Accept").unwrap().contains("multipart/related"));
}

#[test]
fn a_stranger_does_not_learn_whether_there_is_a_list() {
    let mut world = world(&[JOHN]);
    let eve = Identity { user: Aor::parse("sip:eve@elsewhere.example"), ..Identity::default() };
    let list = world.subscribe_to(TEAM, &eve, &["Event: presence"]);
    let nobody = world.subscribe_to("sip:nobody@sfb.example", &eve, &["Event: presence"]);
    assert_eq!(list.response.code, 403);
    assert_eq!(format!("{:?}", list.response), format!("{:?}", nobody.response));
}

#[test]
fn each_member_is_shown_as_the_rules_allow() {
    let uris = [JOHN, "sip:boss@sfb.example", "sip:polite@sfb.example", "sip:shy@sfb.example"];
    let rules = [
        rule("sip:boss@sfb.example", Action::Block),
        rule("sip:polite@sfb.example", Action::PoliteBlock),
        rule("sip:shy@sfb.example", Action::Confirm),
    ];
    let mut world = world_with(&uris, &rules);
    for uri in uris {
        let who = Identity { user: Aor::parse(uri), ..Identity::default() };
        world.publish(&who, uri, &["Event: presence", PIDF], &on_the_phone());
    }
    let outcome = watch(&mut world, &jane());
    let told = told(&outcome.notifies[0]);
    assert!(told.of(JOHN).1.contains("on-the-phone"));
    assert_eq!(told.of("sip:boss@sfb.example"), ("terminated;rejected", ""));
    let (state, document) = told.of("sip:polite@sfb.example");
    assert!(state == "active" && document.contains("closed") && !document.contains("on-the-phone"));
    assert_eq!(told.of("sip:shy@sfb.example"), ("pending", ""));
}

#[test]
fn whoever_is_not_ours_is_no_resource() {
    let mut world = world(&[JOHN, "sip:someone@elsewhere.example"]);
    let outcome = watch(&mut world, &jane());
    assert_eq!(told(&outcome.notifies[0]).of("sip:someone@elsewhere.example"), ("terminated;noresource", ""));
}

#[test]
fn new_rules_reach_the_watchers_of_lists() {
    let mut world = world(&[JOHN]);
    world.initial(&on_the_phone());
    let outcome = watch(&mut world, &jane());
    world.answer(outcome.notifies[0].key, 200, &[]);
    let block: Arc<Rules> = Arc::new([rule(JOHN, Action::Block)].into_iter().collect());
    let notifies = world.reconfigure(block, lists(&[JOHN]), |who| Some(who.clone()));
    assert_eq!(told(&notifies[0]).of(JOHN), ("terminated;rejected", ""));
    world.answer(notifies[0].key, 200, &[]);
    let notifies = world.reconfigure(Arc::default(), lists(&[JOHN]), |who| Some(who.clone()));
    assert!(told(&notifies[0]).of(JOHN).1.contains("on-the-phone"));
}

#[test]
fn another_list_is_told_in_full_and_one_that_is_gone_ends() {
    let mut world = world(&[JOHN]);
    let outcome = watch(&mut world, &jane());
    world.answer(outcome.notifies[0].key, 200, &[]);
    let more = lists(&[JOHN, "sip:bob@sfb.example"]);
    let notifies = world.reconfigure(Arc::default(), more, |who| Some(who.clone()));
    let now = told(&notifies[0]);
    assert!(now.full);
    assert_eq!(now.version, 1);
    assert_eq!(now.of("sip:bob@sfb.example").0, "active");
    world.answer(notifies[0].key, 200, &[]);
    let notifies = world.reconfigure(Arc::default(), Arc::default(), |who| Some(who.clone()));
    assert_eq!(notifies[0].header("Subscription-State").as_deref(), Some("terminated;reason=noresource"));
    assert_eq!(world.server.subscriptions(), 0);
}

#[test]
fn a_list_that_may_not_be_watched_yet_has_nobody_on_it() {
    let mut world = world_with(&[JOHN], &[rule(TEAM, Action::Confirm)]);
    let outcome = watch(&mut world, &jane());
    assert_eq!(outcome.notifies[0].header("Subscription-State").as_deref(), Some("pending;expires=3600"));
    assert!(told(&outcome.notifies[0]).resources.is_empty());
    world.answer(outcome.notifies[0].key, 200, &[]);
    let notifies = world.reconfigure(Arc::default(), lists(&[JOHN]), |who| Some(who.clone()));
    assert_eq!(told(&notifies[0]).of(JOHN).0, "active");
}

#[test]
fn a_refresh_tells_the_whole_list_again() {
    let mut world = world(&[JOHN, "sip:bob@sfb.example"]);
    let outcome = watch(&mut world, &jane());
    world.answer(outcome.notifies[0].key, 200, &[]);
    let mut watcher = world.watcher(&outcome);
    let outcome = refresh(&mut world, &mut watcher, 3600);
    assert_eq!(header(&outcome.response.headers, "Require").as_deref(), Some("eventlist"));
    let now = told(&outcome.notifies[0]);
    assert!(now.full && now.version == 1 && now.resources.len() == 2);
    assert!(now.resources.iter().all(|(_, _, document)| document.is_some()));
}

#[test]
fn a_notify_that_was_lost_is_followed_by_the_whole_list() {
    let mut world = world(&[JOHN, "sip:bob@sfb.example"]);
    let outcome = watch(&mut world, &jane());
    world.answer(outcome.notifies[0].key, 200, &[]);
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF], &on_the_phone());
    world.fail(outcome.notifies[0].key);
    let notifies = world.wait(Duration::from_secs(32));
    let now = told(&notifies[0]);
    assert!(now.full && now.version == 2 && now.resources.len() == 2);
}

#[test]
fn who_unsubscribes_leaves_nothing_behind() {
    let mut world = world(&[JOHN]);
    let outcome = watch(&mut world, &jane());
    world.answer(outcome.notifies[0].key, 200, &[]);
    let mut watcher = world.watcher(&outcome);
    let outcome = refresh(&mut world, &mut watcher, 0);
    assert_eq!(outcome.notifies[0].header("Subscription-State").as_deref(), Some("terminated;reason=timeout"));
    let now = told(&outcome.notifies[0]);
    assert!(!now.full && now.resources.is_empty(), "it has told everything before");
    assert_eq!(world.server.subscriptions(), 0);
    assert_eq!(world.server.followers(), 0);
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF], &on_the_phone());
    assert!(outcome.notifies.is_empty());
}

#[test]
fn a_fetch_shows_everyone_once() {
    let mut world = world(&[JOHN, "sip:bob@sfb.example"]);
    world.initial(&on_the_phone());
    let outcome = world.subscribe_to(TEAM, &jane(), &["Event: presence", "Expires: 0", LIST]);
    assert_eq!(outcome.notifies[0].header("Subscription-State").as_deref(), Some("terminated;reason=timeout"));
    let now = told(&outcome.notifies[0]);
    assert!(now.full && now.of(JOHN).1.contains("on-the-phone"));
    assert_eq!((world.server.subscriptions(), world.server.followers()), (0, 0));
}

#[test]
fn a_list_in_the_request_is_watched() {
    let mut world = world(&[]);
    world.initial(&on_the_phone());
    let body = entries([JOHN, "sip:bob@sfb.example", "sip:John.Doe@SFB.example", JOHN]);
    for uri in ["sip:lists@sfb.example", "sip:sfb.example"] {
        let outcome = world.subscribe_in(uri, &jane(), None, &IN_BODY, &body);
        assert_eq!(outcome.response.code, 200, "{uri}");
        let now = told(&outcome.notifies[0]);
        assert!(now.of(JOHN).1.contains("on-the-phone"));
        assert_eq!(now.of("sip:bob@sfb.example").0, "active");
    }
}

#[test]
fn a_refresh_may_bring_another_list() {
    let mut world = world(&[]);
    let outcome = world.subscribe_in("sip:lists@sfb.example", &jane(), None, &IN_BODY, &entries([JOHN]));
    world.answer(outcome.notifies[0].key, 200, &[]);
    let mut watcher = world.watcher(&outcome);
    watcher.cseq += 1;
    let body = entries(["sip:bob@sfb.example"]);
    let outcome = world.subscribe_in("sip:lists@sfb.example", &jane(), Some(&watcher), &IN_BODY, &body);
    let now = told(&outcome.notifies[0]);
    assert!(now.full && now.resources.len() == 1);
    assert_eq!(now.of("sip:bob@sfb.example").0, "active");
    assert_eq!(world.server.followers(), 1);
}

#[test]
fn a_list_that_cannot_be_read_gets_the_right_answer() {
    let mut world = world(&[]);
    let mut ask = |body: &str| world.subscribe_in("sip:sfb.example", &jane(), None, &IN_BODY, body).response.code;
    assert_eq!(ask("no xml"), 400);
    assert_eq!(ask("<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"/>"), 400);
    assert_eq!(ask("<list/>"), 400);
    assert_eq!(ask(&entries(["mailto:x@y.example"])), 400);
    assert_eq!(ask(&entries([JOHN]).replace("<list>", "<list><external anchor=\"http://x.example/\"/>")), 400);
    assert_eq!(ask("<!DOCTYPE x><resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"/>"), 400);
    let many: Vec<String> = (0..=limits::LIST).map(|n| format!("sip:u{n}@sfb.example")).collect();
    assert_eq!(ask(&entries(many.iter().map(String::as_str))), 413);
    let mut headers = IN_BODY;
    headers[5] = "Content-Type: text/plain";
    let outcome = world.subscribe_in("sip:sfb.example", &jane(), None, &headers, "x");
    assert_eq!(outcome.response.code, 415);
}

#[test]
fn who_is_blocked_politely_does_not_learn_that_there_is_a_list() {
    let mut world = world_with(&[JOHN], &[rule("*", Action::PoliteBlock)]);
    for more in [&[][..], &[LIST, ACCEPT]] {
        let headers = [&["Event: presence", "Expires: 3600"], more].concat();
        let outcome = world.subscribe_to(TEAM, &jane(), &headers);
        assert_eq!((outcome.response.code, header(&outcome.response.headers, "Require")), (200, None));
        let notify = &outcome.notifies[0];
        assert_eq!(notify.header("Content-Type").as_deref(), Some("application/pidf+xml"));
        assert!(notify.body().contains("<basic>closed</basic>"));
        world.answer(notify.key, 200, &[]);
        let mut watcher = world.watcher(&outcome);
        watcher.cseq += 1;
        let again = world.subscribe_in(TEAM, &jane(), Some(&watcher), &["Event: presence", "Expires: 3600"], "");
        assert_eq!(again.response.code, 200);
        world.answer(again.notifies[0].key, 200, &[]);
    }
    let allowed = world.reconfigure(Arc::default(), lists(&[JOHN]), |who| Some(who.clone()));
    for notify in &allowed {
        let state = notify.header("Subscription-State");
        assert_eq!(state.as_deref(), Some("terminated;reason=probation;retry-after=10"), "they may ask for it now");
    }
    assert_eq!(allowed.len(), 2);
}

#[test]
fn a_list_of_ones_own_shows_its_members_whatever_the_rules_say_of_the_rest() {
    let bob = "sip:bob@sfb.example";
    let rules = |action| [rule(bob, Action::Allow), rule("*", action)];
    for (action, state) in [(Action::PoliteBlock, "active"), (Action::Confirm, "pending")] {
        let mut world = world_with(&[], &rules(action));
        world.initial(&on_the_phone());
        let outcome = world.subscribe_in("sip:sfb.example", &jane(), None, &IN_BODY, &entries([JOHN, bob]));
        let now = told(&outcome.notifies[0]);
        assert_eq!((now.of(JOHN).0, now.of(bob).0), (state, "active"));
        assert!(!outcome.notifies[0].body().contains("on-the-phone"));
        world.answer(outcome.notifies[0].key, 200, &[]);
        let again = Arc::new(rules(action).into_iter().collect());
        assert!(world.configure(again, |who| Some(who.clone())).is_empty(), "the same rules are no news");
        world.restart(Duration::from_secs(1));
        let fresh = world.wait(Duration::from_secs(5));
        assert_eq!(told(&fresh[0]).of(JOHN).0, state);
    }
}

#[test]
fn nested_lists_are_read_as_one() {
    let mut world = world(&[]);
    let nested = "<list><entry uri=\"sip:bob@sfb.example\"/></list></list>";
    let body = entries([JOHN]).replacen("</list>", nested, 1);
    let outcome = world.subscribe_in("sip:sfb.example", &jane(), None, &IN_BODY, &body);
    assert_eq!(told(&outcome.notifies[0]).resources.len(), 2);
}

#[test]
fn a_thousand_members_come_in_notifies_that_fit() {
    let uris: Vec<String> = (0..1_000).map(|n| format!("sip:user{n:04}@sfb.example")).collect();
    let mut world = world(&uris.iter().map(String::as_str).collect::<Vec<_>>());
    for (n, uri) in uris.iter().enumerate().step_by(10) {
        let who = Identity { user: Aor::parse(uri), ..Identity::default() };
        world.publish(&who, uri, &["Event: presence", PIDF], &noted(&format!("n{n}")));
    }
    let outcome = watch(&mut world, &jane());
    let mut known = std::collections::BTreeMap::new();
    let mut next = outcome.notifies;
    let mut count = 0;
    while let Some(notify) = next.pop() {
        let now = told(&notify);
        assert_eq!(now.full, count == 0, "the first names all of them, the others bring the rest");
        assert_eq!(now.version, count);
        if now.full {
            assert_eq!(now.resources.len(), 1_000);
        }
        known.extend(now.resources.into_iter().filter_map(|(uri, _, document)| Some((uri, document?))));
        next = world.answer(notify.key, 200, &[]);
        count += 1;
    }
    assert_eq!(known.len(), 1_000);
    assert!(known["sip:user0010@sfb.example"].contains("n10"));
    assert!(count < 20, "{count} NOTIFYs");
}

#[test]
fn a_watcher_has_room_for_so_many_members() {
    let uris: Vec<String> = (0..1_000).map(|n| format!("sip:u{n}@sfb.example")).collect();
    let mut world = world(&uris.iter().map(String::as_str).collect::<Vec<_>>());
    for _ in 0..limits::MEMBERS_PER_WATCHER / 1_000 {
        assert_eq!(watch(&mut world, &jane()).response.code, 200);
    }
    assert_eq!(watch(&mut world, &jane()).response.code, 500);
    assert_eq!(watch(&mut world, &john()).response.code, 200);
}

#[test]
fn members_are_not_followed_for_ever_when_the_lists_owner_is_gone() {
    let mut world = world(&[JOHN]);
    let outcome = watch(&mut world, &jane());
    world.answer(outcome.notifies[0].key, 200, &[]);
    world.wait(Duration::from_secs(3_700));
    assert_eq!((world.server.subscriptions(), world.server.followers()), (0, 0));
}

fn refresh(world: &mut World, watcher: &mut Watcher, expires: u32) -> Outcome {
    watcher.cseq += 1;
    let expires = format!("Expires: {expires}");
    world.subscribe_in(TEAM, &jane(), Some(watcher), &["Event: presence", &expires, LIST, ACCEPT], "")
}

#[test]
fn a_list_is_watched_across_a_restart() {
    let mut world = world(&[JOHN, "sip:bob@sfb.example"]);
    world.initial(&on_the_phone());
    let outcome = watch(&mut world, &jane());
    world.answer(outcome.notifies[0].key, 200, &[]);
    let mut watcher = world.watcher(&outcome);
    world.restart(Duration::from_secs(3));
    let fresh = world.wait(Duration::from_secs(60));
    assert_eq!(fresh.len(), 1);
    let now = told(&fresh[0]);
    assert!(now.full && now.version > 0 && now.resources.len() == 2);
    assert!(now.of(JOHN).1.contains("on-the-phone"));
    world.answer(fresh[0].key, 200, &[]);
    assert_eq!(refresh(&mut world, &mut watcher, 3600).response.code, 200);
}

#[test]
fn a_list_of_a_request_is_watched_across_a_restart_as_it_was_last() {
    let mut world = world(&[]);
    let outcome = world.subscribe_in("sip:lists@sfb.example", &jane(), None, &IN_BODY, &entries([JOHN]));
    world.answer(outcome.notifies[0].key, 200, &[]);
    let mut watcher = world.watcher(&outcome);
    watcher.cseq += 1;
    let body = entries(["sip:bob@sfb.example"]);
    let outcome = world.subscribe_in("sip:lists@sfb.example", &jane(), Some(&watcher), &IN_BODY, &body);
    world.answer(outcome.notifies[0].key, 200, &[]);
    world.restart(Duration::from_secs(3));
    let fresh = world.wait(Duration::from_secs(60));
    assert_eq!(told(&fresh[0]).of("sip:bob@sfb.example").0, "active");
    assert_eq!(told(&fresh[0]).resources.len(), 1);
}

#[test]
fn lamps_of_a_whole_group_are_one_subscription() {
    let mut world = world(&[JOHN, "sip:bob@sfb.example"]);
    let headers = ["Event: dialog", "Expires: 3600", LIST];
    let outcome = world.subscribe_to(TEAM, &jane(), &headers);
    assert_eq!(outcome.response.code, 200);
    let now = told(&outcome.notifies[0]);
    assert!(now.of(JOHN).1.contains("<dialog-info") && now.of(JOHN).1.contains("version=\"0\""));
    world.answer(outcome.notifies[0].key, 200, &[]);
    let body = "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" state=\"full\" \
        entity=\"sip:john.doe@sfb.example\"><dialog id=\"d\"><state>confirmed</state></dialog></dialog-info>";
    let headers = ["Event: dialog", "Content-Type: application/dialog-info+xml"];
    let outcome = world.publish(&john(), JOHN, &headers, body);
    assert_eq!(outcome.response.code, 200);
    let now = told(&outcome.notifies[0]);
    assert_eq!(now.resources.len(), 1);
    assert!(now.of(JOHN).1.contains("confirmed") && now.of(JOHN).1.contains("version=\"1\""));
}

#[test]
fn whoever_is_named_by_a_pres_uri_is_the_user_of_that_sip_uri() {
    let mut world = world(&[]);
    world.initial(&on_the_phone());
    let alone = world.subscribe_to("pres:john.doe@sfb.example", &jane(), &["Event: presence"]);
    assert!(alone.notifies[0].body().contains("on-the-phone"));
    let body = entries(["pres:john.doe@sfb.example"]);
    let outcome = world.subscribe_in("sip:lists@sfb.example", &jane(), None, &IN_BODY, &body);
    let (state, document) = (told(&outcome.notifies[0]), "on-the-phone");
    assert!(state.of("pres:john.doe@sfb.example").1.contains(document));
}

/// The numbers of the documents about a member.
fn version(told: &Told, uri: &str) -> u32 {
    wire::dialog_info::read(told.of(uri).1.as_bytes()).unwrap().version
}

#[test]
fn the_documents_of_a_member_are_never_numbered_as_an_earlier_one() {
    let mut world = world(&[]);
    let mut headers = IN_BODY;
    (headers[0], headers[3]) = ("Event: dialog", LIST);
    let (uri, bob) = ("sip:lists@sfb.example", "sip:bob@sfb.example");
    let outcome = world.subscribe_in(uri, &jane(), None, &headers, &entries([bob]));
    assert_eq!(version(&told(&outcome.notifies[0]), bob), 0);
    world.answer(outcome.notifies[0].key, 200, &[]);
    let mut watcher = world.watcher(&outcome);
    watcher.cseq += 1;
    let longer = world.subscribe_in(uri, &jane(), Some(&watcher), &headers, &entries([JOHN, bob]));
    let now = told(&longer.notifies[0]);
    assert_eq!(version(&now, bob), 1, "the list is another one, the member is the same");
    let first_of_john = version(&now, JOHN);
    world.answer(longer.notifies[0].key, 200, &[]);
    world.restart(Duration::from_secs(1));
    let again = world.wait(Duration::from_secs(5));
    let now = told(&again[0]);
    assert!(version(&now, bob) > 1 && version(&now, JOHN) > first_of_john);
}

#[test]
fn a_list_that_is_deep_or_wide_is_too_large() {
    let mut world = world(&[]);
    let within = |inner: String| {
        format!("<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">{inner}</resource-lists>")
    };
    let namespaces: String = (0..1_000).map(|number| format!("<list xmlns:a{number}=\"u{number}\">")).collect();
    let deep = within(format!("{namespaces}{}", "</list>".repeat(1_000)));
    let attributes: String = (0..1_000).map(|number| format!(" a{number}=\"\"")).collect();
    for body in [deep, within(format!("<list{attributes}/>"))] {
        let outcome = world.subscribe_in("sip:lists@sfb.example", &jane(), None, &IN_BODY, &body);
        assert_eq!(outcome.response.code, 413);
    }
}

#[test]
fn who_is_watched_through_a_list_learns_of_the_watcher() {
    let mut world = world(&[JOHN]);
    let outcome = world.subscribe_to(JOHN, &john(), &["Event: presence.winfo"]);
    assert_eq!(outcome.response.code, 200);
    world.answer(outcome.notifies[0].key, 200, &[]);
    let outcome = watch(&mut world, &jane());
    let (winfo, list): (Vec<&Notify>, Vec<&Notify>) =
        outcome.notifies.iter().partition(|notify| notify.header("Event").as_deref() == Some("presence.winfo"));
    assert_eq!((winfo.len(), list.len()), (1, 1));
    assert!(winfo[0].body().contains("sip:jane@sfb.example"));
    let (winfo, list) = (winfo[0].key, list[0].key);
    world.answer(winfo, 200, &[]);
    world.answer(list, 200, &[]);
    let mut watcher = world.watcher(&outcome);
    let refreshed = refresh(&mut world, &mut watcher, 3600);
    assert_eq!(refreshed.notifies.len(), 1, "a refresh is no news to who is watched");
}
