//! The driver of the fuzz target `package`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::run("package", input));
