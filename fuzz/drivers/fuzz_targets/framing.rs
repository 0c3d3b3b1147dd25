//! The driver of the fuzz target `framing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::run("framing", input));
