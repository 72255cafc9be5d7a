//! What several tests of this crate need.
#![allow(dead_code, reason = "each test file uses its own part of this module")]
#![allow(clippy::allow_attributes, reason = "an expectation would fail in the files that use all of it")]

pub(crate) mod pieces;

use core::convert::Infallible;

use cairn_bundle::{
    Block, BlockFlags, BlockKind, BundleFlags, Class, CrcType, CreationTimestamp, Draft, Eid, Identity,
    Primary,
};
use rand_core::{TryCryptoRng, TryRng};

/// Random numbers that are the same in every run.
pub(crate) struct Seeded(pub(crate) u64);

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            // SplitMix64: good enough to tell keys apart, and nothing here is secret.
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = (z ^ (z >> 31)).to_be_bytes()[0];
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

pub(crate) fn sender() -> Identity {
    Identity::from_seed(&[1; 32])
}

pub(crate) fn recipient() -> Identity {
    Identity::from_seed(&[2; 32])
}

/// A draft from the sender's service `chat` to the recipient's service `inbox`.
pub(crate) fn draft(payload: &[u8]) -> Draft<'_> {
    Draft {
        destination: Eid::node(&recipient().node_id(), "inbox").expect("a valid service"),
        source_service: "chat",
        creation: CreationTimestamp { time_ms: 812_345_678_901, seq: 7 },
        lifetime_ms: 86_400_000,
        hop_limit: 16,
        class: Class::Normal,
        age_ms: Some(1200),
        may_fragment: false,
        admin_record: false,
        payload,
    }
}

pub(crate) fn primary(source: Eid, destination: Eid) -> Primary {
    Primary {
        flags: BundleFlags(0),
        crc: CrcType::Crc32,
        destination,
        source,
        report_to: Eid::None,
        created: CreationTimestamp { time_ms: 812_345_678_901, seq: 0 },
        lifetime_ms: 3_600_000,
        fragment: None,
    }
}

pub(crate) fn block(kind: BlockKind, number: u64, data: &[u8]) -> Block {
    Block { kind, number, flags: BlockFlags(0), crc: CrcType::Crc16, data: data.to_vec() }
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| {
            let pair = core::str::from_utf8(pair).expect("hexadecimal digits");
            u8::from_str_radix(pair, 16).expect("hexadecimal digits")
        })
        .collect()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
