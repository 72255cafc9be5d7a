//! Where what stands in the bytes of a bundle, as far as they can be read at all.
//!
//! The codec refuses a bundle at its first fault. A person who looks for that fault wants to see everything before it
//! and the place itself, so this reader knows CBOR's shape and no rules.

use core::ops::Range;

/// Deepest nesting that is followed; a bundle needs less than ten.
const DEPTH_MAX: usize = 32;
/// Most blocks that are shown; the codec takes fewer.
pub(super) const BLOCKS_MAX: usize = 256;

/// One CBOR item: where it stands and how it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// The whole item.
    pub(super) span: Range<usize>,
    /// What follows after its head: the contents of a string, the elements of an array.
    pub(super) body: Range<usize>,
    pub(super) major: u8,
    /// `None` for an indefinite length.
    pub(super) argument: Option<u64>,
}

/// Why and where reading ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) offset: usize,
    pub(super) reason: &'static str,
}

/// A block: the items of one array in the bundle's array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockLayout {
    pub(super) span: Range<usize>,
    pub(super) items: Vec<Item>,
}

/// Everything that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) blocks: Vec<BlockLayout>,
    pub(super) stop: Option<Stop>,
    /// Where the bundle ends; bytes after it do not belong to it.
    pub(super) end: usize,
}

pub(super) const UINT: u8 = 0;
pub(super) const BYTES: u8 = 2;
pub(super) const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const BREAK: u8 = 0xff;

impl Layout {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut layout = Self { blocks: Vec::new(), stop: None, end: 0 };
        match layout.fill(bytes) {
            Ok(end) => layout.end = end,
            Err(stop) => {
                layout.end = stop.offset;
                layout.stop = Some(stop);
            }
        }
        layout
    }

    fn fill(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        let (major, count, mut at) = head(bytes, 0)?;
        if major != ARRAY {
            return Err(Stop { offset: 0, reason: "a bundle is an array, and here begins something else" });
        }
        let mut left = count;
        loop {
            match &mut left {
                None if bytes.get(at) == Some(&BREAK) => return Ok(at + 1),
                Some(0) => return Ok(at),
                Some(left) => *left -= 1,
                None => {}
            }
            if self.blocks.len() == BLOCKS_MAX {
                return Err(Stop { offset: at, reason: "there are more blocks than are shown" });
            }
            let (block, stop) = block(bytes, at);
            let end = block.span.end;
            self.blocks.push(block);
            if let Some(stop) = stop {
                return Err(stop);
            }
            at = end;
        }
    }
}

/// The items of one block; those before a fault are given as well.
fn block(bytes: &[u8], start: usize) -> (BlockLayout, Option<Stop>) {
    let mut block = BlockLayout { span: start..start, items: Vec::new() };
    let stop = read_block(bytes, &mut block).err();
    if let Some(stop) = &stop {
        block.span.end = stop.offset.max(start);
    }
    (block, stop)
}

fn read_block(bytes: &[u8], block: &mut BlockLayout) -> Result<(), Stop> {
    let start = block.span.start;
    let (major, mut left, mut at) = head(bytes, start)?;
    if major != ARRAY {
        return Err(Stop { offset: start, reason: "a block is an array, and here begins something else" });
    }
    loop {
        match &mut left {
            None if bytes.get(at) == Some(&BREAK) => {
                at += 1;
                break;
            }
            Some(0) => break,
            Some(left) => *left -= 1,
            None => {}
        }
        if block.items.len() == BLOCKS_MAX {
            return Err(Stop { offset: at, reason: "a block has more fields than any block can have" });
        }
        let item = item(bytes, at)?;
        at = item.span.end;
        block.items.push(item);
    }
    block.span.end = at;
    Ok(())
}

/// Reads one item of any kind.
pub(super) fn item(bytes: &[u8], at: usize) -> Result<Item, Stop> {
    let (major, argument, body) = head(bytes, at)?;
    let end = skip(bytes, at, 0)?;
    let body_end = if argument.is_none() { end.saturating_sub(1) } else { end };
    Ok(Item { span: at..end, body: body..body_end.max(body), major, argument })
}

