//! The driver of the fuzz target `document`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::run("document", input));
