//! Identities, cards and BPv7 bundles, signed and sealed.
//!
//! A [`Bundle`] is what travels: RFC 9171, read from bytes that nobody vouches for and written in
//! one deterministic form. [`seal()`] makes one that only its recipient can read and that everybody
//! can check; [`open()`] gives its contents together with the node that signed them. A [`Card`] is
//! how two nodes learn each other's keys.
//!
//! ```
//! use cairn_bundle::{Bundle, CreationTimestamp, Draft, Eid, Identity, Limits, Prekeys, SealedTo, open, seal};
//! use cairn_bundle::{Card, Class, SenderClock};
//! # use core::convert::Infallible;
//! # struct Dice(u8);
//! # impl rand_core::TryRng for Dice {
//! #     type Error = Infallible;
//! #     fn try_next_u32(&mut self) -> Result<u32, Infallible> { Ok(4) }
//! #     fn try_next_u64(&mut self) -> Result<u64, Infallible> { Ok(4) }
//! #     fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> { Ok(out.fill(self.0)) }
//! # }
//! # impl rand_core::TryCryptoRng for Dice {}
//! # let mut rng = Dice(4);
//! let [alice, bob] = [1, 2].map(|seed| Identity::from_seed(&[seed; 32]));
//! let draft = Draft {
//!     destination: Eid::node(&bob.node_id(), "inbox")?,
//!     source_service: "chat",
//!     creation: CreationTimestamp { time_ms: 0, seq: 1 }, // no clock, so the age counts
//!     age_ms: Some(0),
//!     lifetime_ms: 7 * 86_400_000,
//!     hop_limit: 16,
//!     class: Class::Normal,
//!     may_fragment: false,
//!     admin_record: false,
//!     payload: b"Bridge is out, take the ridge.",
//! };
//! // Bob makes a prekey every day, and his card announces it.
//! let (mut prekeys, today) = (Prekeys::default(), Some(216_000_000));
//! prekeys.rotate(today, &bob, &mut rng);
//! let card = Card {
//!     node: bob.node_id(),
//!     name: "Bob".into(),
//!     sealing_key: bob.sealing_key(),
//!     prekeys: prekeys.announcement(today).into_iter().collect(),
//!     addresses: Vec::new(),
//!     services: Vec::new(),
//!     counter: 1,
//! };
//! let to = card.sealing_target(&SenderClock { wall_s: today, heard_s: None });
//! assert_eq!(to.kind, SealedTo::Prekey); // or the long-term key, and to.fallback says why
//! let bundle = seal(&draft, &alice, &to.key, &mut rng)?;
//!
//! // Whoever carries it brings hop count and age up to date, and can read nothing.
//! let carrier = Eid::node(&Identity::from_seed(&[3; 32]).node_id(), "")?;
//! let bytes = bundle.forwarded_by(&carrier, 3_600_000)?.encode();
//!
//! let arrived = Bundle::decode(&bytes, &Limits::default())?;
//! assert_eq!(arrived.content_id(), bundle.content_id());
//! let opened = open(&arrived, &bob, &prekeys)?;
//! assert_eq!(opened.source, alice.node_id());
//! assert_eq!(opened.payload, draft.payload);
//! // Two weeks after Bob's last use of the key nobody can open it any more.
//! (0..15).for_each(|_day| prekeys.rotate(None, &bob, &mut rng));
//! assert!(open(&arrived, &bob, &prekeys).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it does not do
//! - It remembers nothing: a bundle opens as often as it is presented. Whoever delivers it keeps
//!   [`Opened::id`] and refuses the second one.
//! - It signs no fragment and opens none (RFC 9172 section 5.2): they are put together first. The
//!   bundles that [`seal()`] makes forbid to be cut unless [`Draft::may_fragment`] is set.
//! - It sends no status report: it writes and reads them and counts how many may leave.
//! - It counts neither the uses of a key nor failed attempts with one, and distributes no shared keys: what
//!   [`bpsec`] needs comes in as an argument.
//! - It keeps no prekeys: whoever does writes [`Prekeys::encode`] where it can be overwritten, and calls
//!   [`Prekeys::rotate`] when it is due. What is sealed to a long-term key has no forward secrecy.
//! - It opens no file or socket, reads no clock and draws no randomness of its own.
//!
//! No input makes it panic, and it allocates no more than a few times the size of its input. What the pieces of a
//! bundle repeat has a limit of its own, [`REPEATED_BYTES_MAX`].
#![no_std]

extern crate alloc;

mod aead;
mod agreement;
pub mod block;
pub mod bpsec;
pub mod bundle;
pub mod card;
mod cbor;
pub mod class;
#[cfg(test)]
mod constant;
mod cose;
pub mod crc;
pub mod digest;
pub mod eid;
mod eid_view;
mod envelope;
pub mod fragment;
pub mod identity;
pub mod notice;
mod padding;
pub mod prekey;
pub mod primary;
pub mod raw;
pub mod reassembly;
mod rules;
pub mod seal;
mod security;
pub mod status;
pub mod stream;
pub mod view;

pub use block::{Block, BlockFlags, BlockKind, HopCount};
pub use bundle::{BLOCKS_MAX, Bundle, BundleId, DecodeError, HopLimitExceeded, Limits};
pub use card::{Card, CardError, Fallback, Prekey, SealingTarget, SenderClock, SignedCard};
pub use cbor::CborError;
pub use class::Class;
pub use crc::CrcType;
pub use digest::{Digest, DigestError};
pub use eid::{DtnEid, EID_BYTES_MAX, Eid, EidError, IpnEid};
pub use eid_view::EidView;
pub use fragment::{FRAGMENTS_MAX, FragmentError, REPEATED_BYTES_MAX};
pub use identity::{BadSignature, Identity, NodeId, NodeIdError, SealingKey, Signature, verify};
pub use notice::{DeliveryNotice, NoticeError};
pub use prekey::{PrekeyTimes, Prekeys, PrekeysError, SealedTo};
pub use primary::{BundleFlags, CreationTimestamp, Fragment, Primary};
pub use raw::RawBundle;
pub use reassembly::{
    Conflict, Inserted, Now, Origin, Progress, Reassembly, ReassemblyError, ReassemblyLimits, Whole, WholeId,
};
pub use seal::{
    Draft, OpenError, Opened, PAYLOAD_BYTES_MAX, SealError, SignedContent, Verified, open, plain,
    read_signed, seal, seal_unpadded, sign, verify_source,
};
pub use status::{
    AdminError, AdminRecord, ReasonCode, StatusEvent, StatusItem, StatusLimits, StatusPolicy, StatusReport,
    status_report_for, status_report_for_block,
};
pub use stream::{
    BundleReader, BundleWriter, CheckpointError, Event, Fed, Header, PayloadForm, StreamError, StreamLimits,
    WriteError,
};
pub use view::{BlockView, BundleView, PrimaryView};
