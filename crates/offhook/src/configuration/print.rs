//! The reference and the example file, printed from the options.

use std::fmt::Write as _;

use super::option::{Absent, Form, SECTIONS, Section, Setting};

/// Every option, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# The configuration file\n\n\
         TOML. Printed by `offhook config reference`; `offhook config example` prints a file to begin with, and\n\
         `offhook check FILE` says what is wrong with one. Durations are numbers with `ms`, `s`, `m` or `h`.\n",
    );
    for section in SECTIONS {
        let title = match section.form {
            Form::Top => "Before the first section".to_owned(),
            Form::Many => format!("`{}`, any number of times", section.header()),
            Form::Named => format!("`{}`, for each name", section.header()),
            Form::Once => format!("`{}`, at most once", section.header()),
        };
        // Writing to a text cannot fail, here and below.
        let _ = write!(
            out,
            "\n## {title}\n\n{}\n\n| option | value | if left out | meaning |\n|---|---|---|---|\n",
            section.text
        );
        for setting in section.settings {
            let absent = match setting.default {
                Absent::Required => "must not be".to_owned(),
                Absent::Value(value) => format!("`{value}`"),
                Absent::Then(words) => words.to_owned(),
            };
            let kind = setting.kind.to_string();
            let _ = writeln!(out, "| `{}` | {kind} | {absent} | {} |", setting.name, setting.text);
        }
    }
    out
}

/// A file with every option: what a first file needs is in force, the rest stands in comments with its default.
#[must_use]
pub fn example() -> String {
    let mut out = String::from(
        "# offhook.toml: what is in force below is a whole file already. Take the # away from what you need.\n\
         # Without a [[presence_server]], the presence server inside keeps the presence.\n",
    );
    for section in SECTIONS {
        let live = matches!(section.name, "" | "listen" | "user");
        let _ = writeln!(out, "\n# {}", section.text);
        let mark = |live| if live { "" } else { "# " };
        if section.form != Form::Top {
            let header = section.header().replace("NAME", "lan");
            let _ = writeln!(out, "{}{header}", mark(live));
        }
        let lines: Vec<String> = section
            .settings
            .iter()
            .map(|setting| {
                format!("{}{} = {}", mark(live && in_force(section, setting)), setting.name, setting.example)
            })
            .collect();
        let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
        for (line, setting) in lines.iter().zip(section.settings) {
            let absent = match setting.default {
                Absent::Required => String::new(),
                Absent::Value(value) if value == setting.example => String::new(),
                Absent::Value(value) => format!(" (else {value})"),
                Absent::Then(words) => format!(" (else {words})"),
            };
            let _ = writeln!(out, "{line:width$}  # {}{absent}", setting.text.trim_end_matches('.'));
        }
    }
    out
}

/// Whether the example's file has it in force: what a section needs, and what needs nothing else.
fn in_force(section: &Section, setting: &Setting) -> bool {
    setting.live || (section.name == "user" && matches!(setting.name, "name" | "numbers"))
}
