//! Administrative records and bundle status reports (RFC 9171 section 6.1), and how many of them.
//!
//! A report is asked for by the flags of a bundle that anybody can make, and goes to whom that
//! bundle names: a node that answered every request would be a weapon. [`StatusPolicy`] is
//! therefore off until somebody switches it on, and then counts.

use alloc::vec::Vec;

use crate::block::{Block, BlockFlags};
use crate::bundle::Bundle;
use crate::cbor::{CborError, Reader, Write};
use crate::eid::{Eid, EidError};
use crate::primary::{BundleFlags, CreationTimestamp};

mod policy;

pub use policy::{StatusLimits, StatusPolicy};

const TYPE_STATUS_REPORT: u64 = 1;

/// Most status items that are read; four are defined.
pub const STATUS_ITEMS_MAX: usize = 16;

impl BundleFlags {
    /// The application is asked to acknowledge.
    pub const ACK_REQUESTED: Self = Self(0x20);
    /// Status reports shall tell the time.
    pub const STATUS_TIME: Self = Self(0x40);
    /// Report when a node receives the bundle.
    pub const REPORT_RECEPTION: Self = Self(0x4000);
    /// Report when a node forwards the bundle.
    pub const REPORT_FORWARDING: Self = Self(0x1_0000);
    /// Report when the bundle is delivered.
    pub const REPORT_DELIVERY: Self = Self(0x2_0000);
    /// Report when a node deletes the bundle.
    pub const REPORT_DELETION: Self = Self(0x4_0000);
}

/// What happened to a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusEvent {
    /// A node received it.
    Received,
    /// A node forwarded it.
    Forwarded,
    /// A node delivered it.
    Delivered,
    /// A node deleted it.
    Deleted,
}

/// Why it happened: the registry of RFC 9171 section 9.5 and RFC 9172 section 11.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonCode {
    /// No additional information (0).
    NoInformation,
    /// Lifetime expired (1).
    LifetimeExpired,
    /// Forwarded over a link of one direction (2).
    UnidirectionalLink,
    /// Transmission canceled (3).
    TransmissionCanceled,
    /// Depleted storage (4).
    DepletedStorage,
    /// Destination endpoint id unavailable (5).
    DestinationUnavailable,
    /// No known route to the destination from here (6).
    NoRoute,
    /// No timely contact with the next node on the route (7).
    NoTimelyContact,
    /// Block unintelligible (8).
    BlockUnintelligible,
    /// Hop limit exceeded (9).
    HopLimitExceeded,
    /// Traffic pared (10).
    TrafficPared,
    /// Block unsupported (11).
    BlockUnsupported,
    /// A required security operation is missing (12).
    MissingSecurityOperation,
    /// A security operation cannot be understood (13).
    UnknownSecurityOperation,
    /// A security operation is there that should not be (14).
    UnexpectedSecurityOperation,
    /// A security operation failed (15).
    FailedSecurityOperation,
    /// Security operations contradict one another (16).
    ConflictingSecurityOperation,
    /// Any other code.
    Other(u64),
}

/// Whether something is said to have happened, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusItem {
    /// Whether it is asserted.
    pub asserted: bool,
    /// When, in milliseconds since 2000, if the bundle asked for times; 0 where the reporter had no clock.
    pub time_ms: Option<u64>,
}

/// What a node says about a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReport {
    /// It received the bundle.
    pub received: StatusItem,
    /// It forwarded the bundle.
    pub forwarded: StatusItem,
    /// It delivered the bundle.
    pub delivered: StatusItem,
    /// It deleted the bundle.
    pub deleted: StatusItem,
    /// Why.
    pub reason: ReasonCode,
    /// The source of the bundle.
    pub source: Eid,
    /// When that was made.
    pub created: CreationTimestamp,
    /// Offset and length of its payload, if it is a fragment.
    pub fragment: Option<(u64, u64)>,
}

/// The payload of a bundle with the flag [`BundleFlags::ADMIN_RECORD`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminRecord {
    /// Type 1.
    StatusReport(StatusReport),
}

