//! The abstract security block of RFC 9172 section 3.6.

use alloc::vec::Vec;

use crate::cbor::{CborError, Reader, Write};
use crate::eid::{Eid, EidError};

/// Most targets of one security block: more than any node's limit of blocks needs.
pub const TARGETS_MAX: usize = 256;

/// Most parameters of one security block, and most results for one target.
pub const PAIRS_MAX: usize = 32;

const PARAMETERS_PRESENT: u64 = 1;

/// What a security block says: which blocks it covers, in which context, with which results.
///
/// Values of parameters and results are encoded CBOR items, because only the context knows
/// their types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityBlock {
    /// The numbers of the blocks that are covered; 0 is the primary block.
    pub targets: Vec<u64>,
    /// The security context.
    pub context: i64,
    /// The flags as they were read; writing sets the one bit that is assigned and no other.
    pub flags: u64,
    /// The node that added the block.
    pub source: Eid,
    /// Parameters of the context: ids and encoded items.
    pub parameters: Vec<(u64, Vec<u8>)>,
    /// For every target, in their order: ids and encoded items.
    pub results: Vec<Vec<(u64, Vec<u8>)>>,
}

/// Why some bytes are not an abstract security block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AsbError {
    /// Not well-formed, or of another shape.
    #[error("the security block is not well-formed: {0}")]
    Cbor(#[from] CborError),
    /// The security source is not an endpoint id.
    #[error("the source of the security block is wrong: {0}")]
    Source(#[from] EidError),
    /// The security source is a group or nobody: no node added the block.
    #[error("the source of the security block is not a node")]
    SourceNotANode,
    /// It covers nothing.
    #[error("the security block has no target")]
    NoTarget,
    /// It covers a block twice.
    #[error("the security block names target {0} twice")]
    DuplicateTarget(u64),
    /// It covers more than [`TARGETS_MAX`] blocks.
    #[error("the security block has more than {TARGETS_MAX} targets")]
    TooManyTargets,
    /// It has more than [`PAIRS_MAX`] parameters, or results for one target.
    #[error("the security block has more than {PAIRS_MAX} parameters, or results for one target")]
    TooManyPairs,
    /// The number of results is not that of the targets.
    #[error("the security block does not have one set of results for each target")]
    ResultCount,
    /// A parameter occurs twice, or a result does for one target.
    #[error("the security block has the parameter or result {0} twice")]
    DuplicatePair(u64),
}

impl SecurityBlock {
    /// Reads what a security block holds.
    ///
    /// Reserved flags are ignored, as RFC 9172 asks; lengths may be indefinite, as RFC 9171 allows.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn decode(data: &[u8]) -> Result<Self, AsbError> {
        let mut reader = Reader::new(data);
        let targets = read_targets(&mut reader)?;
        let context = reader.int()?;
        let flags = reader.uint()?;
        let source = Eid::read(&mut reader)?;
        // ipn:0.0 is nobody as well, so `is_singleton` alone decides.
        if !source.is_singleton() {
            return Err(AsbError::SourceNotANode);
        }
        let parameters = if flags & PARAMETERS_PRESENT == 0 { Vec::new() } else { read_pairs(&mut reader)? };
        let mut elements = reader.array()?;
        let mut results = Vec::new();
        while elements.more(&mut reader) {
            if results.len() == targets.len() {
                return Err(AsbError::ResultCount);
            }
            results.push(read_pairs(&mut reader)?);
        }
        if results.len() != targets.len() {
            return Err(AsbError::ResultCount);
        }
        reader.end()?;
        Ok(Self { targets, context, flags, source, parameters, results })
    }

    /// The block in its one deterministic form.
    ///
    /// Parameters are written if there are any, or if the flags announce the empty list.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_array(len64(self.targets.len()));
        self.targets.iter().for_each(|target| out.put_uint(*target));
        match u64::try_from(self.context) {
            Ok(context) => out.put_uint(context),
            // -1 - n, and !n is that without overflow.
            Err(_) => out.put_nint((!self.context).unsigned_abs()),
        }
        let present = !self.parameters.is_empty() || self.flags & PARAMETERS_PRESENT != 0;
        out.put_uint(if present { PARAMETERS_PRESENT } else { 0 });
        self.source.write(&mut out);
        if present {
            write_pairs(&mut out, &self.parameters);
        }
        out.put_array(len64(self.results.len()));
        self.results.iter().for_each(|results| write_pairs(&mut out, results));
        out
    }

    /// The encoded value of a parameter.
    #[must_use]
    pub fn parameter(&self, id: u64) -> Option<&[u8]> {
        find(&self.parameters, id)
    }

    /// The results for a target, if that is covered.
    #[must_use]
    pub fn results_of(&self, target: u64) -> Option<&[(u64, Vec<u8>)]> {
        let index = self.targets.iter().position(|other| *other == target)?;
        self.results.get(index).map(Vec::as_slice)
    }

    /// Takes a target and its results out. What is left may be empty, and then goes as a whole.
    pub fn remove(&mut self, target: u64) -> Option<Vec<(u64, Vec<u8>)>> {
        let index = self.targets.iter().position(|other| *other == target)?;
        if index >= self.results.len() {
            return None;
        }
        self.targets.remove(index);
        Some(self.results.remove(index))
    }
}

