//! Folders: the repository's own, and one for each test that goes when the test has passed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// The lines of each log that are printed when a test fails: what a reader of hosted CI has.
const LAST_LINES: usize = 60;

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository").to_owned()
}

/// A file of `tests/material`.
#[must_use]
pub fn material(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("material").join(name);
    assert!(path.exists(), "tests/material/{name} is missing");
    path
}

/// A folder of one test; it is kept where the test fails, so that its logs can be read.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A new folder; its name says which test it is of.
    #[must_use]
    pub fn new(test: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("offhook-{test}-{}-{count}", process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A place in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

impl Drop for Folder {
    // The tests' own output is all that is left of a machine that is gone.
    fn drop(&mut self) {
        if thread::panicking() {
            for (name, text) in logs(&self.path) {
                eprintln!("--- the end of {name} ---\n{text}");
            }
            eprintln!("what the peers wrote is kept in {}", self.path.display());
        } else {
            // A folder that stays behind harms nobody.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The last lines of each log in the folder, by name.
fn logs(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(logs(&path));
        } else if path.extension().is_some_and(|extension| extension == "log") {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            let end = lines.len().saturating_sub(LAST_LINES);
            found.push((path.display().to_string(), lines[end..].join("\n")));
        }
    }
    found.sort();
    found
}
