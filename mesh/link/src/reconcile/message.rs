//! Messages of a reconciliation as bytes.

use alloc::vec::Vec;

use super::ReconcileError;
use super::prefix::{Prefix, key_bytes};
use super::summary::Salt;

const START: u8 = 1;
const NEXT: u8 = 2;
const NEXT_WITH_MORE: u8 = 3;
/// Set in the first byte of a List.
const LIST: u8 = 0x80;
/// Bytes of a Next before its answer.
const HEAD_BYTES: usize = 5;
/// Most bytes of an element before its short ids or fingerprints.
pub(super) const ELEMENT_HEAD_BYTES_MAX: usize = 1 + 32 + 2;

/// A message, its parts still in the bytes it came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    Start { salt: Salt, bytes_max: u16, count: u32, fingerprint: [u8; 16] },
    Next { more: bool, bytes_max: u16, answer: &'a [u8], elements: &'a [u8] },
}

/// A statement about one range.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Element<'a> {
    /// The sums of the parts that are not empty.
    Split { prefix: Prefix, mask: u16, fingerprints: &'a [[u8; 8]] },
    /// All ids that the sender has.
    List { prefix: Prefix, ids: &'a [[u8; 8]] },
}

impl<'a> Message<'a> {
    /// Reads a message and checks all of it.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, ReconcileError> {
        let mut bytes = bytes;
        let [kind] = *take(&mut bytes)?;
        match kind {
            START => {
                let salt = *take(&mut bytes)?;
                let bytes_max = u16::from_be_bytes(*take(&mut bytes)?);
                let count = u32::from_be_bytes(*take(&mut bytes)?);
                let fingerprint = *take(&mut bytes)?;
                if !bytes.is_empty() {
                    return Err(ReconcileError::Malformed);
                }
                Ok(Self::Start { salt, bytes_max, count, fingerprint })
            }
            NEXT | NEXT_WITH_MORE => {
                let bytes_max = u16::from_be_bytes(*take(&mut bytes)?);
                let len = usize::from(u16::from_be_bytes(*take(&mut bytes)?));
                let answer = take_slice(&mut bytes, len)?;
                if answer.last() == Some(&0) {
                    return Err(ReconcileError::Malformed);
                }
                check(bytes)?;
                // Something always fits, so who has more to say has said something.
                if kind == NEXT_WITH_MORE && bytes.is_empty() {
                    return Err(ReconcileError::Malformed);
                }
                Ok(Self::Next { more: kind == NEXT_WITH_MORE, bytes_max, answer, elements: bytes })
            }
            _ => Err(ReconcileError::Malformed),
        }
    }
}

/// Every element is well formed, and their ranges ascend without overlap.
fn check(elements: &[u8]) -> Result<(), ReconcileError> {
    let mut rest = elements;
    let mut end = None;
    while !rest.is_empty() {
        let prefix = Element::decode(&mut rest)?.prefix();
        if end.is_some_and(|end| prefix.first() <= end) {
            return Err(ReconcileError::Malformed);
        }
        end = Some(prefix.last());
    }
    Ok(())
}

impl<'a> Element<'a> {
    /// Takes the first element off some bytes.
    pub(super) fn decode(bytes: &mut &'a [u8]) -> Result<Self, ReconcileError> {
        let [head] = *take(bytes)?;
        let depth = head & !LIST;
        let key = take_slice(bytes, key_bytes(depth))?;
        let prefix = Prefix::from_key(depth, key).ok_or(ReconcileError::Malformed)?;
        if head & LIST == 0 {
            let mask = u16::from_be_bytes(*take(bytes)?);
            let fingerprints = take_entries(bytes, mask.count_ones())?;
            // Nothing at all is a List, and one id has no parts.
            if mask == 0 || prefix.child(0).is_none() {
                return Err(ReconcileError::Malformed);
            }
            return Ok(Self::Split { prefix, mask, fingerprints });
        }
        let [count] = *take(bytes)?;
        let ids = take_entries(bytes, u32::from(count))?;
        if ids.is_sorted_by(|a, b| a < b) {
            Ok(Self::List { prefix, ids })
        } else {
            Err(ReconcileError::Malformed)
        }
    }