/// Major type, argument (`None`: indefinite) and where the head ends.
fn head(bytes: &[u8], at: usize) -> Result<(u8, Option<u64>, usize), Stop> {
    let cut = Stop { offset: at, reason: "the bytes end here, in the middle of an item" };
    let first = *bytes.get(at).ok_or_else(|| cut.clone())?;
    let (major, info) = (first >> 5, first & 0x1f);
    let width = match info {
        0..=23 => return Ok((major, Some(info.into()), at + 1)),
        24..=27 => 1_usize << (info - 24),
        31 if matches!(major, BYTES | TEXT | ARRAY | MAP) => return Ok((major, None, at + 1)),
        _ => return Err(Stop { offset: at, reason: "this byte begins no CBOR item" }),
    };
    let digits = bytes.get(at + 1..at + 1 + width).ok_or(cut)?;
    let value = digits.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    Ok((major, Some(value), at + 1 + width))
}

/// Where the item at `at` ends.
fn skip(bytes: &[u8], at: usize, depth: usize) -> Result<usize, Stop> {
    if depth == DEPTH_MAX {
        return Err(Stop { offset: at, reason: "items are nested deeper than any bundle needs" });
    }
    let (major, argument, body) = head(bytes, at)?;
    match (major, argument) {
        (BYTES | TEXT, Some(length)) => usize::try_from(length)
            .ok()
            .and_then(|length| body.checked_add(length))
            .filter(|end| *end <= bytes.len())
            .ok_or(Stop { offset: at, reason: "a string is longer than the rest of the bytes" }),
        (BYTES | TEXT | ARRAY | MAP, None) => {
            let mut at = body;
            while bytes.get(at) != Some(&BREAK) {
                at = skip(bytes, at, depth + 1)?;
            }
            Ok(at + 1)
        }
        (ARRAY | MAP, Some(count)) => {
            // Each element takes a byte at least, so a huge count ends with the bytes.
            let count = if major == MAP { count.saturating_mul(2) } else { count };
            let mut at = body;
            for _ in 0..count {
                at = skip(bytes, at, depth + 1)?;
            }
            Ok(at)
        }
        (TAG, _) => skip(bytes, body, depth + 1),
        _ => Ok(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_their_fields_are_found() {
        let bytes = [0x9f, 0x83, 7, 0x18, 0x20, 0x42, 1, 2, 0x9f, 1, 0xff, 0xff];
        let layout = Layout::of(&bytes);
        assert_eq!((layout.stop, layout.end), (None, bytes.len()));
        let spans: Vec<_> = layout.blocks.iter().map(|block| block.span.clone()).collect();
        assert_eq!(spans, [1..8, 8..11]);
        let items = &layout.blocks[0].items;
        assert_eq!((items[1].argument, items[1].span.clone()), (Some(32), 3..5));
        assert_eq!((items[2].body.clone(), items[2].major), (6..8, BYTES));
    }

    #[test]
    fn what_comes_before_a_fault_is_kept_and_the_fault_has_a_place() {
        let layout = Layout::of(&[0x9f, 0x83, 7, 0x1c]);
        assert_eq!(layout.blocks[0].items.len(), 1);
        assert_eq!(layout.stop.unwrap().offset, 3);
        for (bytes, offset) in [(&[][..], 0), (&[0xa0], 0), (&[0x9f], 1), (&[0x9f, 0x81, 0x42, 0], 2)] {
            assert_eq!(Layout::of(bytes).stop.unwrap().offset, offset, "{bytes:?}");
        }
    }

    #[test]
    fn hostile_counts_and_nesting_end() {
        let nested = [&[0x9f][..], &[0x81; 100_000]].concat();
        assert!(Layout::of(&nested).stop.is_some());
        let huge = [0x9f, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Layout::of(&huge).stop.unwrap().offset, huge.len());
        let many = [&[0x9f][..], &[0x80; 1000]].concat();
        assert_eq!(Layout::of(&many).blocks.len(), BLOCKS_MAX);
        let fields = [&[0x9f, 0x9f][..], &[1; 1000]].concat();
        assert!(Layout::of(&fields).stop.is_some());
    }
}
