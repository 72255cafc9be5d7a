//! Administrative records from anybody: read or refused, and written in one form.
#![no_main]

use cairn_bundle::AdminRecord;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(record) = AdminRecord::decode(data) else { return };
    let bytes = record.encode();
    assert_eq!(AdminRecord::decode(&bytes), Ok(record));
});
