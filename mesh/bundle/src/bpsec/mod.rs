//! Bundle security: RFC 9172, and the default security contexts of RFC 9173.
//!
//! A *source* adds operations ([`source`]), everybody on the way may verify signatures, and the
//! *acceptor* checks and removes what was added ([`accept::process`]). What an operation does to
//! bytes is the matter of a [security context](context::SecurityContext); which of them a node has
//! is an argument, as is the randomness.
//!
//! It works on [`RawBundle`](crate::RawBundle), because security is what makes some bundles whole: what
//! comes out of it becomes a [`Bundle`](crate::Bundle) before it is delivered or forwarded.
//!
//! ```
//! use cairn_bundle::bpsec::accept::{Place, process};
//! use cairn_bundle::bpsec::default::aes_gcm::{AesVariant, TagPlace};
//! use cairn_bundle::bpsec::default::{DefaultContexts, Scope, SourceKey};
//! use cairn_bundle::bpsec::key::{KeyRing, Purpose, SymmetricKey};
//! use cairn_bundle::bpsec::policy::{SecurityPolicy, Who};
//! use cairn_bundle::bpsec::source::{Encryption, Header, add_confidentiality};
//! use cairn_bundle::{Bundle, Class, CreationTimestamp, Draft, Eid, Identity, Limits, RawBundle, plain};
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
//! # let draft = Draft {
//! #     destination: Eid::ipn(0, 5, 7),
//! #     source_service: "chat",
//! #     creation: CreationTimestamp { time_ms: 812_345_678_901, seq: 1 },
//! #     age_ms: None,
//! #     lifetime_ms: 1000,
//! #     hop_limit: 9,
//! #     class: Class::Normal,
//! #     admin_record: false,
//! #     may_fragment: false,
//! #     payload: b"Bridge is out, take the ridge.",
//! # };
//! # let bundle = plain(&draft, &Identity::from_seed(&[1; 32]))?;
//! let source = bundle.source().clone();
//! let key = SymmetricKey::new(&[7; 32])?;
//! let mut raw = RawBundle::from(bundle);
//! let how = Encryption {
//!     source: &source,
//!     header: Header::default(),
//!     variant: AesVariant::Aes256,
//!     scope: Scope::ALL,
//!     key: SourceKey::Shared(&key),
//!     tag: TagPlace::Result,
//! };
//! add_confidentiality(&mut raw, &[1], &how, &mut rng)?;
//! let bytes = Bundle::try_from(raw)?.encode();
//!
//! let arrived = Bundle::decode(&bytes, &Limits::default())?;
//! let mut keys = KeyRing::new();
//! keys.insert(source, Purpose::Confidentiality, key);
//! let policy = SecurityPolicy { sealed: vec![Who::Anybody], ..SecurityPolicy::default() };
//! let contexts = DefaultContexts::new(&keys);
//! let processed = process(arrived.into(), Place::Destination, &policy, &[&contexts])?;
//! let opened = Bundle::try_from(processed.bundle)?;
//! assert_eq!(opened.payload(), draft.payload);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it does not do
//! - It distributes no keys and counts no uses of one; see RFC 9173 section 4.6 for the limits of AES-GCM.
//! - It remembers no bundle: a replay passes as often as it comes.
//! - It neither secures fragments nor opens them.

pub mod accept;
pub mod asb;
pub mod context;
pub mod cose;
pub mod default;
pub mod key;
pub mod policy;
pub mod rules;
pub mod source;
