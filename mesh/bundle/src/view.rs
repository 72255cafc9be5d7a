//! A bundle that stays in the bytes it came in: checked once, read without a copy.

use alloc::vec::Vec;
use core::ops::Range;

use crate::block::{Block, BlockFlags, BlockKind, HopCount};
use crate::bundle::{Bundle, BundleId, DecodeError, Limits};
use crate::cbor::{Elements, Reader};
use crate::class::Class;
use crate::crc::CrcType;
use crate::digest::Digest;
use crate::eid_view::EidView;
use crate::primary::{BundleFlags, CreationTimestamp, Fragment, Primary, VERSION};
use crate::rules::{Facts, Rules};

/// A bundle in borrowed bytes that keeps all the rules that can be checked without keys.
///
/// The verdict is that of [`Bundle::decode`], which is made of this. Nothing is allocated, except
/// to join an endpoint id whose text came in pieces.
///
/// ```
/// use cairn_bundle::{
///     Block, BlockFlags, BlockKind, Bundle, BundleFlags, BundleView, CreationTimestamp, CrcType, Eid,
///     Limits, Primary,
/// };
/// let primary = Primary {
///     flags: BundleFlags(0),
///     crc: CrcType::Crc32,
///     destination: "dtn://relief/inbox".parse()?,
///     source: "ipn:2.1".parse()?,
///     report_to: Eid::None,
///     created: CreationTimestamp { time_ms: 812_345_678_901, seq: 1 },
///     lifetime_ms: 3_600_000,
///     fragment: None,
/// };
/// let (flags, crc, data) = (BlockFlags(0), CrcType::Crc32, b"Bridge is out.".to_vec());
/// let payload = Block { kind: BlockKind::Payload, number: 1, flags, crc, data };
/// let bytes = Bundle::new(primary, vec![payload])?.encode();
///
/// let view = BundleView::parse(&bytes, &Limits::default())?;
/// assert_eq!(view.payload(), b"Bridge is out.");
/// assert_eq!(view.primary().destination, "dtn://relief/inbox".parse::<Eid>()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct BundleView<'a> {
    bytes: &'a [u8],
    primary: PrimaryView<'a>,
    facts: Facts<'a>,
}

/// The primary block of a [`BundleView`].
#[derive(Debug, Clone)]
pub struct PrimaryView<'a> {
    /// What may and must be done with the bundle.
    pub flags: BundleFlags,
    /// The checksum of this block.
    pub crc: CrcType,
    /// Where the bundle goes.
    pub destination: EidView<'a>,
    /// Where it claims to come from.
    pub source: EidView<'a>,
    /// Who wants to hear about it.
    pub report_to: EidView<'a>,
    /// When it was made.
    pub created: CreationTimestamp,
    /// How long it is of use, in milliseconds after it was made.
    pub lifetime_ms: u64,
    /// Set exactly when [`BundleFlags::FRAGMENT`] is.
    pub fragment: Option<Fragment>,
    /// Where the block lies in the bytes of the bundle.
    pub span: Range<usize>,
    /// Whether it has parts of indefinite length, so that it would be written in another form.
    pub(crate) loose: bool,
}

/// A canonical block of a [`BundleView`].
#[derive(Debug, Clone)]
pub struct BlockView<'a> {
    /// What the block is for.
    pub kind: BlockKind,
    /// Its number, unique in the bundle; the payload's is 1.
    pub number: u64,
    /// What to do with it on the way.
    pub flags: BlockFlags,
    /// Its checksum.
    pub crc: CrcType,
    /// The block-type-specific data.
    pub data: &'a [u8],
    /// Where the block lies in the bytes of the bundle.
    pub span: Range<usize>,
    /// Where its data lies in the bytes of the bundle.
    pub data_span: Range<usize>,
    /// Whether it is an array of indefinite length, so that it would be written in another form.
    pub(crate) loose: bool,
}

