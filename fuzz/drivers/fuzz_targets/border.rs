//! The driver of the fuzz target `border`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::run("border", input));