/// Why some bytes are not an administrative record that this node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// Not well-formed, or not of the right shape.
    #[error("the administrative record is not well-formed: {0}")]
    Cbor(#[from] CborError),
    /// The source is not an endpoint id.
    #[error(transparent)]
    Eid(#[from] EidError),
    /// A type that this node does not know.
    #[error("administrative records of type {0} are not known")]
    Type(u64),
    /// A time for something that is said not to have happened.
    #[error("a status report tells the time of something that did not happen")]
    Time,
    /// More status items than [`STATUS_ITEMS_MAX`].
    #[error("a status report has more than {STATUS_ITEMS_MAX} status items")]
    TooManyItems,
}

impl AdminRecord {
    /// The record in its one deterministic form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_array(2);
        match self {
            Self::StatusReport(report) => {
                out.put_uint(TYPE_STATUS_REPORT);
                report.write(&mut out);
            }
        }
        out
    }

    /// Reads a record that fills the bytes.
    ///
    /// # Errors
    /// If the bytes are anything else, or a record of a type that this node does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, AdminError> {
        let mut reader = Reader::new(bytes);
        let mut elements = reader.array()?;
        elements.next(&mut reader)?;
        let code = reader.uint()?;
        elements.next(&mut reader)?;
        if code != TYPE_STATUS_REPORT {
            return Err(AdminError::Type(code));
        }
        let report = StatusReport::read(&mut reader)?;
        elements.finish(&mut reader)?;
        reader.end()?;
        Ok(Self::StatusReport(report))
    }
}

