//! What a presence document shows, read by other means than the product's own.

use roxmltree::Document;

/// What somebody who watches makes of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether an element of any namespace says on-the-phone.
    pub on_the_phone: bool,
    /// The value of each `basic`, in the order of the document.
    pub basic: Vec<String>,
}

impl Seen {
    /// Reads a document; an empty one shows nothing.
    #[must_use]
    pub fn read(body: &str) -> Self {
        if body.trim().is_empty() {
            return Self { on_the_phone: false, basic: Vec::new() };
        }
        let document = Document::parse(body).unwrap_or_else(|error| panic!("no XML ({error}):\n{body}"));
        let named = |name: &'static str| document.descendants().filter(move |node| node.tag_name().name() == name);
        let texts = |name| named(name).map(|node| node.text().unwrap_or_default().trim().to_owned());
        Self {
            on_the_phone: named("on-the-phone").next().is_some()
                || texts("activity").any(|text| text == "on-the-phone"),
            basic: texts("basic").collect(),
        }
    }

    /// Somebody is there, and on the phone.
    #[must_use]
    pub fn is_on_the_phone(&self) -> bool {
        self.on_the_phone && self.basic.iter().all(|basic| basic == "open")
    }

    /// Nobody talks. Kamailio leaves the activity of what was removed in a document that says `closed`: to a watcher
    /// that is clear.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        !self.on_the_phone || self.basic.iter().any(|basic| basic == "closed")
    }
}
