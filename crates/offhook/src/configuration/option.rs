//! Every option of the file, each written down once: parsing, the reference and the example all come from here.

use std::fmt;

/// A section of the file with its options.
#[derive(Debug)]
pub struct Section {
    /// Its name; empty for what stands before the first section.
    pub name: &'static str,
    /// How it is written.
    pub form: Form,
    /// What it is for.
    pub text: &'static str,
    /// Its options.
    pub settings: &'static [Setting],
}

/// How a section is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Before the first section.
    Top,
    /// `[name]`, at most once.
    Once,
    /// `[[name]]`, any number of times.
    Many,
    /// `[name.NAME]`, each with a name of its own.
    Named,
}

/// One option.
#[derive(Debug)]
pub struct Setting {
    /// Its key.
    pub name: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// What is used where it is left out.
    pub default: Absent,
    /// What it does.
    pub text: &'static str,
    /// A value, as TOML.
    pub example: &'static str,
    /// Whether the example file has it in force, not as a comment.
    pub live: bool,
}

/// What may stand for an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A list of texts.
    Texts,
    /// A domain.
    Domain,
    /// A host name, an address, or either with a port.
    Host,
    /// An address to listen at.
    Address,
    /// A SIP URI.
    Uri,
    /// Digits, or an empty text.
    Digits,
    /// A list of SIP URIs of users.
    Users,
    /// A SIP URI of a user, `*@` and a domain, or `*`.
    Who,
    /// A list of SIP URIs or addresses.
    Places,
    /// A list of addresses, or addresses with ports.
    Addresses,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of these words.
    Choices(&'static [&'static str]),
    /// A length of time.
    Duration,
    /// A length of time or this word.
    DurationOr(&'static str),
    /// A whole number between these.
    Count(u32, u32),
    /// `true` or `false`.
    Flag,
    /// A regular expression.
    Pattern,
    /// A file that can be read; a relative path begins at the configuration file.
    File,
    /// A directory; a relative path begins at the configuration file.
    Directory,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Texts => f.write_str("list of texts"),
            Self::Domain => f.write_str("domain"),
            Self::Host => f.write_str("host, or host:port"),
            Self::Address => f.write_str("address, or address:port"),
            Self::Uri => f.write_str("SIP URI"),
            Self::Digits => f.write_str("digits"),
            Self::Users => f.write_str("list of SIP URIs"),
            Self::Who => f.write_str("SIP URI, *@domain or *"),
            Self::Places => f.write_str("list of SIP URIs or addresses"),
            Self::Addresses => f.write_str("list of addresses, or address:port"),
            Self::Choice(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                f.write_str(&quoted.join(" or "))
            }
            Self::Choices(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                write!(f, "list of {}", quoted.join(", "))
            }
            Self::Duration => f.write_str("duration"),
            Self::DurationOr(word) => write!(f, "duration or \"{word}\""),
            Self::Count(least, most) => write!(f, "whole number from {least} to {most}"),
            Self::Flag => f.write_str("true or false"),
            Self::Pattern => f.write_str("regular expression"),
            Self::File => f.write_str("file"),
            Self::Directory => f.write_str("directory"),
        }
    }
}

/// What is used where an option is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It must not be left out.
    Required,
    /// This value, as TOML.
    Value(&'static str),
    /// No value of its own; in words, what happens then.
    Then(&'static str),
}

impl Section {
    /// As it is written: `[[listen]]`.
    #[must_use]
    pub fn header(&self) -> String {
        match self.form {
            Form::Top => "the top of the file".to_owned(),
            Form::Once => format!("[{}]", self.name),
            Form::Many => format!("[[{}]]", self.name),
            Form::Named => format!("[{}.NAME]", self.name),
        }
    }

    /// The option of this name.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.name == name)
    }
}

const fn required(name: &'static str, kind: Kind, example: &'static str, text: &'static str) -> Setting {
    Setting { name, kind, default: Absent::Required, text, example, live: true }
}

const fn optional(
    name: &'static str,
    kind: Kind,
    default: Absent,
    example: &'static str,
    text: &'static str,
) -> Setting {
    Setting { name, kind, default, text, example, live: false }
}

/// The name of the phones and users that registered here, in routes.
pub const REGISTERED: &str = "registered";

/// The name of the presence server inside, in the store and in the log.
pub const HERE: &str = "here";

