//! SIGHUP: a new configuration is taken over while calls go on, a bad one is refused, and the service manager is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use tests::office::{LIMIT, Leg, Office, host};
use tests::{Sipp, StandIn, Transport, until};

const USERS: [&str; 2] = ["john.doe", "jane.roe"];

/// An office that publishes to a stand-in.
fn office(test: &str) -> (Office, StandIn, String) {
    let office = Office::new(test);
    let server = StandIn::start(office.network.sip(host::KAMAILIO), None);
    let configuration = office.configuration(&office.published_to_kamailio(Leg::Udp, ""));
    (office, server, configuration)
}

/// A call that lasts so many milliseconds; both are published.
fn call(office: &Office, server: &StandIn, lasts: &str) -> (Sipp, Sipp) {
    let callee = office.sipp("callee", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
    let keys = [("caller", USERS[0]), ("callee", USERS[1])];
    let caller = office.sipp("caller", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &["-d", lasts]);
    for user in USERS {
        until("both are published", LIMIT, || (server.holds(user) == 1).then_some(()));
    }
    (caller, callee)
}

fn whole_call(office: &Office, server: &StandIn) {
    let (mut caller, mut callee) = call(office, server, "500");
    caller.succeed(LIMIT);
    callee.succeed(LIMIT);
}

/// The configuration without the section of jane.roe.
fn without_jane(configuration: &str) -> String {
    let begin = configuration.find("[[user]]\nuri     = \"sip:jane.roe").expect("her section");
    let length = configuration[begin..].find("[store]").expect("what follows it");
    format!("{}{}", &configuration[..begin], &configuration[begin + length..])
}

#[test]
fn who_leaves_is_cleared_at_once_and_who_comes_is_shown_while_the_call_goes_on() {
    let (office, server, configuration) = office("reload-users");
    let mut offhook = office.offhook(&configuration);
    let (mut caller, mut callee) = call(&office, &server, "4000");
    let line = offhook.reload(&without_jane(&configuration));
    assert_eq!(line, "configuration reloaded: 1 user");
    until("she is cleared", Duration::from_secs(2), || (server.holds(USERS[1]) == 0).then_some(()));
    assert_eq!(server.kinds(USERS[1]), ["initial", "remove"]);
    assert_eq!(server.kinds(USERS[0]), ["initial"], "his call goes on");
    let line = offhook.reload(&configuration);
    assert_eq!(line, "configuration reloaded: 2 users");
    until("she is back", Duration::from_secs(2), || (server.holds(USERS[1]) == 1).then_some(()));
    assert!(caller.message(|message| !message.received && message.is("BYE")).is_none(), "the call still lasts");
    caller.succeed(LIMIT);
    callee.succeed(LIMIT);
    let _ = server.expect(USERS[0], &["initial", "remove"]);
    let _ = server.expect(USERS[1], &["initial", "remove", "initial", "remove"]);
}

#[test]
fn a_user_who_is_renamed_is_published_under_the_new_name() {
    let (office, server, configuration) = office("reload-name");
    let mut offhook = office.offhook(&configuration);
    let (mut caller, _callee) = call(&office, &server, "3000");
    let _ = offhook.reload(&configuration.replace("Jane Roe", "Jane Doe-Roe"));
    until("it is modified", Duration::from_secs(2), || (server.kinds(USERS[1]) == ["initial", "modify"]).then_some(()));
    let came = server.came();
    let modify = came.iter().find(|came| came.kind() == "modify").unwrap();
    assert!(modify.text.contains("Jane Doe-Roe"), "{}", modify.text);
    caller.succeed(LIMIT);
    let came = server.expect(USERS[1], &["initial", "modify", "remove"]);
    assert_ne!(came[1].header("SIP-If-Match"), came[2].header("SIP-If-Match"));
    let _ = server.expect(USERS[0], &["initial", "remove"]);
}

#[test]
fn a_bad_file_is_refused_and_the_old_one_kept() {
    let (office, server, configuration) = office("reload-bad");
    let mut offhook = office.offhook(&configuration);
    let line = offhook.reload(&without_jane(&configuration).replace("from = \"caller\"", "from = \"caler\""));
    assert_eq!(line, "configuration not reloaded, the old one stays: 1 fault");
    let log = offhook.log();
    assert!(log.contains("offhook.toml:") && log.contains("did you mean \"caller\"?"), "{log}");
    whole_call(&office, &server);
    let line = offhook.reload(&configuration.replace("domain = \"sfb.example\"", "domain = \"other.example\""));
    assert_eq!(line, "configuration reloaded: 2 users; these wait for a restart: domain");
    whole_call(&office, &server);
    assert!(offhook.stop(LIMIT).success());
}

/// The certificate that a listener shows, as text.
fn shown(office: &Office) -> String {
    let client = office.authority.sign(&office.folder, "client", &["client.example"], office.network.host(99).into());
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &office.network.sips(host::OFFHOOK).to_string(), "-cert"])
        .arg(&client.certificate)
        .arg("-key")
        .arg(&client.key)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .expect("openssl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = text.find("-----BEGIN").unwrap_or_else(|| panic!("no certificate: {text}"));
    let end = text.find("-----END").expect("its end");
    text[begin..end].to_owned()
}

