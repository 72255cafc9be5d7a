//! The primary block (RFC 9171 section 4.3.1): who, to whom, when, how long.

use alloc::vec::Vec;

use crate::bundle::DecodeError;
use crate::cbor::{CborError, Reader, Write, head_len};
use crate::crc::CrcType;
use crate::eid::Eid;
use crate::view::PrimaryView;

pub(crate) const VERSION: u64 = 7;

/// The bundle processing control flags (RFC 9171 section 4.2.3). Unknown bits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BundleFlags(pub u64);

/// When a bundle was made: milliseconds since 2000-01-01 UTC, and a number within them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CreationTimestamp {
    /// Milliseconds since 2000-01-01 00:00:00 UTC; 0 where the source had no clock.
    pub time_ms: u64,
    /// Tells bundles of one source and one time apart.
    pub seq: u64,
}

/// Which part of the original payload a fragment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fragment {
    /// Where the part begins.
    pub offset: u64,
    /// Length of the whole.
    pub total_bytes: u64,
}

/// The primary block. It does not change between source and destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// What may and must be done with the bundle.
    pub flags: BundleFlags,
    /// The checksum of this block.
    pub crc: CrcType,
    /// Where the bundle goes.
    pub destination: Eid,
    /// Where it comes from.
    pub source: Eid,
    /// Who wants to hear about it.
    pub report_to: Eid,
    /// When it was made.
    pub created: CreationTimestamp,
    /// How long it is of use, in milliseconds after it was made.
    pub lifetime_ms: u64,
    /// Set exactly when [`BundleFlags::FRAGMENT`] is.
    pub fragment: Option<Fragment>,
}

impl BundleFlags {
    /// The bundle is a fragment.
    pub const FRAGMENT: Self = Self(0x01);
    /// The payload is an administrative record.
    pub const ADMIN_RECORD: Self = Self(0x02);
    /// The bundle must not be fragmented.
    pub const NO_FRAGMENT: Self = Self(0x04);
    /// Any of the four requests for status reports.
    pub const STATUS_REPORTS: Self = Self(0x7_4000);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Primary {
    /// The block in its one deterministic form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let fragment = if self.fragment.is_some() { 2 } else { 0 };
        out.put_array(8 + fragment + self.crc.elements());
        out.put_uint(VERSION);
        out.put_uint(self.flags.0);
        out.put_uint(self.crc.code());
        self.destination.write(out);
        self.source.write(out);
        self.report_to.write(out);
        out.put_array(2);
        out.put_uint(self.created.time_ms);
        out.put_uint(self.created.seq);
        out.put_uint(self.lifetime_ms);
        if let Some(fragment) = self.fragment {
            out.put_uint(fragment.offset);
            out.put_uint(fragment.total_bytes);
        }
        self.crc.write(out, start);
    }

    /// How many bytes [`Primary::write`] writes.
    pub(crate) fn encoded_len(&self) -> usize {
        let eids = [&self.destination, &self.source, &self.report_to];
        let eids: usize = eids.iter().map(|eid| eid.encoded_len()).sum();
        let created = 1 + head_len(self.created.time_ms) + head_len(self.created.seq);
        let fragment = self.fragment.map_or(0, |part| head_len(part.offset) + head_len(part.total_bytes));
        // The heads of the array, the version and the checksum type have one byte each.
        let numbers = 3 + head_len(self.flags.0) + created + head_len(self.lifetime_ms) + fragment;
        numbers + eids + self.crc.encoded_len()
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        PrimaryView::read(reader).map(|view| view.to_primary())
    }

    /// The block as the rules look at it; it lies in no input, so its place is empty.
    pub(crate) fn view(&self) -> PrimaryView<'_> {
        PrimaryView {
            flags: self.flags,
            crc: self.crc,
            destination: self.destination.view(),
            source: self.source.view(),
            report_to: self.report_to.view(),
            created: self.created,
            lifetime_ms: self.lifetime_ms,
            fragment: self.fragment,
            span: 0..0,
            loose: false,
        }
    }
}

impl CreationTimestamp {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        let mut elements = reader.array()?;
        elements.next(reader)?;
        let time_ms = reader.uint()?;
        elements.next(reader)?;
        let seq = reader.uint()?;
        elements.finish(reader)?;
        Ok(Self { time_ms, seq })
    }
}