impl<'a> BundleView<'a> {
    /// Reads a bundle that fills the bytes and checks all that can be checked without keys.
    ///
    /// One pass over the bytes, and then work that is bounded by [`BLOCKS_MAX`](crate::BLOCKS_MAX).
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        if bytes.len() > limits.bundle_bytes_max {
            let (bytes, bytes_max) = (bytes.len(), limits.bundle_bytes_max);
            return Err(DecodeError::TooLarge { bytes, bytes_max });
        }
        let mut reader = Reader::new(bytes);
        let mut elements = reader.array_indefinite()?;
        elements.next(&mut reader)?;
        let primary = PrimaryView::read(&mut reader)?;
        let blocks = Blocks { reader: reader.clone() };
        let mut rules = Rules::new(limits.blocks_max);
        while elements.more(&mut reader) {
            rules.add(&BlockView::read(&mut reader, true)?)?;
        }
        reader.end()?;
        let facts = rules.finish(&primary, &blocks)?;
        Ok(Self { bytes, primary, facts })
    }

    /// The bytes that were read.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The primary block.
    #[must_use]
    pub const fn primary(&self) -> &PrimaryView<'a> {
        &self.primary
    }

    /// All other blocks; the last one is the payload. As in [`Bundle::blocks`], those are missing
    /// that asked to be removed by who does not know them.
    pub fn blocks(&self) -> impl Iterator<Item = BlockView<'a>> + Clone + use<'a> {
        let discarded = self.facts.discarded;
        let kept = move |(index, _): &(usize, BlockView<'a>)| discarded >> index & 1 == 0;
        self.all_blocks().enumerate().filter(kept).map(|(_, block)| block)
    }

    /// All blocks in the bytes but the primary one, also those that [`BundleView::blocks`] leaves out.
    pub fn all_blocks(&self) -> impl Iterator<Item = BlockView<'a>> + Clone + use<'a> {
        Blocks { reader: Reader::starting_at(self.bytes, self.primary.span.end) }
    }

    /// What the bundle carries: as it travels, so encrypted if the bundle is sealed.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.facts.payload
    }

    /// The node that forwarded it last, as it claims.
    #[must_use]
    pub const fn previous_node(&self) -> Option<&EidView<'a>> {
        self.facts.previous_node.as_ref()
    }

    /// Its age when it arrived here, if it has a readable age block.
    #[must_use]
    pub const fn age_ms(&self) -> Option<u64> {
        self.facts.age_ms
    }

    /// Its hops, if it has a readable hop count block.
    #[must_use]
    pub const fn hop_count(&self) -> Option<HopCount> {
        self.facts.hops
    }

    /// The same as [`Bundle::class`].
    #[must_use]
    pub const fn class(&self) -> Class {
        self.facts.class
    }

    /// Whether its payload is encrypted.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.facts.sealed
    }

    /// The name of this bundle, or of this fragment.
    #[must_use]
    pub fn id(&self) -> BundleId {
        let CreationTimestamp { time_ms, seq } = self.primary.created;
        let bytes = u64::try_from(self.payload().len()).unwrap_or(u64::MAX);
        let fragment = self.primary.fragment.map(|fragment| (fragment.offset, bytes));
        BundleId { source: self.primary.source.to_eid(), time_ms, seq, fragment }
    }

    /// The same as [`Bundle::content_id`].
    #[must_use]
    pub fn content_id(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        if self.primary.loose {
            hasher.update(&self.primary.to_primary().encode());
        } else {
            hasher.update(self.bytes.get(self.primary.span.clone()).unwrap_or_default());
        }
        let covered = self.blocks().filter(|block| !block.kind.changes_on_the_way());
        let mut last = 0;
        // The next number is looked for each time: blocks are few, and this keeps no list of them.
        while let Some(block) =
            covered.clone().filter(|block| block.number > last).min_by_key(|block| block.number)
        {
            last = block.number;
            if block.loose {
                block.to_block().hash(&mut hasher);
            } else {
                hasher.update(self.bytes.get(block.span).unwrap_or_default());
            }
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// Whether [`Bundle::encode`] would write the very bytes that were read: nothing has an
    /// indefinite length that need not, and no block is left out.
    #[must_use]
    pub fn is_deterministic(&self) -> bool {
        !self.primary.loose && self.facts.discarded == 0 && !self.all_blocks().any(|block| block.loose)
    }

    /// The bundle as a value of its own.
    #[must_use]
    pub fn to_bundle(&self) -> Bundle {
        let mut blocks = Vec::with_capacity(self.facts.blocks);
        blocks.extend(self.blocks().map(|block| block.to_block()));
        Bundle::from_checked(self.primary.to_primary(), blocks, &self.facts)
    }
}

impl<'a> PrimaryView<'a> {
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = reader.position();
        // The array around the blocks is indefinite by law.
        reader.take_loose();
        let mut elements = reader.array()?;
        elements.next(reader)?;
        let version = reader.uint()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        elements.next(reader)?;
        let flags = BundleFlags(reader.uint()?);
        elements.next(reader)?;
        let code = reader.uint()?;
        let crc = CrcType::from_code(code).ok_or(DecodeError::CrcType { block: 0, code })?;
        elements.next(reader)?;
        let destination = EidView::read(reader)?;
        elements.next(reader)?;
        let source = EidView::read(reader)?;
        elements.next(reader)?;
        let report_to = EidView::read(reader)?;
        elements.next(reader)?;
        let created = CreationTimestamp::read(reader)?;
        elements.next(reader)?;
        let lifetime_ms = reader.uint()?;
        let mut fragment = None;
        if flags.contains(BundleFlags::FRAGMENT) {
            fragment = Some(Fragment::read(reader, &mut elements)?);
        }
        crc.read(reader, elements, start, 0)?;
        let (span, loose) = (start..reader.position(), reader.take_loose());
        Ok(Self { flags, crc, destination, source, report_to, created, lifetime_ms, fragment, span, loose })
    }

    /// Whether anything about the bundle may be reported (sections 4.2.3 and 4.2.4): not where nobody
    /// is named, and not where a report on a report could follow.
    pub(crate) const fn may_cause_reports(&self) -> bool {
        !self.source.is_none() && !self.flags.contains(BundleFlags::ADMIN_RECORD)
    }

    /// The block as a value of its own.
    #[must_use]
    pub fn to_primary(&self) -> Primary {
        Primary {
            flags: self.flags,
            crc: self.crc,
            destination: self.destination.to_eid(),
            source: self.source.to_eid(),
            report_to: self.report_to.to_eid(),
            created: self.created,
            lifetime_ms: self.lifetime_ms,
            fragment: self.fragment,
        }
    }
}