#[test]
fn a_new_certificate_is_shown_without_a_restart_and_one_that_does_not_fit_is_refused() {
    let (office, _server, configuration) = office("reload-tls");
    let mut offhook = office.offhook(&configuration);
    let first = shown(&office);
    assert_eq!(shown(&office), first);
    let here = office.network.host(host::OFFHOOK).into();
    let _ = office.authority.sign(&office.folder, "offhook", &["sbc.sfb.example"], here);
    assert_eq!(shown(&office), first, "what is in a file counts when it is read");
    let _ = offhook.reload(&configuration);
    let second = shown(&office);
    assert_ne!(second, first);
    let key = fs::read(office.folder.join("offhook.key")).unwrap();
    let _ = office.authority.sign(&office.folder, "offhook", &["sbc.sfb.example"], here);
    fs::write(office.folder.join("offhook.key"), key).unwrap();
    let line = offhook.reload(&configuration);
    assert!(line.starts_with("configuration not reloaded"), "{line}");
    assert!(offhook.log().contains("the key is not the certificate's"), "{}", offhook.log());
    assert_eq!(shown(&office), second);
}

#[test]
fn the_service_manager_is_told() {
    let (office, _server, configuration) = office("reload-manager");
    let mut offhook = office.offhook(&configuration);
    let states = |told: &[String]| -> Vec<String> {
        told.iter().filter_map(|message| message.lines().next().map(str::to_owned)).collect()
    };
    let told = until("it is ready", LIMIT, || Some(offhook.told_the_manager()).filter(|told| !told.is_empty()));
    assert_eq!(states(&told), ["READY=1"]);
    let _ = offhook.reload(&configuration);
    let mut told = Vec::new();
    until("it is ready again", LIMIT, || {
        told.extend(offhook.told_the_manager());
        (told.len() == 2).then_some(())
    });
    assert_eq!(states(&told), ["RELOADING=1", "READY=1"]);
    assert!(
        told[0].contains("MONOTONIC_USEC=") && told[1].contains("STATUS=configuration reloaded: 2 users"),
        "{told:?}"
    );
    assert!(offhook.stop(LIMIT).success());
    assert_eq!(states(&offhook.told_the_manager()).first().map(String::as_str), Some("STOPPING=1"));
}

#[test]
fn a_service_manager_that_does_not_listen_holds_up_nothing() {
    let (office, _server, configuration) = office("reload-deaf");
    let mut offhook = office.offhook(&configuration);
    offhook.deafen_the_manager();
    assert!(offhook.reload(&configuration).starts_with("configuration reloaded"));
    assert!(offhook.stop(LIMIT).success());
    offhook.restart();
    assert!(offhook.stop(LIMIT).success());
}
