//! Bundles whose payload does not fit into memory, read and written piece by piece.
//!
//! A [`BundleReader`] is fed bytes as they come and gives out the payload as slices of them; before
//! the first of those, primary block and all other blocks were read and checked, because the payload is
//! the last block. A [`BundleWriter`] says what to write around the payload. Both hold the header
//! and a few numbers, and both can be put away in the middle of a transfer and go on after a restart.
//!
//! ```
//! # use cairn_bundle::{BlockFlags, BundleFlags, CreationTimestamp, CrcType, Eid, Primary};
//! use cairn_bundle::{BundleReader, BundleWriter, Event, PayloadForm, StreamLimits};
//! # let primary = Primary {
//! #     flags: BundleFlags(0), crc: CrcType::Crc32, destination: Eid::ipn(0, 3, 1), source: Eid::ipn(0, 2, 1),
//! #     report_to: Eid::None, created: CreationTimestamp { time_ms: 1, seq: 0 }, lifetime_ms: 1, fragment: None,
//! # };
//! let form = PayloadForm { flags: BlockFlags(0), crc: CrcType::Crc32, bytes: 11 };
//! let (mut writer, mut wire) = BundleWriter::new(&primary, &[], form)?;
//! for piece in [&b"hello "[..], b"world"] {
//!     writer.payload(piece)?;
//!     wire.extend(piece);
//! }
//! wire.extend(writer.finish()?);
//!
//! let mut reader = BundleReader::new(StreamLimits::default());
//! let mut payload: Vec<u8> = Vec::new();
//! for mut piece in wire.chunks(5) {
//!     loop {
//!         let fed = reader.feed(piece)?;
//!         piece = &piece[fed.consumed..];
//!         match fed.event {
//!             Event::Header => assert_eq!(reader.header().unwrap().primary(), &primary),
//!             Event::Payload(bytes) => payload.extend(bytes),
//!             Event::NeedMore | Event::End => break, // at the end, the rest of `piece` is not ours
//!         }
//!     }
//! }
//! reader.finish()?; // only now the payload is known to be undamaged
//! assert_eq!(payload, b"hello world");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checkpoint;
mod header;
mod reader;
mod scan;
mod writer;

pub use checkpoint::CheckpointError;
pub use header::Header;
pub use reader::{BundleReader, Event, Fed, StreamError, StreamLimits};
pub use writer::{BundleWriter, PayloadForm, WriteError};