pub(crate) fn find(pairs: &[(u64, Vec<u8>)], id: u64) -> Option<&[u8]> {
    pairs.iter().find(|(other, _)| *other == id).map(|(_, value)| value.as_slice())
}

fn read_targets(reader: &mut Reader<'_>) -> Result<Vec<u64>, AsbError> {
    let mut elements = reader.array()?;
    let mut targets = Vec::new();
    while elements.more(reader) {
        let target = reader.uint()?;
        if targets.contains(&target) {
            return Err(AsbError::DuplicateTarget(target));
        }
        if targets.len() == TARGETS_MAX {
            return Err(AsbError::TooManyTargets);
        }
        targets.push(target);
    }
    if targets.is_empty() { Err(AsbError::NoTarget) } else { Ok(targets) }
}

fn read_pairs(reader: &mut Reader<'_>) -> Result<Vec<(u64, Vec<u8>)>, AsbError> {
    let mut elements = reader.array()?;
    let mut pairs: Vec<(u64, Vec<u8>)> = Vec::new();
    while elements.more(reader) {
        let mut pair = reader.array()?;
        pair.next(reader)?;
        let id = reader.uint()?;
        pair.next(reader)?;
        let value = reader.item()?;
        pair.finish(reader)?;
        if pairs.iter().any(|(other, _)| *other == id) {
            return Err(AsbError::DuplicatePair(id));
        }
        if pairs.len() == PAIRS_MAX {
            return Err(AsbError::TooManyPairs);
        }
        pairs.push((id, value.to_vec()));
    }
    Ok(pairs)
}

fn write_pairs(out: &mut Vec<u8>, pairs: &[(u64, Vec<u8>)]) {
    out.put_array(len64(pairs.len()));
    for (id, value) in pairs {
        out.put_array(2);
        out.put_uint(*id);
        out.raw(value);
    }
}

