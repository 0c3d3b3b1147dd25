//! The driver of the fuzz target `message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::run("message", input));
