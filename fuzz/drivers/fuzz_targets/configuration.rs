//! The driver of the fuzz target `configuration`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::run("configuration", input));