fn len64(len: usize) -> u64 {
    u64::try_from(len).expect("no target has addresses of more than 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn block() -> SecurityBlock {
        SecurityBlock {
            targets: vec![0, 2],
            context: 1,
            flags: 1,
            source: Eid::ipn(0, 3, 0),
            parameters: vec![(1, vec![5]), (3, vec![0])],
            results: vec![vec![(1, vec![0x41, 7])], vec![(1, vec![0x41, 8])]],
        }
    }

    #[test]
    fn a_security_block_has_the_bytes_of_rfc_9173() {
        // The head of the integrity block in appendix A.3.3.2, with results made short.
        let bytes = [
            &[0x82, 0, 2, 1, 1, 0x82, 2, 0x82, 3, 0, 0x82, 0x82, 1, 5, 0x82, 3, 0][..],
            &[0x82, 0x81, 0x82, 1, 0x41, 7, 0x81, 0x82, 1, 0x41, 8],
        ]
        .concat();
        assert_eq!(block().encode(), bytes);
        assert_eq!(SecurityBlock::decode(&bytes), Ok(block()));
        for cut in 0..bytes.len() {
            assert!(SecurityBlock::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let trailing = [&bytes[..], &[0]].concat();
        assert_eq!(SecurityBlock::decode(&trailing), Err(AsbError::Cbor(CborError::Trailing)));
    }

    #[test]
    fn reserved_flags_are_ignored_and_not_written() {
        let mut odd = block().encode();
        odd[4] = 0x17;
        let read = SecurityBlock::decode(&odd).unwrap();
        assert_eq!(read, SecurityBlock { flags: 0x17, ..block() });
        assert_eq!(read.encode(), block().encode());
        let bare = SecurityBlock { flags: 2, parameters: vec![], ..block() };
        let read = SecurityBlock::decode(&bare.encode()).unwrap();
        assert_eq!(read.flags, 0);
        let announced = SecurityBlock { flags: 1, ..bare };
        assert_eq!(SecurityBlock::decode(&announced.encode()), Ok(announced));
    }

    #[test]
    fn targets_and_results_agree_and_occur_once() {
        let cases = [
            (SecurityBlock { targets: vec![], results: vec![], ..block() }, AsbError::NoTarget),
            (SecurityBlock { targets: vec![2, 2], ..block() }, AsbError::DuplicateTarget(2)),
            (SecurityBlock { targets: vec![2], ..block() }, AsbError::ResultCount),
            (SecurityBlock { targets: vec![1, 2, 3], ..block() }, AsbError::ResultCount),
            (SecurityBlock { results: vec![], ..block() }, AsbError::ResultCount),
            (SecurityBlock { parameters: vec![(3, vec![0]); 2], ..block() }, AsbError::DuplicatePair(3)),
            (
                SecurityBlock { results: vec![vec![(1, vec![0]); 2]; 2], ..block() },
                AsbError::DuplicatePair(1),
            ),
            (SecurityBlock { source: Eid::None, ..block() }, AsbError::SourceNotANode),
            (SecurityBlock { source: Eid::ipn(0, 0, 0), ..block() }, AsbError::SourceNotANode),
            (
                SecurityBlock { source: Eid::dtn("relief", "~all").unwrap(), ..block() },
                AsbError::SourceNotANode,
            ),
        ];
        for (block, error) in cases {
            assert_eq!(SecurityBlock::decode(&block.encode()), Err(error), "{block:?}");
        }
    }

    #[test]
    fn as_many_targets_and_pairs_as_the_limits_say_are_taken_and_one_more_is_not() {
        let with = |count: u64| SecurityBlock {
            targets: (0..count).collect(),
            results: (0..count).map(|_| vec![]).collect(),
            ..block()
        };
        let most = u64::try_from(TARGETS_MAX).unwrap();
        assert!(SecurityBlock::decode(&with(most).encode()).is_ok());
        assert_eq!(SecurityBlock::decode(&with(most + 1).encode()), Err(AsbError::TooManyTargets));
        let with = |count: u64| SecurityBlock {
            parameters: (0..count).map(|id| (id, vec![0])).collect(),
            ..block()
        };
        let most = u64::try_from(PAIRS_MAX).unwrap();
        assert!(SecurityBlock::decode(&with(most).encode()).is_ok());
        assert_eq!(SecurityBlock::decode(&with(most + 1).encode()), Err(AsbError::TooManyPairs));
        // A length that the input does not have is not believed.
        let huge = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
        assert_eq!(SecurityBlock::decode(&huge), Err(AsbError::Cbor(CborError::Truncated)));
    }

    #[test]
    fn a_target_leaves_with_its_results() {
        let mut block = block();
        assert_eq!(block.results_of(2), Some(&[(1, vec![0x41, 8])][..]));
        assert_eq!(block.remove(7), None);
        assert_eq!(block.remove(0), Some(vec![(1, vec![0x41, 7])]));
        assert_eq!((&block.targets, block.results.len()), (&vec![2], 1));
        assert_eq!(block.parameter(3), Some(&[0][..]));
        assert_eq!(block.parameter(2), None);
    }

    fn pairs() -> impl Strategy<Value = Vec<(u64, Vec<u8>)>> {
        let item = any::<u64>().prop_map(|value| {
            let mut out = Vec::new();
            out.put_uint(value);
            out
        });
        let map = proptest::collection::btree_map(any::<u64>(), item, 0..5);
        map.prop_map(|pairs| pairs.into_iter().collect())
    }

    proptest! {
        #[test]
        fn every_security_block_survives_the_trip(
            content in proptest::collection::btree_map(any::<u64>(), pairs(), 1..8),
            context: i64,
            parameters in pairs(),
            node in 1..u32::MAX,
        ) {
            let (targets, results) = content.into_iter().unzip();
            let flags = u64::from(!parameters.is_empty());
            let block =
                SecurityBlock { targets, context, flags, source: Eid::ipn(0, node, 0), parameters, results };
            prop_assert_eq!(SecurityBlock::decode(&block.encode()), Ok(block));
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_have_one_form(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(block) = SecurityBlock::decode(&bytes) {
                prop_assert_eq!(SecurityBlock::decode(&block.encode()).map(|block| block.encode()), Ok(block.encode()));
            }
        }
    }
}