/// A column that a table of users may have beside the options of a `[[user]]`.
pub const PASSWORD: Setting = Setting {
    name: "password",
    kind: Kind::Text,
    default: Absent::Then("none: the phone cannot register"),
    text: "The password of their phone.",
    example: "\"\"",
    live: false,
};

/// Every section with every option.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "",
        form: Form::Top,
        text: "What the whole node is.",
        settings: &[required("domain", Kind::Domain, "\"sfb.example\"", "The domain whose users are ours.")],
    },
    Section {
        name: "listen",
        form: Form::Many,
        text: "Where SIP arrives: one section for each transport and address.",
        settings: &[
            required("transport", Kind::Choice(&["udp", "tcp", "tls"]), "\"udp\"", "The transport."),
            required(
                "address",
                Kind::Address,
                "\"127.0.0.1:5060\"",
                "The address to bind. The port is 5060, or 5061 for TLS, where it is left out; with port 0 the system picks one. An address of all interfaces needs `advertise`.",
            ),
            optional(
                "advertise",
                Kind::Host,
                Absent::Then("the bound address"),
                "\"sbc.sfb.example\"",
                "What Via, Contact and SDP show, where it differs from the bound address.",
            ),
            optional(
                "identity",
                Kind::Text,
                Absent::Then("none; TLS needs one"),
                "\"lan\"",
                "The certificate of a TLS listener, by the name of its [identity.NAME].",
            ),
        ],
    },
    Section {
        name: "identity",
        form: Form::Named,
        text: "A certificate with its key, and whom it trusts.",
        settings: &[
            required(
                "certificate",
                Kind::File,
                "\"/etc/offhook/sbc.pem\"",
                "The certificate, followed by the intermediate ones: PEM.",
            ),
            required("key", Kind::File, "\"/etc/offhook/sbc.key\"", "The private key: PEM, PKCS#8, PKCS#1 or SEC1."),
            optional(
                "trust",
                Kind::File,
                Absent::Then("the system's authorities"),
                "\"/etc/offhook/ca.pem\"",
                "The authorities that sign the others' certificates: PEM.",
            ),
            optional(
                "client_certificates",
                Kind::Choice(&["none", "optional", "required"]),
                Absent::Value("\"none\""),
                "\"required\"",
                "What who connects to us must show; \"required\" makes TLS mutual, and needs `trust`.",
            ),
        ],
    },
    Section {
        name: "peer",
        form: Form::Many,
        text: "A PBX, a trunk or a server: known by its address or its certificate, and trusted to name callers.",
        settings: &[
            required("name", Kind::Text, "\"pbx\"", "Its name, in routes and in the log."),
            required(
                "addresses",
                Kind::Places,
                "[\"sip:10.0.0.9\"]",
                "Its SIP URIs or addresses. Calls go to the first; calls may come from each.",
            ),
            optional(
                "certificate_names",
                Kind::Texts,
                Absent::Value("[]"),
                "[\"pbx.sfb.example\"]",
                "The names of its certificate by which it is known on TLS.",
            ),
            optional(
                "presence",
                Kind::Choice(&["both", "caller", "callee", "none"]),
                Absent::Value("\"both\""),
                "\"both\"",
                "Whose presence its calls show.",
            ),
            optional(
                "publisher",
                Kind::Flag,
                Absent::Value("false"),
                "true",
                "Whether it may publish presence for our users.",
            ),
            optional(
                "domains",
                Kind::Texts,
                Absent::Then("all that the presence server inside keeps"),
                "[\"sfb.example\"]",
                "The domains whose users it may watch, and publish for where it is a `publisher`.",
            ),
        ],
    },
    Section {
        name: "route",
        form: Form::Many,
        text: "Where calls go. The first that fits is taken.",
        settings: &[
            optional(
                "from",
                Kind::Text,
                Absent::Then("anybody"),
                "\"pbx\"",
                "Who calls: the name of a peer, or \"registered\" for the phones that registered here.",
            ),
            optional(
                "callee",
                Kind::Pattern,
                Absent::Then("everybody"),
                "'^\\+'",
                "What the user part of the called URI must match.",
            ),
            required("to", Kind::Text, "\"pbx\"", "Where the call goes: the name of a peer, or \"registered\"."),
        ],
    },
    Section {
        name: "presence_server",
        form: Form::Many,
        text: "A presence server that is told who is on the phone (RFC 3903).",
        settings: &[
            required("name", Kind::Text, "\"skype\"", "Its name, in the store and in the log."),
            required("uri", Kind::Uri, "\"sip:sfb.example:5061;transport=tls\"", "Where PUBLISH goes."),
            optional(
                "local_name",
                Kind::Host,
                Absent::Then("as the listener advertises"),
                "\"sbc.sfb.example\"",
                "Our name in Via and Contact towards it; on TLS it must be a name of the identity's certificate.",
            ),
            optional(
                "spelling",
                Kind::Choice(&["both", "skype", "rfc4480"]),
                Absent::Value("\"both\""),
                "\"skype\"",
                "How on-the-phone is spelled in the document.",
            ),
            optional(
                "expires",
                Kind::Duration,
                Absent::Value("\"600s\""),
                "\"600s\"",
                "The lifetime that is asked for.",
            ),
            optional(
                "first_expires",
                Kind::Duration,
                Absent::Then("as `expires`"),
                "\"60s\"",
                "The lifetime that the first PUBLISH of a call asks for.",
            ),
            optional(
                "max_expires",
                Kind::Duration,
                Absent::Value("\"1h\""),
                "\"1h\"",
                "The longest lifetime that is asked for when the server finds ours too brief (423).",
            ),
            optional(
                "route",
                Kind::Uri,
                Absent::Then("none"),
                "\"sip:10.0.0.8;transport=tls;lr\"",
                "A route that every PUBLISH takes.",
            ),
            optional(
                "shared_state",
                Kind::Flag,
                Absent::Value("false"),
                "true",
                "Whether all addresses that its name has share one state: then a publication may be refreshed at any of them.",
            ),
            optional(
                "supersedes",
                Kind::Flag,
                Absent::Value("false"),
                "true",
                "Whether it is an Offhook that has this node as a peer with `publisher`. Then our Contact bears a `+sip.instance` that outlives a restart, and what an answer that was lost in a crash has left there is replaced by the next publication.",
            ),
            optional(
                "keepalive",
                Kind::DurationOr("off"),
                Absent::Value("\"30s\""),
                "\"30s\"",
                "How often it is asked by OPTIONS whether it is there, while anything is published there. When it comes back after a silence all of that is refreshed at once, or published anew where it was forgotten.",
            ),
            optional(
                "follow_redirects",
                Kind::Flag,
                Absent::Value("false"),
                "true",
                "Whether its redirections (3xx) are followed, wherever they lead.",
            ),
            optional(
                "identity",
                Kind::Text,
                Absent::Then("the only identity, if there is one, for TLS"),
                "\"lan\"",
                "The certificate to show it, by the name of its [identity.NAME].",
            ),
            optional(
                "username",
                Kind::Text,
                Absent::Then("none"),
                "\"sbc\"",
                "Who we are when it asks for digest; needs `password_file`.",
            ),
            optional(
                "password_file",
                Kind::File,
                Absent::Then("none"),
                "\"/etc/offhook/skype.password\"",
                "The file that holds the password of `username`.",
            ),
        ],
    },
    Section {
        name: "user",
        form: Form::Many,
        text: "A person whose calls show in their presence, and whose phone may register.",
        settings: &[
            required("uri", Kind::Uri, "\"sip:john.doe@sfb.example\"", "Their SIP URI: whose presence is shown."),
            optional(
                "aliases",
                Kind::Users,
                Absent::Value("[]"),
                "[\"sip:jd@sfb.example\"]",
                "Further SIP URIs that are theirs.",
            ),
            optional("name", Kind::Text, Absent::Then("none"), "\"John Doe\"", "Their name, in presence documents."),
            optional(
                "numbers",
                Kind::Texts,
                Absent::Value("[]"),
                "[\"+49 89 1234-56\", \"1056\"]",
                "Their numbers as the signalling has them; spaces, hyphens, dots, slashes and parentheses do not count. In the domain a user can be watched by them, as by an alias.",
            ),
            optional(
                "password_file",
                Kind::File,
                Absent::Then("none: the phone cannot register"),
                "\"/etc/offhook/john.password\"",
                "The file that holds the password of their phone.",
            ),
            optional(
                "password_env",
                Kind::Text,
                Absent::Then("none"),
                "\"JOHN_PASSWORD\"",
                "The environment variable that holds it, instead of a file.",
            ),
            optional("publish", Kind::Flag, Absent::Value("true"), "true", "Whether their presence is shown at all."),
            optional(
                "hard_state",
                Kind::File,
                Absent::Then("none: they are closed then"),
                "\"/etc/offhook/john.pidf.xml\"",
                "A presence document (PIDF) that the presence server inside shows while nothing is published of them.",
            ),
        ],
    },
    Section {
        name: "users",
        form: Form::Once,
        text: "Users from elsewhere, beside those that stand here.",
        settings: &[optional(
            "csv",
            Kind::File,
            Absent::Then("none"),
            "\"/etc/offhook/users.csv\"",
            "A table of users: UTF-8, the first line names the columns, one row each. The columns are `uri`, `aliases`, `name`, `numbers`, `publish`, `hard_state`, `password`, `password_file` and `password_env`, in any order; only `uri` is needed, and its scheme may be left out. Commas, semicolons or tabs separate cells; semicolons or bars separate the items of one. SIGHUP reads it anew.",
        )],
    },
    Section {
        name: "numbers",
        form: Form::Once,
        text: "How numbers are dialled here, so that a user is found by each form of their number. Without this section only numbers that are written alike are alike.",
        settings: &[
            optional(
                "country_code",
                Kind::Digits,
                Absent::Then("none: national numbers stay as they are"),
                "\"49\"",
                "The country code that national numbers get.",
            ),
            optional(
                "international_prefix",
                Kind::Digits,
                Absent::Value("\"00\""),
                "\"00\"",
                "What is dialled before a country code.",
            ),
            optional(
                "national_prefix",
                Kind::Digits,
                Absent::Value("\"0\""),
                "\"0\"",
                "What is dialled before an area code; empty where nothing is.",
            ),
            optional(
                "national_digits",
                Kind::Count(4, 14),
                Absent::Then("none: they are dialled with the prefix"),
                "10",
                "How many digits a national number has that is dialled without a prefix, as in North America.",
            ),
            optional(
                "extensions_of",
                Kind::Text,
                Absent::Then("none: an extension is a number of its own"),
                "\"+49 89 1234\"",
                "What stands before an extension to make it a whole number.",
            ),
            optional(
                "extension_digits",
                Kind::Count(1, 8),
                Absent::Value("4"),
                "4",
                "How many digits an extension has at most.",
            ),
        ],
    },
    Section {
        name: "calls",
        form: Form::Once,
        text: "How long calls live.",
        settings: &[
            optional(
                "session_expires",
                Kind::Duration,
                Absent::Value("\"600s\""),
                "\"600s\"",
                "A call that shows no life for so long is ended (RFC 4028); each side is asked at half that time.",
            ),
            optional(
                "min_session_expires",
                Kind::Duration,
                Absent::Value("\"90s\""),
                "\"90s\"",
                "The shortest that is accepted when the other side asks; less is answered with 422. No less than 90 s.",
            ),
            optional(
                "longest",
                Kind::Duration,
                Absent::Then("no bound"),
                "\"24h\"",
                "How long a call may last at most.",
            ),
        ],
    },
    Section {
        name: "authentication",
        form: Form::Once,
        text: "How phones and watchers prove who they are.",
        settings: &[optional(
            "digest",
            Kind::Choice(&["MD5", "SHA-256", "both"]),
            Absent::Value("\"MD5\""),
            "\"both\"",
            "The algorithms that a challenge offers (RFC 8760); \"both\" offers SHA-256 first. Many phones give up where they see anything but MD5.",
        )],
    },
    Section {
        name: "presence_server_here",
        form: Form::Once,
        text: "The presence server inside; it runs where this section stands, or where there is no [[presence_server]].",
        settings: &[
            optional(
                "domains",
                Kind::Texts,
                Absent::Then("the `domain` of the node"),
                "[\"sfb.example\"]",
                "The domains whose users' presence it keeps.",
            ),
            optional(
                "min_expires",
                Kind::Duration,
                Absent::Value("\"60s\""),
                "\"60s\"",
                "The shortest lifetime that it grants; less is answered with 423.",
            ),
            optional("max_expires", Kind::Duration, Absent::Value("\"1h\""), "\"1h\"", "The longest that it grants."),
            optional(
                "notify_interval",
                Kind::Duration,
                Absent::Value("\"0s\""),
                "\"500ms\"",
                "The shortest time between two NOTIFYs to one watcher; what changes in between is told together. A watcher may ask for fewer by `max-rate` (RFC 6446). There never is more than one on its way.",
            ),
            optional(
                "packages",
                Kind::Choices(&["presence", "presence.winfo", "dialog", "message-summary"]),
                Absent::Value("[\"presence\", \"presence.winfo\", \"dialog\", \"message-summary\"]"),
                "[\"presence\", \"dialog\"]",
                "What may be watched: who is on the phone, who watches that, the calls of a user (busy lamps: that there is one and how far it has come; with whom only by a [[watch_rule]] with `details`), and whether messages wait.",
            ),
        ],
    },
    Section {
        name: "list",
        form: Form::Many,
        text: "People who can be watched by one subscription at the presence server inside (RFC 4662). Whoever may watch the list's URI sees of each member what the rules for that member allow. A client may also bring a list of its own (RFC 5367). SIGHUP reads the lists anew.",
        settings: &[
            required("uri", Kind::Uri, "\"sip:team@sfb.example\"", "The URI to subscribe to."),
            required(
                "members",
                Kind::Users,
                "[\"sip:john.doe@sfb.example\"]",
                "Who is on it, at most 1,000; a list is no member of another.",
            ),
        ],
    },
    Section {
        name: "watch_rule",
        form: Form::Many,
        text: "Who may watch whom at the presence server inside. The first that fits is taken. Without one, whoever has authenticated watches everybody of the same domain, and a peer everybody of its domains. Everyone may watch themselves. SIGHUP reads the rules anew, for watchers that are there too.",
        settings: &[
            required("presentity", Kind::Who, "\"sip:john.doe@sfb.example\"", "Who is watched."),
            required(
                "watcher",
                Kind::Who,
                "\"*@sfb.example\"",
                "Who watches: the user that has authenticated, or that a peer names in From.",
            ),
            required(
                "action",
                Kind::Choice(&["allow", "block", "polite-block", "confirm"]),
                "\"allow\"",
                "\"block\" refuses with 403. \"polite-block\" shows what is shown of somebody who does not exist. With \"confirm\" the subscription is pending, and shows the same, until another rule decides.",
            ),
            optional(
                "details",
                Kind::Flag,
                Absent::Value("false"),
                "true",
                "Whether the package `dialog` shows with whom, so that a pickup group can take the call; otherwise only that there is one.",
            ),
        ],
    },
    Section {
        name: "store",
        form: Form::Once,
        text: "What outlives a restart. Without it a killed node leaves its publications to expire.",
        settings: &[
            required("path", Kind::Directory, "\"/var/lib/offhook\"", "Where it is kept."),
            optional(
                "sync",
                Kind::DurationOr("always"),
                Absent::Value("\"100ms\""),
                "\"100ms\"",
                "How much a power cut may lose: so long, or nothing with \"always\". A killed process loses nothing either way.",
            ),
        ],
    },
    Section {
        name: "dns",
        form: Form::Once,
        text: "Where names are looked up: NAPTR, SRV and addresses (RFC 3263).",
        settings: &[optional(
            "servers",
            Kind::Addresses,
            Absent::Then("the system's"),
            "[\"10.0.0.53\"]",
            "The name servers to ask; the port is 53 where it is left out.",
        )],
    },
    Section {
        name: "runtime",
        form: Form::Once,
        text: "How the machine is used.",
        settings: &[optional(
            "workers",
            Kind::Count(1, 1024),
            Absent::Then("one for each core; one on two cores"),
            "2",
            "Threads that carry SIP.",
        )],
    },
    Section {
        name: "log",
        form: Form::Once,
        text: "What is told about the node's doings, on standard error.",
        settings: &[
            optional(
                "level",
                Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
                Absent::Value("\"info\""),
                "\"info\"",
                "How much; the environment variable OFFHOOK_LOG overrides it.",
            ),
            optional(
                "format",
                Kind::Choice(&["text", "json"]),
                Absent::Value("\"text\""),
                "\"text\"",
                "For people or for programs.",
            ),
        ],
    },
];