impl StatusReport {
    /// A report on a bundle; the item's time is told if the bundle asks for times.
    #[must_use]
    pub fn new(bundle: &Bundle, event: StatusEvent, reason: ReasonCode, wall_ms: Option<u64>) -> Self {
        let primary = bundle.primary();
        let timed = primary.flags.contains(BundleFlags::STATUS_TIME);
        // Time 0 says that the clock is not known (RFC 9171 section 4.2.6).
        let time_ms = timed.then(|| wall_ms.unwrap_or_default());
        let item = |of: StatusEvent| {
            let asserted = of == event;
            StatusItem { asserted, time_ms: time_ms.filter(|_| asserted) }
        };
        Self {
            received: item(StatusEvent::Received),
            forwarded: item(StatusEvent::Forwarded),
            delivered: item(StatusEvent::Delivered),
            deleted: item(StatusEvent::Deleted),
            reason,
            source: primary.source.clone(),
            created: primary.created,
            fragment: bundle.id().fragment,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_array(if self.fragment.is_some() { 6 } else { 4 });
        out.put_array(4);
        for item in [self.received, self.forwarded, self.delivered, self.deleted] {
            item.write(out);
        }
        out.put_uint(self.reason.code());
        self.source.write(out);
        out.put_array(2);
        out.put_uint(self.created.time_ms);
        out.put_uint(self.created.seq);
        if let Some((offset, bytes)) = self.fragment {
            out.put_uint(offset);
            out.put_uint(bytes);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, AdminError> {
        let mut elements = reader.array()?;
        elements.next(reader)?;
        let [received, forwarded, delivered, deleted] = read_items(reader)?;
        elements.next(reader)?;
        let reason = ReasonCode::from_code(reader.uint()?);
        elements.next(reader)?;
        let source = Eid::read(reader)?;
        elements.next(reader)?;
        let created = CreationTimestamp::read(reader)?;
        let mut fragment = None;
        if elements.more(reader) {
            let offset = reader.uint()?;
            elements.next(reader)?;
            fragment = Some((offset, reader.uint()?));
            elements.finish(reader)?;
        }
        Ok(Self { received, forwarded, delivered, deleted, reason, source, created, fragment })
    }
}

/// Four items, and any that later specifications add, which are checked and left out.
fn read_items(reader: &mut Reader<'_>) -> Result<[StatusItem; 4], AdminError> {
    let mut elements = reader.array()?;
    let mut items = [StatusItem::default(); 4];
    for item in &mut items {
        elements.next(reader)?;
        *item = StatusItem::read(reader)?;
    }
    for _ in items.len()..STATUS_ITEMS_MAX {
        if !elements.more(reader) {
            return Ok(items);
        }
        StatusItem::read(reader)?;
    }
    if elements.more(reader) { Err(AdminError::TooManyItems) } else { Ok(items) }
}

impl StatusItem {
    fn write(self, out: &mut Vec<u8>) {
        let time_ms = self.time_ms.filter(|_| self.asserted);
        out.put_array(if time_ms.is_some() { 2 } else { 1 });
        out.put_bool(self.asserted);
        if let Some(time_ms) = time_ms {
            out.put_uint(time_ms);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, AdminError> {
        let mut elements = reader.array()?;
        elements.next(reader)?;
        let asserted = reader.boolean()?;
        if !elements.more(reader) {
            return Ok(Self { asserted, time_ms: None });
        }
        let time_ms = Some(reader.uint()?);
        elements.finish(reader)?;
        if asserted { Ok(Self { asserted, time_ms }) } else { Err(AdminError::Time) }
    }
}

impl ReasonCode {
    const KNOWN: [Self; 17] = [
        Self::NoInformation,
        Self::LifetimeExpired,
        Self::UnidirectionalLink,
        Self::TransmissionCanceled,
        Self::DepletedStorage,
        Self::DestinationUnavailable,
        Self::NoRoute,
        Self::NoTimelyContact,
        Self::BlockUnintelligible,
        Self::HopLimitExceeded,
        Self::TrafficPared,
        Self::BlockUnsupported,
        Self::MissingSecurityOperation,
        Self::UnknownSecurityOperation,
        Self::UnexpectedSecurityOperation,
        Self::FailedSecurityOperation,
        Self::ConflictingSecurityOperation,
    ];

    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: u64) -> Self {
        let index = usize::try_from(code).unwrap_or(usize::MAX);
        Self::KNOWN.get(index).copied().unwrap_or(Self::Other(code))
    }

    /// The code of this reason.
    #[must_use]
    pub fn code(self) -> u64 {
        match self {
            Self::Other(code) => code,
            known => {
                let place = Self::KNOWN.iter().position(|other| *other == known);
                place.and_then(|place| u64::try_from(place).ok()).expect("every other reason is in the list")
            }
        }
    }

    /// Whether it tells about security operations.
    #[must_use]
    pub fn is_security(self) -> bool {
        (12..=16).contains(&self.code())
    }
}

impl StatusEvent {
    /// The flag by which a bundle asks for a report on this.
    #[must_use]
    pub const fn flag(self) -> BundleFlags {
        match self {
            Self::Received => BundleFlags::REPORT_RECEPTION,
            Self::Forwarded => BundleFlags::REPORT_FORWARDING,
            Self::Delivered => BundleFlags::REPORT_DELIVERY,
            Self::Deleted => BundleFlags::REPORT_DELETION,
        }
    }
}

/// The payload of the report that a bundle asks for on an event, if it does.
///
/// Never for administrative records, or the answers would be answered; never for anonymous
/// bundles, which have no name; and not if nobody wants to hear about it. `wall_ms` is the
/// wall clock in milliseconds since 2000, if there is one.
#[must_use]
pub fn status_report_for(
    bundle: &Bundle,
    event: StatusEvent,
    reason: ReasonCode,
    wall_ms: Option<u64>,
) -> Option<Vec<u8>> {
    let asked = bundle.primary().flags.contains(event.flag());
    (asked && may_report(bundle))
        .then(|| AdminRecord::StatusReport(StatusReport::new(bundle, event, reason, wall_ms)).encode())
}

/// The payload of the report that a block asks for because it cannot be processed, if it does
/// (RFC 9171 section 5.6 step 3): that the bundle was received, and the reason.
#[must_use]
pub fn status_report_for_block(bundle: &Bundle, block: &Block, wall_ms: Option<u64>) -> Option<Vec<u8>> {
    let (event, reason) = (StatusEvent::Received, ReasonCode::BlockUnsupported);
    (block.flags.contains(BlockFlags::REPORT) && may_report(bundle))
        .then(|| AdminRecord::StatusReport(StatusReport::new(bundle, event, reason, wall_ms)).encode())
}

fn may_report(bundle: &Bundle) -> bool {
    let primary = bundle.primary();
    let answer = primary.flags.contains(BundleFlags::ADMIN_RECORD);
    !answer && !primary.source.is_none() && !primary.report_to.is_none()
}
