//! The driver of the fuzz target `records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::run("records", input));