    pub(super) const fn prefix(&self) -> Prefix {
        match self {
            Self::Split { prefix, .. } | Self::List { prefix, .. } => *prefix,
        }
    }
}

/// Part of a message that is being written, with what must be remembered of it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) prefix: Prefix,
    pub(super) bytes: Vec<u8>,
    /// The parts of a Split that are not empty.
    pub(super) mask: u16,
    /// The ids of a List, in its order.
    pub(super) listed: Vec<[u8; 32]>,
}

/// A Split of a range; the parts are those that are not empty.
pub(super) fn split(prefix: Prefix, parts: impl Iterator<Item = (u16, [u8; 8])>) -> Draft {
    let mut bytes = element_head(prefix, 0);
    let mask_at = bytes.len();
    bytes.extend_from_slice(&[0, 0]);
    let mut mask: u16 = 0;
    for (bit, fingerprint) in parts {
        mask |= bit;
        bytes.extend_from_slice(&fingerprint);
    }
    for (to, from) in bytes.iter_mut().skip(mask_at).zip(mask.to_be_bytes()) {
        *to = from;
    }
    Draft { prefix, bytes, mask, listed: Vec::new() }
}

/// A List of a range; at most 255 ids with their short names.
pub(super) fn list(prefix: Prefix, mut ids: Vec<([u8; 8], [u8; 32])>) -> Draft {
    ids.sort_unstable();
    // Of two ids with one short name the other waits for the next conversation.
    ids.dedup_by_key(|(short, _)| *short);
    ids.truncate(usize::from(u8::MAX));
    let mut bytes = element_head(prefix, LIST);
    bytes.push(u8::try_from(ids.len()).unwrap_or(u8::MAX));
    bytes.extend(ids.iter().flat_map(|(short, _)| *short));
    Draft { prefix, bytes, mask: 0, listed: ids.into_iter().map(|(_, id)| id).collect() }
}

pub(super) fn encode_start(salt: &Salt, bytes_max: u16, count: u32, fingerprint: &[u8; 16]) -> Vec<u8> {
    [&[START], salt.as_slice(), &bytes_max.to_be_bytes(), &count.to_be_bytes(), fingerprint].concat()
}

/// A Next with elements that are in order.
pub(super) fn encode_next(more: bool, bytes_max: u16, answer: &[u8], elements: &[Draft]) -> Vec<u8> {
    let len = u16::try_from(answer.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut message = Vec::new();
    message.push(if more { NEXT_WITH_MORE } else { NEXT });
    message.extend_from_slice(&bytes_max.to_be_bytes());
    message.extend_from_slice(&len);
    message.extend_from_slice(answer);
    for element in elements {
        message.extend_from_slice(&element.bytes);
    }
    message
}

/// Bytes for elements in a message of this length with this answer.
pub(super) const fn room(bytes_max: usize, answer: &[u8]) -> usize {
    bytes_max.saturating_sub(HEAD_BYTES).saturating_sub(answer.len())
}

fn element_head(prefix: Prefix, kind: u8) -> Vec<u8> {
    let mut head = Vec::from([prefix.depth() | kind]);
    head.extend_from_slice(prefix.key());
    head
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Result<&'a [u8; N], ReconcileError> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(ReconcileError::Malformed)?;
    *bytes = rest;
    Ok(head)
}

fn take_slice<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], ReconcileError> {
    let (head, rest) = bytes.split_at_checked(len).ok_or(ReconcileError::Malformed)?;
    *bytes = rest;
    Ok(head)
}

