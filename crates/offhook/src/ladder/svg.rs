//! The ladder as a picture (SVG), light or dark as its surroundings are.

use std::fmt::Write;

use super::{Kind, Ladder, Message, clipped, harmless, seconds};

/// Where the first participant's line stands, and how far the next ones are: in pixels, like everything here.
const FIRST: usize = 140;
const SHARE: usize = 190;
const HEADER: usize = 62;
const LINE: usize = 18;
const ARROW: usize = 34;
/// The width of a character of the labels' font.
const CHARACTER: usize = 7;

const STYLE: &str = "\
    text { font: 12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #24292f }
    .name { font-weight: 600; font-size: 13px; text-anchor: middle }
    .label { text-anchor: middle }
    .time { text-anchor: end; fill: #6e7781 }
    .detail { fill: #57606a; font-size: 11px }
    .paper { fill: #ffffff }
    .head { fill: #f6f8fa; stroke: #d0d7de }
    .lane { stroke: #d0d7de; stroke-dasharray: 3 4 }
    .call { stroke: #1a7f37; fill: #1a7f37 }
    .presence { stroke: #8250df; fill: #8250df }
    .registration { stroke: #0969da; fill: #0969da }
    .failure { stroke: #cf222e; fill: #cf222e }
    text.call, text.presence, text.registration, text.failure { stroke: none }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .time, .detail { fill: #8b949e }
      .paper { fill: #0d1117 }
      .head { fill: #161b22; stroke: #30363d }
      .lane { stroke: #30363d }
      .call { stroke: #3fb950; fill: #3fb950 }
      .presence { stroke: #a371f7; fill: #a371f7 }
      .registration { stroke: #58a6ff; fill: #58a6ff }
      .failure { stroke: #f85149; fill: #f85149 }
    }
";

/// The picture of a ladder.
#[must_use]
pub fn svg(ladder: &Ladder) -> String {
    let width = FIRST + SHARE * ladder.participants.len().saturating_sub(1) + FIRST;
    let height = HEADER + ladder.messages.iter().map(rise).sum::<usize>() + LINE;
    // Writing to a text cannot fail, here and below.
    let mut out = String::new();
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\">\n  <style>\n{STYLE}  </style>\n  <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n",
    );
    for (place, name) in ladder.participants.iter().enumerate() {
        let x = column(ladder, place);
        let name = escaped(&clipped(&harmless(name), (SHARE - 24) / CHARACTER));
        let (left, box_width, lane_end) = (x - (SHARE - 16) / 2, SHARE - 16, height - LINE / 2);
        let _ = writeln!(out, "  <line class=\"lane\" x1=\"{x}\" y1=\"44\" x2=\"{x}\" y2=\"{lane_end}\"/>");
        let _ = writeln!(
            out,
            "  <rect class=\"head\" x=\"{left}\" y=\"14\" width=\"{box_width}\" height=\"30\" rx=\"6\"/>"
        );
        let _ = writeln!(out, "  <text class=\"name\" x=\"{x}\" y=\"33\">{name}</text>");
    }
    let mut y = HEADER;
    for message in &ladder.messages {
        draw(&mut out, ladder, message, y);
        y += rise(message);
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, ladder: &Ladder, message: &Message, y: usize) {
    let (from, to) = (column(ladder, message.from), column(ladder, message.to));
    let (left, right) = (from.min(to), from.max(to));
    let class = class(message.kind);
    let (label_y, arrow_y) = (y + 12, y + 20);
    let room = if left == right { SHARE } else { right - left } - 16;
    let line = escaped(&clipped(&harmless(&message.line), room / CHARACTER));
    let middle = if left == right { left + SHARE / 2 } else { left + (right - left) / 2 };
    let time = seconds(message.at);
    let _ = writeln!(out, "  <text class=\"time\" x=\"44\" y=\"{}\">{time}</text>", arrow_y + 4);
    let _ = writeln!(out, "  <text class=\"label {class}\" x=\"{middle}\" y=\"{label_y}\">{line}</text>");
    if left == right {
        let _ = writeln!(out, "  <circle class=\"{class}\" cx=\"{left}\" cy=\"{arrow_y}\" r=\"4\"/>");
    } else {
        // The head is 8 long; the shaft ends inside it.
        let (shaft, back) = if to > from { (to - 6, to - 8) } else { (to + 6, to + 8) };
        let (above, below) = (arrow_y - 4, arrow_y + 4);
        let _ =
            writeln!(out, "  <line class=\"{class}\" x1=\"{from}\" y1=\"{arrow_y}\" x2=\"{shaft}\" y2=\"{arrow_y}\"/>");
        let _ = writeln!(out, "  <path class=\"{class}\" d=\"M{to} {arrow_y}L{back} {above}V{below}Z\"/>");
    }
    for (place, detail) in message.details.iter().enumerate() {
        let detail = escaped(&clipped(&harmless(detail), room / CHARACTER));
        let (x, y) = (left + 10, y + ARROW + 2 + place * LINE);
        let _ = writeln!(out, "  <text class=\"detail\" x=\"{x}\" y=\"{y}\">{detail}</text>");
    }
}

fn rise(message: &Message) -> usize {
    ARROW + message.details.len() * LINE
}

fn column(ladder: &Ladder, place: usize) -> usize {
    FIRST + SHARE * place.min(ladder.participants.len().saturating_sub(1))
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Call => "call",
        Kind::Presence => "presence",
        Kind::Registration => "registration",
        Kind::Failure => "failure",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ladder(line: &str) -> Ladder {
        let message = |from, to, kind, details: &[&str]| Message {
            at: Duration::from_millis(12),
            from,
            to,
            kind,
            line: line.to_owned(),
            details: details.iter().map(ToString::to_string).collect(),
        };
        Ladder {
            participants: vec!["john.doe".into(), "offhook".into()],
            messages: vec![
                message(0, 1, Kind::Call, &[]),
                message(1, 0, Kind::Failure, &["a <detail>"]),
                message(1, 1, Kind::Presence, &[]),
            ],
        }
    }

    #[test]
    fn every_message_has_its_arrow_label_and_time() {
        let picture = svg(&ladder("INVITE"));
        assert_eq!(picture.matches(">INVITE</text>").count(), 3);
        assert_eq!(picture.matches(">0.012</text>").count(), 3);
        assert!(picture.contains("<path class=\"call\" d=\"M330 82L322 78V86Z\"/>"), "{picture}");
        assert!(picture.contains("<path class=\"failure\" d=\"M140 116L148 112V120Z\"/>"), "{picture}");
        assert_eq!(picture.matches("<circle").count(), 1);
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    }

    #[test]
    fn what_a_peer_wrote_is_no_markup() {
        let picture = svg(&ladder("</text><script>\"&\u{1b}"));
        assert!(!picture.contains("<script>"));
        assert!(picture.contains("&lt;/text&gt;&lt;script&gt;&quot;&amp;·"), "{picture}");
        assert!(picture.contains("a &lt;detail&gt;"));
    }

    #[test]
    fn an_empty_ladder_or_a_participant_that_is_not_there_is_no_panic() {
        assert!(svg(&Ladder::default()).contains("</svg>"));
        let mut ladder = ladder("BYE");
        ladder.messages.iter_mut().for_each(|message| message.to = 9);
        assert!(svg(&ladder).contains("BYE"));
    }
}
