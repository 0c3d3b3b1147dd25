//! Configuration files as people write them: what is wrong is told with its place and its cure.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use offhook::configuration::option::SECTIONS;
use offhook::configuration::{Configuration, End, Faults, Surroundings, print};

/// The shortest file that is whole.
const LEAST: &str = "domain = \"a.example\"\n[[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:5060\"\n";

/// A directory with two certificates, `sbc` and `other`, and a password.
/// What is shown of John while he publishes nothing.
const HARD_STATE: &str = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:john@a.example\">\
                          <tuple id=\"t\"><status><basic>open</basic></status></tuple></presence>";

fn surroundings(test: &str) -> Surroundings {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(&directory).unwrap();
    for name in ["sbc", "other"] {
        let names = vec![format!("{name}.sfb.example")];
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
        fs::write(directory.join(format!("{name}.pem")), cert.pem()).unwrap();
        fs::write(directory.join(format!("{name}.key")), signing_key.serialize_pem()).unwrap();
    }
    fs::write(directory.join("john.password"), "secret\n").unwrap();
    fs::write(directory.join("empty.password"), "\n").unwrap();
    fs::write(directory.join("john.pidf.xml"), HARD_STATE).unwrap();
    Surroundings { directory, environment: [("JANE".to_owned(), "word".to_owned())].into() }
}

fn parse(text: &str) -> Result<Configuration, Faults> {
    Configuration::parse("offhook.toml", text, &Surroundings::default())
}

/// What is shown of a file that begins with [`LEAST`] and goes on with `text`.
fn shown(text: &str, surroundings: &Surroundings) -> String {
    let faults = Configuration::parse("offhook.toml", &format!("{LEAST}{text}"), surroundings).unwrap_err();
    faults.to_string().replace(&format!("{}/", surroundings.directory.display()), "DIR/")
}

#[track_caller]
fn is_shown(text: &str, expected: &str) {
    assert_eq!(shown(text, &Surroundings::default()), expected.trim_start_matches('\n'), "{text}");
}

#[test]
fn four_lines_are_a_whole_file_with_the_presence_server_inside() {
    let configuration = parse(LEAST).unwrap();
    let here = configuration.presence_server_here.unwrap();
    assert_eq!(here.domains, ["a.example"]);
    assert_eq!(here.max_expires, Duration::from_secs(3600));
    assert_eq!(here.packages, presence::server::PACKAGES.map(|package| package.name), "every package there is");
    assert!(configuration.store.is_none() && configuration.workers.is_none());
    assert_eq!(configuration.log.level, "info");
}

#[test]
fn an_unknown_key_is_answered_with_the_one_that_was_meant() {
    is_shown(
        "advertize = \"sbc\"\n",
        r#"
offhook.toml:5:1: there is no "advertize" in [[listen]]
  5 | advertize = "sbc"
    | ^^^^^^^^^ did you mean "advertise"?
"#,
    );
    is_shown(
        "[[peers]]\nname = \"pbx\"\n",
        r#"
offhook.toml:5:3: there is no "peers" in the top of the file
  5 | [[peers]]
    |   ^^^^^ did you mean "peer"?
"#,
    );
    is_shown(
        "[store]\npath = \"x\"\ncolour = 1\n",
        r#"
offhook.toml:7:1: there is no "colour" in [store]
  7 | colour = 1
    | ^^^^^^ there is path and sync
"#,
    );
}

#[test]
fn a_word_that_is_none_of_the_choices_is_answered_with_them() {
    is_shown(
        "[[listen]]\ntransport = \"sctp\"\naddress = \"10.0.0.5:5060\"\n",
        r#"
offhook.toml:6:13: "sctp" is no transport
  6 | transport = "sctp"
    |             ^^^^^^ write udp, tcp or tls
"#,
    );
}

#[test]
fn what_is_missing_is_asked_for_with_an_example() {
    is_shown(
        "[[listen]]\ntransport = \"tcp\"\n",
        r#"
offhook.toml:5:1: [[listen]] lacks "address"
  5 | [[listen]]
    | ^^^^^^^^^^ add a line like: address = "127.0.0.1:5060"
"#,
    );
    assert_eq!(
        parse("").unwrap_err().to_string(),
        "offhook.toml:1:1: the top of the file lacks \"domain\"\n  1 | \n    | ^ add a line like: domain = \"sfb.example\"\n"
    );
    assert_eq!(
        parse("domain = \"a\"\n").unwrap_err().to_string(),
        "offhook.toml:1:10: nobody can reach this node: there is no [[listen]]\n  1 | domain = \"a\"\n    |          ^^^ add a \
         section: [[listen]] with transport = \"udp\" and address = \"127.0.0.1:5060\"\n"
    );
}

