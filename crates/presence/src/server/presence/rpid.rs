//! The vocabulary of RFC 4480: what may stand in each element, so that what we pass on is valid whatever came in.

use roxmltree::Node;

use crate::server::limits;
use crate::server::xml::{Fragment, Prefixes, RPID, is_date_time, is_uri, text_of};

/// The activities of RFC 4480, in its order; their positions are their bits in a set of activities.
pub(super) const ACTIVITIES: [&str; 24] = [
    "appointment",
    "away",
    "breakfast",
    "busy",
    "dinner",
    "holiday",
    "in-transit",
    "looking-for-work",
    "meal",
    "meeting",
    "on-the-phone",
    "performance",
    "permanent-absence",
    "playing",
    "presentation",
    "shopping",
    "sleeping",
    "spectator",
    "steering",
    "travel",
    "tv",
    "vacation",
    "working",
    "worship",
];

const MOODS: &str = "afraid amazed angry annoyed anxious ashamed bored brave calm cold confused contented cranky curious \
    depressed disappointed disgusted distracted embarrassed excited flirtatious frustrated grumpy guilty happy hot \
    humbled humiliated hungry hurt impressed in_awe in_love indignant interested invincible jealous lonely mean moody \
    nervous neutral offended playful proud relieved remorseful restless sad sarcastic serious shocked shy sick sleepy \
    stressed surprised thirsty worried";

/// What an element of RFC 4480 holds.
#[derive(Clone, Copy)]
enum Content {
    /// A token.
    Token,
    /// A URI.
    Uri,
    /// An integer.
    Integer,
    /// `active` or `idle`.
    ActiveIdle,
    /// Notes, then any number of these empty elements, `other`, or elements of other namespaces; `unknown` stands alone.
    Several(&'static str),
    /// Notes, then one of these empty elements or elements of other namespaces.
    One(&'static str),
    /// Notes, then at most one of each of these empty elements, in this order; `unknown` stands alone.
    Ordered(&'static [&'static str]),
    /// Notes, then `audio`, `video` and `text`, each with one of its words.
    Places,
}

/// Whether the schema of RFC 4480 declares an element of this name. `activities` is not among them: these are united.
pub(crate) fn is_known(name: &str) -> bool {
    name == "activities" || content(name).is_some()
}

/// Writes an element of RFC 4480 in the schema's order, without what the schema does not know; nothing, where nothing
/// valid would be left. `around` is the default namespace of the place.
pub(crate) fn write(out: &mut Fragment, node: Node<'_, '_>, around: &str) {
    let name = node.tag_name().name();
    let Some(content) = content(name) else { return };
    let mut inner = Fragment::default();
    let text = text_of(node);
    let text = text.trim();
    let complete = match content {
        Content::Token => {
            inner.text(&text.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
            true
        }
        Content::Uri => {
            inner.text(text);
            is_uri(text)
        }
        Content::Integer => {
            inner.text(text);
            is_integer(text)
        }
        Content::ActiveIdle => {
            inner.text(text);
            matches!(text, "active" | "idle")
        }
        Content::Several(words) => notes(&mut inner, node) && several(&mut inner, node, words, around),
        Content::One(words) => (name == "sphere" || notes(&mut inner, node)) && one(&mut inner, node, words, around),
        Content::Ordered(words) => notes(&mut inner, node) && ordered(&mut inner, node, words),
        Content::Places => notes(&mut inner, node) && places(&mut inner, node),
    };
    if !complete {
        return;
    }
    out.prefixes |= Prefixes::RPID;
    out.raw("<rpid:");
    out.raw(name);
    attributes(out, node, name);
    out.raw(">");
    out.append(&inner);
    out.raw("</rpid:");
    out.raw(name);
    out.raw(">");
}

fn content(name: &str) -> Option<Content> {
    Some(match name {
        "class" => Content::Token,
        "mood" => Content::Several(MOODS),
        "place-is" => Content::Places,
        "place-type" => Content::One("other"),
        "privacy" => Content::Ordered(&["audio", "text", "video"]),
        "relationship" => Content::One("assistant associate family friend other self supervisor unknown"),
        "service-class" => Content::One("courier electronic freight in-person postal unknown"),
        "sphere" => Content::One("home work unknown"),
        "status-icon" => Content::Uri,
        "time-offset" => Content::Integer,
        "user-input" => Content::ActiveIdle,
        _ => return None,
    })
}

/// The element children in RFC 4480's namespace with this name.
fn named<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |c| c.has_tag_name((RPID, name)))
}