fn take_entries<'a>(bytes: &mut &'a [u8], count: u32) -> Result<&'a [[u8; 8]], ReconcileError> {
    let len = usize::try_from(count).ok().and_then(|count| count.checked_mul(8));
    let entries = take_slice(bytes, len.ok_or(ReconcileError::Malformed)?)?;
    Ok(entries.as_chunks::<8>().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn elements() -> Vec<Draft> {
        let at = |first| Prefix::of(&[first; 32], 3);
        vec![
            list(at(0x10), vec![([2; 8], [2; 32]), ([1; 8], [1; 32]), ([2; 8], [3; 32])]),
            split(at(0x20), [(1 << 3, [7; 8]), (1 << 15, [8; 8])].into_iter()),
            list(Prefix::of(&[0x30; 32], 64), vec![]),
        ]
    }

    #[test]
    fn a_message_comes_back_as_it_was() {
        let start = encode_start(&[1; 8], 700, 5, &[2; 16]);
        assert_eq!(start.len(), 31);
        let expected = Message::Start { salt: [1; 8], bytes_max: 700, count: 5, fingerprint: [2; 16] };
        assert_eq!(Message::decode(&start), Ok(expected));
        let elements = elements();
        assert_eq!(elements[0].listed, [[1; 32], [2; 32]], "each short name once, ascending");
        let next = encode_next(true, 700, &[0, 1], &elements);
        let Ok(Message::Next { more: true, bytes_max: 700, answer: [0, 1], elements: mut rest }) =
            Message::decode(&next)
        else {
            panic!("no Next");
        };
        let mut take = || Element::decode(&mut rest).unwrap();
        assert_eq!(take(), Element::List { prefix: elements[0].prefix, ids: &[[1; 8], [2; 8]] });
        let fingerprints = [[7; 8], [8; 8]].as_slice();
        assert_eq!(take(), Element::Split { prefix: elements[1].prefix, mask: 0x8008, fingerprints });
        assert_eq!(take(), Element::List { prefix: elements[2].prefix, ids: &[] });
        assert!(rest.is_empty());
        for message in [start, next] {
            for cut in 0..message.len() {
                let outcome = Message::decode(&message[..cut]);
                let boundary = matches!(outcome, Ok(Message::Next { elements: [0x83, ..], .. }));
                assert!(outcome.is_err() || boundary, "cut to {cut} bytes");
            }
        }
    }

    #[test]
    fn the_bytes_on_the_wire_do_not_change_by_accident() {
        let next = encode_next(false, 256, &[], &[list(Prefix::of(&[0xab; 32], 3), vec![([9; 8], [1; 32])])]);
        assert_eq!(next, [[2, 1, 0, 0, 0, 0x83, 0xab, 0xa0, 1].as_slice(), &[9; 8]].concat());
        let split = split(Prefix::ROOT, [(2, [9; 8])].into_iter());
        assert_eq!(split.bytes, [[0, 0, 2].as_slice(), &[9; 8]].concat());
    }

    #[test]
    fn other_spellings_of_a_message_are_refused() {
        let head = [2, 1, 0, 0, 0];
        let with = |elements: &[u8]| [&head, elements].concat();
        let mut all = elements();
        all.reverse();
        let lists = |ids: &[[u8; 8]]| [&[LIST, 2], ids.as_flattened()].concat();
        for bad in [
            vec![],
            vec![4],
            vec![3, 1, 0, 0, 0], // more, and nothing said
            [encode_start(&[1; 8], 700, 5, &[2; 16]), vec![0]].concat(),
            vec![2, 1, 0, 0, 1, 0], // an answer that ends with zero
            with(&[65]),            // too deep
            with(&[1, 0x0f]),       // half a byte too many
            with(&[0, 0, 0]),       // nothing as a Split
            with(&[&[64], [1; 32].as_slice(), &[0, 1], &[0; 8]].concat()), // parts of one id
            with(&lists(&[[2; 8], [1; 8]])), // not ascending
            with(&lists(&[[1; 8], [1; 8]])), // twice
            with(&[LIST, 0, LIST, 0]), // one range twice
            with(&[LIST, 0, LIST | 1, 0x10, 0]), // one within the other
            encode_next(false, 700, &[], &all), // not in order
        ] {
            assert_eq!(Message::decode(&bad), Err(ReconcileError::Malformed), "{bad:x?}");
        }
    }
}