#[test]
fn a_section_of_another_form_is_told_its_form() {
    is_shown(
        "[peer]\nname = \"pbx\"\n",
        r#"
offhook.toml:5:1: peer is a section of another form
  5 | [peer]
    | ^^^^^^ write [[peer]]: there may be several
"#,
    );
    is_shown(
        "[[store]]\npath = \"x\"\n",
        r#"
offhook.toml:5:1: store is a section of another form
  5 | [[store]]
    | ^^^^^^^^^ write [store]
"#,
    );
    is_shown(
        "[identity]\ncertificate = \"x\"\n",
        r#"
offhook.toml:6:1: identity is a section of another form
  6 | certificate = "x"
    | ^^^^^^^^^^^ write [identity.NAME]
"#,
    );
}

#[test]
fn a_slip_of_the_syntax_is_shown_where_it_is() {
    is_shown(
        "[runtime]\nworkers = 2\nworkers = 3\n",
        r#"
offhook.toml:7:1: this stands here twice
  7 | workers = 3
    | ^^^^^^^ keep one
"#,
    );
    is_shown(
        "[log]\nlevel = info\n",
        r#"
offhook.toml:6:9: texts stand in quotation marks
  6 | level = info
    |         ^^^^ write "..."
"#,
    );
    is_shown(
        "[[listen]]\ntransport = \"udp\"\naddress = 10.0.0.5:5060 # LAN\n",
        r#"
offhook.toml:7:11: texts stand in quotation marks
  7 | address = 10.0.0.5:5060 # LAN
    |           ^^^^^^^^^^^^^ write "..."
"#,
    );
    is_shown(
        "[[listen\n",
        r#"
offhook.toml:5:9: unclosed array table
  5 | [[listen
    |         ^ here belongs `]]`
"#,
    );
}

#[test]
fn values_of_another_kind_are_told_what_belongs_there() {
    let cases = [
        ("[runtime]\nworkers = 0", "workers is out of range", "write a whole number from 1 to 1024"),
        ("[runtime]\nworkers = \"x\"", "\"x\" is no workers", "write a whole number from 1 to 1024"),
        ("[store]\npath = 1", "path cannot be this integer", "write a text in quotation marks"),
        ("[store]\npath = \"x\"\nsync = \"never\"", "\"never\" is no sync", "or \"always\""),
        ("[presence_server_here]\nmin_expires = \"9\"", "\"9\" is no min_expires", "like \"600s\""),
        ("[presence_server_here]\nmin_expires = \"10ms\"", "min_expires is too brief", "write at least \"1s\""),
        ("[presence_server_here]\ndomains = \"x\"", "\"x\" is no domains", "write a list"),
        ("[presence_server_here]\ndomains = [1]", "domains is a list of texts", "write a list"),
        (
            "[presence_server_here]\npackages = [\"presence\", \"x\"]",
            "\"x\" does not fit here",
            "dialog or message-summary",
        ),
        ("[presence_server_here]\npackages = [\"dialog\"]", "without the package presence", "into the list"),
        ("[[user]]\nuri = \"john\"", "\"john\" is no uri", "write a SIP URI"),
        ("[[user]]\nuri = \"sip:a.example\"", "a user's URI names a user", "write one like"),
        ("[[user]]\nuri = \"sip:j@a\"\npublish = 1", "publish cannot be this integer", "write true or false"),
        ("[[user]]\nuri = \"sip:j@a\"\nnumbers = [\"-\"]", "\"-\" is no number", "write one like"),
        ("[[user]]\nuri = \"sip:j@a\"\npassword_env = \"NO\"", "variable NO is not set", "password_file"),
        ("[[listen]]\ntransport = \"udp\"\naddress = \"sbc\"", "\"sbc\" is no address", "write an address"),
        ("[[listen]]\ntransport = \"udp\"\naddress = \"::\"", "nobody can answer to ::", "advertise = "),
        ("advertise = \"a b\"", "\"a b\" is no advertise", "write a host name"),
        ("[[peer]]\nname = \"p\"\naddresses = []", "addresses cannot be this array", "write SIP URIs or addresses"),
        ("[[peer]]\nname = \"p\"\naddresses = [\"?\"]", "\"?\" does not fit here", "write SIP URIs or addresses"),
        ("[[peer]]\nname = \"registered\"\naddresses = [\"::1\"]", "phones that registered", "choose another name"),
        ("[[presence_server]]\nname = \"s\"\nuri = \"sip:s\"\nusername = \"u\"", "without a password", "add a line"),
    ];
    for (text, words, cure) in cases {
        let shown = shown(text, &Surroundings::default());
        assert_eq!(shown.lines().count(), 3, "one fault:\n{shown}");
        assert!(shown.contains(words) && shown.contains(cure), "{shown}");
    }
}

#[test]
fn a_domain_is_no_uri_and_has_no_port() {
    for domain in ["sip:a.example", "a.example:5060", "", "john@a.example"] {
        let shown = parse(&LEAST.replace("a.example", domain)).unwrap_err().to_string();
        assert!(shown.contains("^ write a domain, like \"example.com\""), "{shown}");
    }
}

#[test]
fn a_regular_expression_is_checked() {
    is_shown(
        "[[route]]\ncallee = '(\\+'\nto = \"registered\"\n",
        r#"
offhook.toml:6:10: this is no regular expression
  6 | callee = '(\+'
    |          ^^^^^ unclosed group
"#,
    );
}

#[test]
fn names_that_nobody_bears_are_told() {
    is_shown(
        "[[peer]]\nname = \"pbx\"\naddresses = [\"10.0.0.9\"]\n[[route]]\nto = \"pbz\"\n",
        r#"
offhook.toml:9:6: there is no peer "pbz"
  9 | to = "pbz"
    |      ^^^^^ did you mean "pbx"?
"#,
    );
    is_shown(
        "[[listen]]\ntransport = \"tls\"\naddress = \"127.0.0.1\"\nidentity = \"lan\"\n",
        r#"
offhook.toml:8:12: there is no identity "lan"
  8 | identity = "lan"
    |            ^^^^^ add a section [identity.lan]
"#,
    );
}

#[test]
fn tls_without_a_certificate_is_told() {
    is_shown(
        "[[listen]]\ntransport = \"tls\"\naddress = \"127.0.0.1\"\n",
        r#"
offhook.toml:6:13: TLS needs a certificate
  6 | transport = "tls"
    |             ^^^^^ add a line like: identity = "lan", and a section [identity.lan]
"#,
    );
}

#[test]
fn two_listeners_at_one_address_are_both_shown() {
    is_shown(
        "[[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1\"\n",
        r#"
offhook.toml:7:11: 127.0.0.1:5060 is taken
  7 | address = "127.0.0.1"
    |           ^^^^^^^^^^^ choose another port
  4 | address = "127.0.0.1:5060"
    |           ^^^^^^^^^^^^^^^^ by this listener
"#,
    );
    let both = format!("{LEAST}[[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1\"\n");
    assert_eq!(parse(&both).unwrap().listeners.len(), 2, "TCP beside UDP is no clash");
}

#[test]
fn a_number_that_two_users_claim_is_a_warning_that_shows_both_places() {
    let users = "[[user]]\nuri = \"sip:john@a\"\nnumbers = [\"10 56\", \"1056\"]\n[[user]]\nuri = \"sip:jane@a\"\nnumbers = [\"1-056\"]\n";
    let configuration = parse(&format!("{LEAST}{users}")).unwrap();
    let expected = r#"
offhook.toml:10:12: there already is a user with the number 1056
  10 | numbers = ["1-056"]
     |            ^^^^^^^ calls to and from it show for neither of them
  7 | numbers = ["10 56", "1056"]
    |            ^^^^^^^ the first
"#;
    assert_eq!(configuration.warnings.to_string(), expected.trim_start_matches('\n'));
    let asked = configuration.runtime().directory.unwrap().who_is(&node::port::Who::Number("1056".into()));
    assert!(matches!(asked, node::port::Known::Ambiguous(users) if users.len() == 2));
    let shown = shown(
        "[[user]]\nuri = \"sip:john@a\"\n[[user]]\nuri = \"sip:jane@a\"\naliases = [\"sip:john@A:5060\"]\n",
        &Surroundings::default(),
    );
    assert!(shown.contains("there already is a user with the URI sip:john@a"), "{shown}");
}

/// What a file with `[users]` amounts to whose table is this text, readable by its owner alone.
fn with_table(test: &str, text: &[u8]) -> Result<Configuration, String> {
    let surroundings = surroundings(test);
    let table = surroundings.directory.join("users.csv");
    fs::write(&table, text).unwrap();
    fs::set_permissions(&table, fs::Permissions::from_mode(0o600)).unwrap();
    let text =
        format!("{LEAST}[[user]]\nuri = \"sip:boss@a.example\"\nnumbers = [\"1\"]\n[users]\ncsv = \"users.csv\"\n");
    Configuration::parse("offhook.toml", &text, &surroundings)
        .map_err(|faults| faults.to_string().replace(&format!("{}/", surroundings.directory.display()), "DIR/"))
}

#[test]
fn users_come_from_a_table_beside_those_of_the_file() {
    let tables = [
        "uri,name,numbers,publish,password\njohn.doe@a.example,\"Doe, John\",\"+49 89 12;12\",yes,secret\nsip:jane@a.example,Jane,,no,\n",
        "\u{feff}Numbers;URI;Name;Publish;Password\r\n\"+49 89 12|12\";john.doe@a.example;Doe, John;TRUE;secret\r\n;jane@a.example;Jane;0\r\n\r\n",
    ];
    for (number, table) in tables.iter().enumerate() {
        let configuration = with_table(&format!("table-{number}"), table.as_bytes()).unwrap();
        assert_eq!(configuration.warnings.faults, [], "{}", configuration.warnings);
        let [boss, john, jane] = &configuration.users[..] else { panic!("{:?}", configuration.users) };
        assert_eq!(boss.aor.as_str(), "sip:boss@a.example");
        assert_eq!((john.aor.as_str(), john.name.as_deref()), ("sip:john.doe@a.example", Some("Doe, John")));
        assert_eq!((&john.numbers[..], john.publish), (&["+49 89 12".to_owned(), "12".to_owned()][..], true));
        assert_eq!(john.password.as_deref(), Some("secret"));
        assert_eq!((jane.aor.as_str(), jane.publish, &jane.password), ("sip:jane@a.example", false, &None));
    }
}

#[test]
fn a_table_is_told_its_faults_with_line_and_column() {
    let told = with_table(
        "table-faults",
        "uri,numbers,nmae\njohn@a.example,\"12;x y!\",J\n,13,\njane@a.example,1,J,K\nboss@a.example,14,B\n".as_bytes(),
    )
    .unwrap_err();
    let expected = r#"
DIR/users.csv:2:17: "x y!" is no number
  2 | john@a.example,"12;x y!",J
    |                 ^^^^^^^ write one like "+49 89 1234-56"

DIR/users.csv:3:1: this row lacks its uri
  3 | ,13,
    | ^^^^ write one like sip:john.doe@sfb.example

DIR/users.csv:4:1: this row has 4 cells, and there are 3 columns
  4 | jane@a.example,1,J,K
    | ^^^^^^^^^^^^^^^^^^^^ put a cell with separators into quotation marks

DIR/users.csv:5:1: there already is a user with the URI sip:boss@a.example
  5 | boss@a.example,14,B
    | ^^^^^^^^^^^^^^ keep one of the two
offhook.toml:6:7:
  6 | uri = "sip:boss@a.example"
    |       ^^^^^^^^^^^^^^^^^^^^ the first
"#;
    assert_eq!(told, expected.trim_start_matches('\n'));
    for (test, table, words) in [
        ("table-empty", &b""[..], "there are no users in this file"),
        ("table-no-uri", b"name,numbers\nJohn,1\n", "there is no column \"uri\""),
        ("table-twice", b"uri,uri\na@b,c@d\n", "there already is a column \"uri\""),
        ("table-latin", b"uri,name\na@b,x\nj@a,J\xfcrgen\n", "is no UTF-8 text in line 3"),
        ("table-flag", b"uri,publish\na@b,perhaps\n", "\"perhaps\" does not fit in the column publish"),
    ] {
        let told = with_table(test, table).unwrap_err();
        assert!(told.contains(words), "{told}");
    }
    let many: String = (0..100).map(|_| "boss@a.example\n").collect();
    let told = with_table("table-many", format!("uri\n{many}").as_bytes()).unwrap_err();
    assert!(told.ends_with("\nand 80 more\n"), "{told}");
    let missing = shown("[users]\ncsv = \"no.csv\"\n", &surroundings("table-missing"));
    assert!(missing.contains("DIR/no.csv cannot be read"), "{missing}");
}

#[test]
fn a_table_is_warned_of_columns_that_nobody_reads_and_passwords_that_everybody_may() {
    let configuration = with_table("table-columns", b"uri,nmae,room\nj@a,J,5\n").unwrap();
    let warnings = configuration.warnings.to_string();
    assert!(warnings.contains("the column \"nmae\" is not used"), "{warnings}");
    assert!(warnings.contains("did you mean \"name\"?") && warnings.contains("the columns are uri, "), "{warnings}");
    let surroundings = surroundings("table-secret");
    let table = surroundings.directory.join("users.csv");
    fs::write(&table, "uri,password\nj@a,secret\n").unwrap();
    fs::set_permissions(&table, fs::Permissions::from_mode(0o644)).unwrap();
    let text = format!("{LEAST}[users]\ncsv = \"users.csv\"\n");
    let warnings = Configuration::parse("offhook.toml", &text, &surroundings).unwrap().warnings.to_string();
    assert!(warnings.contains("everybody may read the passwords in users.csv"), "{warnings}");
}

#[test]
fn a_user_is_found_by_each_form_of_their_number() {
    let user = |numbers: &str, plan: &str| {
        parse(&format!("{LEAST}[[user]]\nuri = \"sip:john@a\"\nnumbers = [{numbers}]\n{plan}")).unwrap()
    };
    let finds = |configuration: &Configuration, number: &str| {
        let known = configuration.runtime().directory.unwrap().who_is(&node::port::Who::Number(number.into()));
        matches!(known, node::port::Known::User { .. })
    };
    let plan = "[numbers]\ncountry_code = \"49\"\nextensions_of = \"+49 89 1234\"\n";
    let german = user("\"089 1234-56\"", plan);
    for number in ["+4989123456", "004989123456", "08912 3456", "56"] {
        assert!(finds(&german, number), "{number}");
    }
    assert!(!finds(&german, "+198912345 6") && !finds(&user("\"089 1234-56\"", ""), "+4989123456"));
    for (plan, words) in [
        ("[numbers]\nnational_digits = 10\n", "a national number without a country code"),
        ("[numbers]\nextensions_of = \"089 12\"\n", "\"089 12\" is no number of E.164"),
        ("[numbers]\ncountry_code = \"+49\"\n", "\"+49\" is no country_code"),
    ] {
        let shown = shown(plan, &Surroundings::default());
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn files_of_an_identity_must_be_there_and_fit() {
    let surroundings = surroundings("identity");
    let identity = |certificate: &str, key: &str| {
        shown(&format!("[identity.lan]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n"), &surroundings)
    };
    assert_eq!(
        identity("none.pem", "sbc.key"),
        r#"offhook.toml:6:15: DIR/none.pem cannot be read: No such file or directory (os error 2)
  6 | certificate = "none.pem"
    |               ^^^^^^^^^^ name a PEM file that this user may read
"#
    );
    assert_eq!(
        identity("sbc.key", "sbc.key"),
        r#"offhook.toml:6:15: DIR/sbc.key holds no certificate
  6 | certificate = "sbc.key"
    |               ^^^^^^^^^ name a PEM file that this user may read
"#
    );
    assert_eq!(
        identity("sbc.pem", "other.key"),
        r#"offhook.toml:7:7: the key is not the certificate's
  7 | key = "other.key"
    |       ^^^^^^^^^^^ name the key that the certificate was made for
  6 | certificate = "sbc.pem"
    |               ^^^^^^^^^ this is the certificate
"#
    );
}

#[test]
fn the_local_name_must_be_a_name_of_the_certificate() {
    let surroundings = surroundings("local-name");
    let text = |name: &str| {
        format!(
            "[identity.lan]\ncertificate = \"sbc.pem\"\nkey = \"sbc.key\"\n[[presence_server]]\nname = \"skype\"\n\
             uri = \"sip:sfb.example;transport=tls\"\nlocal_name = \"{name}\"\n"
        )
    };
    assert_eq!(
        shown(&text("sbx.sfb.example:5061"), &surroundings),
        r#"offhook.toml:11:14: the certificate of [identity.lan] does not bear the name "sbx.sfb.example"
  11 | local_name = "sbx.sfb.example:5061"
     |              ^^^^^^^^^^^^^^^^^^^^^^ write sbc.sfb.example, or use a certificate with this name
"#
    );
    let whole = format!("{LEAST}{}", text("SBC.sfb.example"));
    let configuration = Configuration::parse("offhook.toml", &whole, &surroundings).unwrap();
    assert_eq!(configuration.presence_servers.first().unwrap().identity, Some(0), "the only identity is taken");
    assert!(configuration.presence_server_here.is_none(), "there is another presence server");
}

#[test]
fn lifetimes_that_contradict_each_other_are_both_shown() {
    is_shown(
        "[presence_server_here]\nmin_expires = \"2h\"\n",
        r#"
offhook.toml:6:15: min_expires is longer than max_expires
  6 | min_expires = "2h"
    |               ^^^^ write at most "3600s", or a longer max_expires
  5 | [presence_server_here]
    | ^^^^^^^^^^^^^^^^^^^^^^ max_expires is 3600s here
"#,
    );
}

#[test]
fn passwords_come_from_a_file_or_the_environment() {
    let surroundings = surroundings("passwords");
    let user = |rest: &str| format!("[[user]]\nuri = \"sip:j@a\"\n{rest}\n");
    let password = |rest: &str| {
        let text = format!("{LEAST}{}", user(rest));
        let configuration = Configuration::parse("offhook.toml", &text, &surroundings).unwrap();
        configuration.users.first().unwrap().password.as_deref().map(str::to_owned)
    };
    assert_eq!(password("password_file = \"john.password\"").as_deref(), Some("secret"));
    assert_eq!(password("password_env = \"JANE\"").as_deref(), Some("word"));
    assert_eq!(password(""), None);
    for (rest, words) in [
        ("password_file = \"empty.password\"", "DIR/empty.password is empty"),
        ("password_file = \"no.password\"", "DIR/no.password cannot be read"),
        ("password_file = \"john.password\"\npassword_env = \"JANE\"", "a password from two places"),
        ("password = \"secret\"", "there is no \"password\" in [[user]]"),
    ] {
        let shown = shown(&user(rest), &surroundings);
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn a_hard_state_is_a_document_that_could_be_published() {
    let surroundings = surroundings("hard-state");
    let folder = &surroundings.directory;
    fs::write(folder.join("bad.xml"), "on the phone").unwrap();
    let user = |file: &str| format!("[[user]]\nuri = \"sip:john@a.example\"\nhard_state = \"{file}\"\n");
    let text = format!("{LEAST}{}", user("john.pidf.xml"));
    let configuration =
        Configuration::parse("offhook.toml", &text, &surroundings).unwrap_or_else(|faults| panic!("{faults}"));
    let shown_of = configuration.node().presence_server_here.unwrap().hard_states;
    let mut expected = presence::server::HardStates::new();
    expected.provision("presence", sip::Aor::parse("sip:john@a.example").unwrap(), HARD_STATE.as_bytes()).unwrap();
    assert_eq!(*shown_of, expected);
    for (file, words) in [("bad.xml", "DIR/bad.xml: the body is not well-formed XML"), ("no.xml", "cannot be read")] {
        let shown = shown(&user(file), &surroundings);
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn every_fault_is_told_at_once_in_the_order_of_the_file() {
    let faults =
        parse("domain = 1\n[[listen]]\ntransport = \"x\"\naddress = \"y\"\n[log]\nlevel = \"z\"\n").unwrap_err();
    let shown = faults.to_string();
    let places: Vec<_> =
        shown.lines().filter(|line| line.starts_with("offhook.toml")).map(|line| &line[..16]).collect();
    assert_eq!(places, ["offhook.toml:1:1", "offhook.toml:3:1", "offhook.toml:4:1", "offhook.toml:6:9"]);
}

#[test]
fn the_example_is_a_whole_file() {
    let configuration = parse(&print::example()).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(configuration.users.first().unwrap().name.as_deref(), Some("John Doe"));
    assert!(configuration.presence_server_here.is_some());
}

#[test]
fn the_example_with_every_option_in_force_is_a_whole_file_too() {
    let mut surroundings = surroundings("example");
    surroundings.environment.insert("JOHN_PASSWORD".into(), "secret".into());
    let option = |line: &str| {
        let rest = line.strip_prefix("# ").unwrap_or(line);
        let key = rest.split(" = ").next().unwrap_or_default();
        let known = SECTIONS.iter().any(|section| section.setting(key).is_some());
        // A password comes from one place.
        if (known && key != "password_env") || rest.starts_with('[') { rest.to_owned() } else { line.to_owned() }
    };
    let text: Vec<String> = print::example().lines().map(option).collect();
    let text = text.join("\n").replace("/etc/offhook/ca.pem", "sbc.pem").replace("/etc/offhook/", "");
    fs::write(surroundings.directory.join("skype.password"), "secret").unwrap();
    fs::write(surroundings.directory.join("users.csv"), "uri\nmary@sfb.example\n").unwrap();
    let configuration =
        Configuration::parse("offhook.toml", &text, &surroundings).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(configuration.routes.first().unwrap().to, End::Peer(0));
    assert_eq!(configuration.presence_servers.len(), 1);
    assert_eq!(configuration.workers, Some(2));
    assert!(configuration.presence_server_here.is_some());
}

#[test]
fn the_reference_and_the_example_have_every_option() {
    let (reference, example) = (print::reference(), print::example());
    for section in SECTIONS {
        for setting in section.settings {
            let path = format!("{}.{}", section.name, setting.name);
            assert!(reference.contains(&format!("| `{}` | {}", setting.name, setting.kind)), "{path}");
            assert!(example.contains(&format!("{} = {}", setting.name, setting.example)), "{path}");
        }
    }
}

#[test]
fn whatever_a_file_holds_it_is_told_and_nothing_panics() {
    let whole = print::example();
    for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)).step_by(7) {
        let (before, after) = whole.split_at(end);
        for text in
            [before.to_owned(), after.to_owned(), format!("{before}\u{0}ü[{after}"), format!("{before}\"{after}")]
        {
            if let Err(faults) = parse(&text) {
                assert!(!faults.faults.is_empty() && !faults.to_string().is_empty(), "{text}");
            }
        }
    }
}

#[test]
fn the_node_and_the_runtime_are_told_what_the_file_says() {
    let surroundings = surroundings("told");
    let text = format!(
        "{LEAST}[[listen]]\ntransport = \"tls\"\naddress = \"127.0.0.1\"\nidentity = \"lan\"\n\
         [identity.lan]\ncertificate = \"sbc.pem\"\nkey = \"sbc.key\"\n\
         [[peer]]\nname = \"pbx\"\naddresses = [\"10.0.0.9\", \"sip:[::1]:5070\", \"sip:pbx.example\"]\npresence = \"caller\"\n\
         [[route]]\nfrom = \"pbx\"\nto = \"registered\"\n[[route]]\ncallee = '^\\+'\nto = \"pbx\"\n\
         [[presence_server]]\nname = \"skype\"\nuri = \"sip:s;transport=tls\"\nusername = \"u\"\npassword_file = \"john.password\"\n\
         [presence_server_here]\nmin_expires = \"2m\"\n"
    );
    let configuration =
        Configuration::parse("offhook.toml", &text, &surroundings).unwrap_or_else(|faults| panic!("{faults}"));
    let (node, runtime) = (configuration.node(), configuration.runtime());

    let numbers: Vec<_> = node.listeners.iter().map(|listener| (listener.id, listener.identity)).collect();
    let same: Vec<_> = runtime.listeners.iter().map(|listener| (listener.id, listener.identity)).collect();
    assert_eq!(numbers, same);
    assert_eq!(runtime.listeners.last().unwrap().address, "127.0.0.1:5061".parse().unwrap());
    assert_eq!(runtime.identities.len(), 1);

    let peer = node.peers.first().unwrap();
    assert_eq!(&*peer.uri, "sip:10.0.0.9");
    assert_eq!(peer.addresses, ["10.0.0.9", "::1"].map(|address| address.parse::<std::net::IpAddr>().unwrap()));
    assert_eq!(configuration.peers.first().unwrap().hosts().last(), Some("pbx.example"));
    assert_eq!(peer.presence, node::configuration::Presence::Caller);

    let [first, second] = &node.routes[..] else { panic!("two routes") };
    assert_eq!((&first.from, &first.to), (&call::routing::From::Peer("pbx".into()), &call::routing::To::Registered));
    assert_eq!(second.from, call::routing::From::Any);
    assert!(second.callee.as_ref().is_some_and(|pattern| pattern.is_match("+49") && !pattern.is_match("49+")));

    let [skype, here] = &node.presence_servers[..] else { panic!("two presence servers") };
    assert_eq!(skype.server.credentials.as_ref().map(|credentials| credentials.password.as_str()), Some("secret"));
    assert!(skype.identity.is_some() && skype.uri.is_some() && here.uri.is_none());
    assert_eq!(node.presence_server_here.unwrap().min_expires, 120);
}

#[test]
fn watch_rules_are_kept_in_their_order() {
    let text = format!(
        "{LEAST}[[watch_rule]]\npresentity = \"sip:boss@a.example\"\nwatcher = \"sip:jane@a.example\"\naction = \"allow\"\ndetails = true\n\
         [[watch_rule]]\npresentity = \"sip:boss@a.example\"\nwatcher = \"*@a.example\"\naction = \"polite-block\"\n"
    );
    let rules = parse(&text).unwrap().presence_server_here.unwrap().rules;
    let words: Vec<String> = rules.iter().map(|rule| format!("{:?} {}", rule.action, rule.details)).collect();
    assert_eq!(words, ["Allow true", "PoliteBlock false"]);
}

#[test]
fn a_watch_rule_that_means_nothing_is_a_fault() {
    is_shown(
        "[[watch_rule]]\npresentity = \"boss\"\nwatcher = \"*\"\naction = \"block\"\n",
        r#"
offhook.toml:6:14: "boss" is no presentity
  6 | presentity = "boss"
    |              ^^^^^^ write a SIP URI, "*@example.com" or "*"
"#,
    );
    is_shown(
        "[[watch_rule]]\npresentity = \"*\"\nwatcher = \"*\"\naction = \"block\"\ndetails = true\n",
        r#"
offhook.toml:9:11: who is not allowed to watch sees no details
  9 | details = true
    |           ^^^^ leave it out, or write: action = "allow"
  8 | action = "block"
    |          ^^^^^^^ this is the action
"#,
    );
}

#[test]
fn a_watch_rule_that_can_never_count_is_warned_of() {
    let text = format!(
        "{LEAST}[[watch_rule]]\npresentity = \"*\"\nwatcher = \"*@a.example\"\naction = \"allow\"\n\
         [[watch_rule]]\npresentity = \"sip:boss@a.example\"\nwatcher = \"sip:jane@a.example\"\naction = \"block\"\n"
    );
    let warnings = parse(&text).unwrap().warnings.to_string();
    assert!(warnings.contains("offhook.toml:10:14: this rule never counts"), "{warnings}");
    let elsewhere = format!(
        "{LEAST}[[presence_server]]\nname = \"x\"\nuri = \"sip:x.example\"\n[[watch_rule]]\npresentity = \"*\"\nwatcher = \"*\"\naction = \"block\"\n"
    );
    assert!(parse(&elsewhere).unwrap().warnings.to_string().contains("the presence server inside does not run"));
}

#[test]
fn lists_have_members() {
    let text = format!(
        "{LEAST}[[list]]\nuri = \"sip:team@a.example\"\nmembers = [\"sip:john@a.example\", \"sip:jane@a.example\", \"sip:john@a.example\"]\n"
    );
    let lists = parse(&text).unwrap().presence_server_here.unwrap().lists;
    assert_eq!(lists[0].0.as_str(), "sip:team@a.example");
    let members: Vec<&str> = lists[0].1.iter().map(|member| &*member.uri).collect();
    assert_eq!(members, ["sip:john@a.example", "sip:jane@a.example"]);
}

#[test]
fn a_list_on_a_list_is_a_fault_and_so_is_one_that_is_there_twice() {
    is_shown(
        "[[list]]\nuri = \"sip:all@a.example\"\nmembers = [\"sip:team@a.example\"]\n\
         [[list]]\nuri = \"sip:team@a.example\"\nmembers = [\"sip:john@a.example\"]\n\
         [[list]]\nuri = \"sip:team@a.example\"\nmembers = [\"sip:john@a.example\"]\n",
        r#"
offhook.toml:7:12: a list as a member of a list
  7 | members = ["sip:team@a.example"]
    |            ^^^^^^^^^^^^^^^^^^^^ write its members instead
  9 | uri = "sip:team@a.example"
    |       ^^^^^^^^^^^^^^^^^^^^ this is the other list

offhook.toml:12:7: there already is a list sip:team@a.example
  12 | uri = "sip:team@a.example"
     |       ^^^^^^^^^^^^^^^^^^^^ keep one of the two
  9 | uri = "sip:team@a.example"
    |       ^^^^^^^^^^^^^^^^^^^^ the first
"#,
    );
}

#[test]
fn a_list_that_is_too_long_is_a_fault() {
    let members: Vec<String> = (0..1_001).map(|n| format!("\"sip:u{n}@a.example\"")).collect();
    let text = format!("[[list]]\nuri = \"sip:all@a.example\"\nmembers = [{}]\n", members.join(", "));
    assert!(shown(&text, &Surroundings::default()).contains("1001 members do not fit into one list"));
    let text = "[[list]]\nuri = \"sip:all@a.example\"\nmembers = []\n";
    assert!(shown(text, &Surroundings::default()).contains("a list without members"));
}
