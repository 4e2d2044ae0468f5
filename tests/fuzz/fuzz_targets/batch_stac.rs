//! Fuzzes the entry function for `batch_stac` in tests/src/hostile.rs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| unclouded_tests::hostile::batch_stac(bytes));
