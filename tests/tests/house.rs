//! The rules of the house: what a reader may rely on in every file, and which crate may know which.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tests::repository;

/// Who may depend on whom: dependencies run down the picture only. Development dependencies are not in it.
/// `call`, `media` and `presence` never see each other; they meet in `node/src/on_the_phone.rs`.
const PICTURE: [(&str, &[&str]); 13] = [
    ("wire", &[]),
    ("sip", &["wire"]),
    ("call", &["wire", "sip"]),
    ("media", &["wire", "sip"]),
    ("presence", &["wire", "sip"]),
    ("node", &["wire", "sip", "call", "media", "presence"]),
    ("runtime", &["wire", "sip", "node"]),
    ("adapters", &["wire", "sip", "node"]),
    ("ua", &["wire", "sip"]),
    ("offhook", &["wire", "sip", "call", "media", "presence", "node", "runtime", "adapters", "ua"]),
    ("sim", &["wire", "sip", "call", "media", "presence", "node", "ua"]),
    ("bench", &["wire", "sip", "call", "media", "presence", "node", "runtime", "adapters", "ua"]),
    ("fuzz", &["wire", "sip", "call", "media", "presence", "node", "ua", "offhook"]),
];

/// The crates that know neither clock nor socket, thread or lock, and what from outside they may use.
/// Everything here computes; nothing here touches the world.
const PURE: [&str; 7] = ["wire", "sip", "call", "media", "presence", "node", "ua"];
const COMPUTES: [&str; 11] = [
    "memchr",
    "roxmltree",
    "hashbrown",
    "siphasher",
    "rand_chacha",
    "rand_core",
    "md-5",
    "sha2",
    "regex",
    "serde",
    "postcard",
];

/// The most lines of a file.
const FILE: usize = 900;

/// Words that say nothing about what a thing is.
const EMPTY_WORDS: [&str; 6] = ["manager", "helper", "util", "utils", "common", "misc"];