fn has(words: &str, word: &str) -> bool {
    words.split_ascii_whitespace().any(|w| w == word)
}

fn notes(out: &mut Fragment, node: Node<'_, '_>) -> bool {
    for note in named(node, "note") {
        out.note("rpid:note", note);
    }
    true
}

fn several(out: &mut Fragment, node: Node<'_, '_>, words: &str, around: &str) -> bool {
    let before = out.octets.len();
    for child in node.children().filter(Node::is_element) {
        word(out, child, words, true, around);
    }
    if out.octets.len() == before && named(node, "unknown").next().is_some() {
        out.raw("<rpid:unknown/>");
    }
    out.octets.len() > before
}

fn one(out: &mut Fragment, node: Node<'_, '_>, words: &str, around: &str) -> bool {
    let before = out.octets.len();
    for child in node.children().filter(Node::is_element) {
        word(out, child, words, has(words, "other"), around);
        if out.octets.len() > before {
            return true;
        }
    }
    false
}

/// Writes a child that is one of the words, `other`, or of another namespace than RFC 4480's.
fn word(out: &mut Fragment, child: Node<'_, '_>, words: &str, other: bool, around: &str) {
    let name = child.tag_name().name();
    match child.tag_name().namespace() {
        Some(RPID) if name == "other" && other => out.note("rpid:other", child),
        Some(RPID) if has(words, name) => {
            out.raw("<rpid:");
            out.raw(name);
            out.raw("/>");
        }
        None | Some("" | RPID) => {}
        Some(_) => out.copy_within(child, around, limits::DEPTH),
    }
}

fn ordered(out: &mut Fragment, node: Node<'_, '_>, words: &[&'static str]) -> bool {
    let before = out.octets.len();
    for word in words {
        if named(node, word).next().is_some() {
            out.raw("<rpid:");
            out.raw(word);
            out.raw("/>");
        }
    }
    if out.octets.len() == before && named(node, "unknown").next().is_some() {
        out.raw("<rpid:unknown/>");
    }
    true
}

fn places(out: &mut Fragment, node: Node<'_, '_>) -> bool {
    const WORDS: [(&str, &str); 3] = [
        ("audio", "noisy ok quiet unknown"),
        ("video", "toobright ok dark unknown"),
        ("text", "uncomfortable inappropriate ok unknown"),
    ];
    for (medium, words) in WORDS {
        let says = named(node, medium)
            .flat_map(|m| m.children())
            .find(|c| c.is_element() && c.tag_name().namespace() == Some(RPID) && has(words, c.tag_name().name()));
        if let Some(says) = says {
            out.raw("<rpid:");
            out.raw(medium);
            out.raw("><rpid:");
            out.raw(says.tag_name().name());
            out.raw("/></rpid:");
            out.raw(medium);
            out.raw(">");
        }
    }
    true
}

/// Copies the attributes that the schema types; `id` is left out, as nothing may refer to it in a composed document.
fn attributes(out: &mut Fragment, node: Node<'_, '_>, name: &str) {
    let timed = !matches!(name, "class" | "relationship" | "service-class" | "user-input");
    for attribute in node.attributes().filter(|a| a.namespace().is_none()) {
        let value = attribute.value().trim();
        let keep = match attribute.name() {
            "from" | "until" => timed && is_date_time(value),
            "description" => name == "time-offset",
            "last-input" => name == "user-input" && is_date_time(value),
            "idle-threshold" => {
                name == "user-input"
                    && is_integer(value)
                    && value.bytes().any(|o| (b'1'..=b'9').contains(&o))
                    && !value.starts_with('-')
            }
            _ => false,
        };
        if keep {
            out.attribute(attribute.name(), value);
        }
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    (1..=12).contains(&digits.len()) && digits.bytes().all(|o| o.is_ascii_digit())
}