impl Fragment {
    fn read(reader: &mut Reader<'_>, elements: &mut Elements) -> Result<Self, DecodeError> {
        elements.next(reader)?;
        let offset = reader.uint()?;
        elements.next(reader)?;
        let total_bytes = reader.uint()?;
        Ok(Self { offset, total_bytes })
    }
}

impl<'a> BlockView<'a> {
    /// Reads a block; `verify` is off where its checksum was verified before.
    pub(crate) fn read(reader: &mut Reader<'a>, verify: bool) -> Result<Self, DecodeError> {
        let start = reader.position();
        let mut elements = reader.array()?;
        elements.next(reader)?;
        let kind = BlockKind::from_code(reader.uint()?);
        elements.next(reader)?;
        let number = reader.uint()?;
        elements.next(reader)?;
        let flags = BlockFlags(reader.uint()?);
        elements.next(reader)?;
        let code = reader.uint()?;
        let crc = CrcType::from_code(code).ok_or(DecodeError::CrcType { block: number, code })?;
        elements.next(reader)?;
        // Section 4.3.2: the one place where an indefinite length is ruled out.
        let data = reader.bytes_definite()?;
        let data_end = reader.position();
        if verify {
            crc.read(reader, elements, start, number)?;
        } else {
            crc.pass(reader, elements, number)?;
        }
        let (span, data_span) = (start..reader.position(), data_end - data.len()..data_end);
        Ok(Self { kind, number, flags, crc, data, span, data_span, loose: reader.take_loose() })
    }

    /// The block as a value of its own.
    #[must_use]
    pub fn to_block(&self) -> Block {
        let Self { kind, number, flags, crc, data, .. } = *self;
        Block { kind, number, flags, crc, data: data.to_vec() }
    }
}

/// Reads blocks that were checked once more, one after the other.
#[derive(Debug, Clone)]
struct Blocks<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Blocks<'a> {
    type Item = BlockView<'a>;

    fn next(&mut self) -> Option<BlockView<'a>> {
        // The end mark of the bundle is not a block.
        BlockView::read(&mut self.reader, false).ok()
    }
}