#[test]
fn dependencies_run_down_the_picture_only() {
    let mut faults = String::new();
    for (crate_name, manifest) in manifests() {
        let Some((_, allowed)) = PICTURE.iter().find(|(name, _)| *name == crate_name) else {
            if !["tests", "xtask"].contains(&crate_name.as_str()) {
                let _ = writeln!(
                    faults,
                    "{crate_name} is not in the picture: give it a line in PICTURE and a place in ARCHITECTURE.md"
                );
            }
            continue;
        };
        for dependency in dependencies(&manifest) {
            let ours = PICTURE.iter().any(|(name, _)| *name == dependency);
            if ours && !allowed.contains(&dependency.as_str()) {
                let _ = writeln!(
                    faults,
                    "{crate_name} depends on {dependency}: turn it round, or let `node` carry what one tells the other"
                );
            }
            if !ours && PURE.contains(&crate_name.as_str()) && !COMPUTES.contains(&dependency.as_str()) {
                let _ = writeln!(
                    faults,
                    "{crate_name} is pure and depends on {dependency}: move what needs it to `runtime` or `adapters` \
                     behind a port; if it only computes, add it to COMPUTES"
                );
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn a_crate_that_may_touch_the_world_says_so_in_a_file() {
    for name in PURE {
        let own = repository().join("crates").join(name).join("clippy.toml");
        assert!(
            !own.exists(),
            "{}: a pure crate keeps to the clippy.toml of the root; remove this one, or move what needs it outside",
            own.display()
        );
    }
}

#[test]
fn every_rust_file_opens_with_one_sentence() {
    let mut faults = String::new();
    for (name, text) in files("rs") {
        let opening: Vec<&str> = text
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .take_while(|line| !line.trim().is_empty())
            .collect();
        let first = opening.concat();
        let sentence = first.trim();
        if sentence.len() < 20 || !sentence.contains(|character: char| ".:;".contains(character)) {
            let _ =
                writeln!(faults, "{name}: let its first line be `//! ` and a sentence that says what the file is for");
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn no_file_ate_the_product() {
    let mut faults = String::new();
    for (name, text) in files("rs") {
        let lines = text.lines().count();
        if lines > FILE {
            let _ = writeln!(faults, "{name} has {lines} lines, more than {FILE}: split it by what its parts are for");
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn names_say_what_things_are() {
    let mut faults = String::new();
    for (name, _) in files("rs") {
        let path = Path::new(&name);
        let parts = path.iter().map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned());
        for part in parts {
            if part.split('_').any(|word| EMPTY_WORDS.contains(&word)) {
                let _ = writeln!(faults, "{name}: `{part}` says nothing; name it after the noun of the field it holds");
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn the_repository_stands_alone() {
    // Put together here, so that this file does not hold what it forbids.
    let outside = [concat!("/", "work/"), concat!("../", "shared"), concat!("/", "tmp/target"), concat!("is", "sue 2")];
    let mut faults = String::new();
    for kind in ["rs", "md", "toml", "yml", "sh", "py", "xml", "cfg", "txt", "dat"] {
        for (name, text) in files(kind) {
            for (number, line) in text.lines().enumerate() {
                if let Some(word) = outside.iter().find(|word| line.contains(**word)) {
                    let _ = writeln!(
                        faults,
                        "{name}:{}: `{word}` points outside the repository: copy what is needed to tests/material, with \
                         its origin, or say it in words",
                        number + 1
                    );
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn the_bounds_that_the_documents_name_are_there() {
    let text = fs::read_to_string(repository().join("docs/security.md")).expect("docs/security.md");
    let mut faults = String::new();
    let mut count = 0;
    for row in text.lines().filter(|line| line.starts_with('|')) {
        let mut limits = None;
        for word in row.split('`').skip(1).step_by(2) {
            let name = match word.rsplit_once("::") {
                Some((path, name)) => {
                    let path = path.replacen("::", "/src/", 1).replace("::", "/");
                    limits = Some(format!("crates/{path}.rs"));
                    name
                }
                None => word,
            };
            let Some(file) = &limits else { continue };
            let constants = fs::read_to_string(repository().join(file)).unwrap_or_default();
            count += 1;
            if !constants.contains(&format!("pub const {name}:")) {
                let _ = writeln!(faults, "docs/security.md names {name}, which is not in {file}");
            }
        }
    }
    assert!(faults.is_empty() && count > 30, "\n{faults}{count} bounds named");
}

#[test]
fn material_from_elsewhere_names_its_origin() {
    let material = repository().join("tests/material");
    for entry in fs::read_dir(&material).expect("tests/material") {
        let folder = entry.expect("an entry").path();
        assert!(
            folder.is_dir() && folder.join("README.md").is_file(),
            "{}: give it a folder with a README.md that names origin and licence",
            folder.display()
        );
    }
}

/// Every file of a kind in the repository: its name from the root, and its text.
fn files(kind: &str) -> Vec<(String, String)> {
    let root = repository();
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.retain(|path| path.extension().is_some_and(|extension| extension == kind));
    let name =
        |path: &Path| path.strip_prefix(&root).expect("it lies in the repository").to_string_lossy().into_owned();
    found
        .iter()
        .map(|path| (name(path), String::from_utf8_lossy(&fs::read(path).expect("it can be read")).into_owned()))
        .collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            let built = name == "target" || name == ".git" || path.ends_with("bench/out");
            if !built {
                walk(&path, found);
            }
        } else {
            found.push(path);
        }
    }
    found.sort();
}

/// The crates of the workspace: name and manifest.
fn manifests() -> Vec<(String, toml::Table)> {
    let root = repository();
    let crates = fs::read_dir(root.join("crates")).expect("crates").map(|entry| entry.expect("an entry").path());
    let others = ["tests", "bench", "fuzz", "xtask"].map(|name| root.join(name));
    let manifests = crates.chain(others).map(|folder| folder.join("Cargo.toml")).filter(|path| path.is_file());
    manifests
        .map(|path| {
            let text = fs::read_to_string(&path).expect("it can be read");
            let manifest: toml::Table = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = manifest["package"]["name"].as_str().expect("a name").to_owned();
            (name, manifest)
        })
        .collect()
}

/// What a crate depends on when it is built, on any platform.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let platforms = manifest.get("target").and_then(toml::Value::as_table);
    let tables = std::iter::once(manifest)
        .chain(platforms.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table));
    tables
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|name| table.get(name)))
        .flatten()
        .filter_map(toml::Value::as_table)
        .flat_map(|table| table.keys().cloned())
        .collect()
}
