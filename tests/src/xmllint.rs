//! What xmllint says about a document: whether the schemas of the RFCs accept it, and its canonical form.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::material;

/// What the schemas of RFC 3863, 4479, 4480 and 4482 find wrong with a document; nothing where it is valid.
#[must_use]
pub fn schema_faults(document: &str) -> Option<String> {
    let schema = material("pidf/xsd/all.xsd");
    let schema = schema.to_str().expect("a path in UTF-8");
    xmllint(&["--noout", "--nonet", "--schema", schema, "-"], document).err()
}

/// The canonical form (XML-C14N) of a document, without the white space between its elements.
#[must_use]
pub fn canonical(document: &str) -> String {
    let plain = xmllint(&["--nonet", "--noblanks", "-"], document).unwrap_or_else(|why| panic!("{why}\n{document}"));
    xmllint(&["--nonet", "--c14n", "-"], &plain).unwrap_or_else(|why| panic!("{why}\n{document}"))
}

fn xmllint(arguments: &[&str], document: &str) -> Result<String, String> {
    let mut child = Command::new("xmllint")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("xmllint (Debian: libxml2-utils)");
    let mut input = child.stdin.take().expect("its input is ours");
    input.write_all(document.as_bytes()).expect("a document is small");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).expect("UTF-8"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
