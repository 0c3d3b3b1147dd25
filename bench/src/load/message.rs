//! As much of SIP as a load generator reads and writes: header fields by name, and answers that echo them.

use std::fmt::Write as _;

/// The header fields that an answer repeats, with their compact forms.
const ECHOED: [(&str, &str); 6] =
    [("via", "v"), ("from", "f"), ("to", "t"), ("call-id", "i"), ("cseq", ""), ("record-route", "")];

/// The status of an answer; `None` for a request.
pub(crate) fn status(text: &str) -> Option<u16> {
    text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

/// The first header field of this name, or of its compact form.
pub(crate) fn header<'a>(text: &'a str, name: &str, compact: &str) -> Option<&'a str> {
    lines(text).find_map(|line| value(line, name, compact))
}

/// The value of a parameter `;name=` of a header field.
pub(crate) fn param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = value.split_once(name)?;
    rest.split([';', '>', ' ']).next()
}

/// What stands between angle brackets.
pub(crate) fn bracketed(value: &str) -> Option<&str> {
    Some(value.split_once('<')?.1.split_once('>')?.0)
}

/// The body.
pub(crate) fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// The number that follows the run's name and this mark in a Call-ID of ours.
pub(crate) fn number(text: &str, run: &str, mark: char) -> Option<usize> {
    let id = header(text, "call-id", "i")?;
    id.strip_prefix(run)?.strip_prefix(mark)?.split('@').next()?.parse().ok()
}

/// The Record-Route of an answer as the Route lines of the requests that follow (RFC 3261 section 12.1.2).
pub(crate) fn routes(text: &str) -> String {
    let recorded = lines(text).filter_map(|line| value(line, "record-route", ""));
    let mut values: Vec<&str> = recorded.flat_map(|value| value.split(',').map(str::trim)).collect();
    values.reverse();
    values.into_iter().fold(String::new(), |mut all, value| {
        let _ = write!(all, "Route: {value}\r\n");
        all
    })
}

/// Writes an answer: what it repeats of the request, a tag in To where there is none, then `rest` from a header field on.
pub(crate) fn answer(into: &mut String, request: &str, status: &str, tag: &str, rest: &str) {
    into.clear();
    let _ = write!(into, "SIP/2.0 {status}\r\n");
    for line in lines(request) {
        let Some((name, compact)) = ECHOED.into_iter().find(|(name, compact)| value(line, name, compact).is_some())
        else {
            continue;
        };
        into.push_str(line);
        if name == "to" && compact == "t" && !line.contains(";tag=") {
            let _ = write!(into, ";tag={tag}");
        }
        into.push_str("\r\n");
    }
    into.push_str(rest);
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split("\r\n").skip(1).take_while(|line| !line.is_empty())
}

fn value<'a>(line: &'a str, name: &str, compact: &str) -> Option<&'a str> {
    let (found, value) = line.split_once(':')?;
    let found = found.trim_ascii_end();
    let fits = found.eq_ignore_ascii_case(name) || (!compact.is_empty() && found.eq_ignore_ascii_case(compact));
    fits.then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "SIP/2.0 200 OK\r\nv: SIP/2.0/UDP a;branch=b\r\nt: <sip:a@b>;tag=x;y\r\ni: runp17@pub\r\n\
                          Record-Route: <sip:one;lr>, <sip:two;lr>\r\nRecord-Route: <sip:three;lr>\r\n\r\nbody: no";

    #[test]
    fn header_fields_are_found_by_either_name() {
        assert_eq!(header(ANSWER, "call-id", "i"), Some("runp17@pub"));
        assert_eq!(header(ANSWER, "body", ""), None);
        assert_eq!(header(ANSWER, "to", "t").and_then(|to| param(to, ";tag=")), Some("x"));
        assert_eq!((status(ANSWER), number(ANSWER, "run", 'p')), (Some(200), Some(17)));
    }

    #[test]
    fn a_route_set_is_reversed() {
        assert_eq!(routes(ANSWER), "Route: <sip:three;lr>\r\nRoute: <sip:two;lr>\r\nRoute: <sip:one;lr>\r\n");
    }

    #[test]
    fn an_answer_gets_a_tag_once() {
        let mut answered = String::new();
        answer(&mut answered, "BYE sip:a SIP/2.0\r\nTo: <sip:a>\r\nSubject: s\r\n\r\n", "200 OK", "t", "\r\n");
        assert_eq!(answered, "SIP/2.0 200 OK\r\nTo: <sip:a>;tag=t\r\n\r\n");
        answer(&mut answered, ANSWER, "200 OK", "t", "\r\n");
        assert!(!answered.contains(";tag=t"));
    }
}
