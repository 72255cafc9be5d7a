//! Bundles that are right, and bundles with a few faults of every kind that was ever reported.

use proptest::prelude::*;
use proptest::sample::Index;

use crate::item::{Form, Item, Value, array, bytes, uint};

/// A block as it would be if nothing was wrong with it.
#[derive(Debug, Clone)]
struct Block {
    kind: u64,
    number: u64,
    flags: u64,
    crc: u64,
    data: Vec<u8>,
}

/// One fault.
#[derive(Debug, Clone)]
enum Fault {
    /// An item gets another form: a longer number, an indefinite length.
    Form(Index, Form),
    Tag(Index, u64),
    /// An item is replaced by another.
    Replace(Index, Value),
    /// An item of an array is left out or doubled.
    Drop(Index, Index),
    Double(Index, Index),
    Swap(Index, Index),
    DropBlock(Index),
    DoubleBlock(Index),
    Number(Index, u64),
    Kind(Index, u64),
    BlockFlags(Index, u64),
    /// The type of a checksum is changed, and nothing else.
    CrcType(Index, u64),
    CrcValue(Index, u8),
    Version(u64),
    /// The array of the whole bundle has a length, or no end.
    DefiniteBundle,
    NoEnd,
    Trailing(Vec<u8>),
    Truncated(Index),
    Flip(Index, u8),
    Insert(Index, u8),
}

/// How many cases come of one bundle: making that is most of the work.
pub(crate) const CASES_A_BUNDLE: usize = 5;

/// The bytes of some cases: one bundle with different faults.
pub(crate) fn any_cases() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let faults = prop_oneof![
        3 => Just(0..=0_usize),
        5 => Just(1..=1_usize),
        2 => Just(2..=3_usize),
    ]
    .prop_flat_map(|count| proptest::collection::vec(any_fault(), count));
    (any_bundle(), proptest::collection::vec(faults, CASES_A_BUNDLE))
        .prop_map(|(blocks, lists)| lists.iter().map(|faults| write(blocks.clone(), faults)).collect())
}

fn write(mut blocks: Vec<Item>, faults: &[Fault]) -> Vec<u8> {
    for fault in faults {
        fault.apply_to_blocks(&mut blocks);
    }
    let definite = faults.iter().any(|fault| matches!(fault, Fault::DefiniteBundle));
    let ends = !definite && !faults.iter().any(|fault| matches!(fault, Fault::NoEnd));
    let count = u8::try_from(blocks.len().min(23)).expect("at most 23");
    let mut out = vec![if definite { 0x80 | count } else { 0x9f }];
    blocks.iter().for_each(|block| out.extend(block.encode_block()));
    out.extend(ends.then_some(0xff));
    for fault in faults {
        fault.apply_to_bytes(&mut out);
    }
    out
}

/// Fewer than that many bytes. Nobody looks into them, so they need no tree of their own.
fn any_data(bytes_max: usize) -> impl Strategy<Value = Vec<u8>> {
    (0..bytes_max, any::<[u8; 8]>()).prop_map(|(len, seed)| seed.into_iter().cycle().take(len).collect())
}

/// The items of a bundle: its primary block, its other blocks, and the payload as the last one.
fn any_bundle() -> impl Strategy<Value = Vec<Item>> {
    let payload = any_data(40);
    let security = prop_oneof![12 => Just(None), 1 => any_security().prop_map(Some)];
    (any_primary(), any_extensions(), security, payload, any_crc(), any_block_flags()).prop_map(
        |((mut primary, crc), mut blocks, security, data, payload_crc, flags)| {
            let number = blocks.iter().map(|block| block.number).max().unwrap_or(1) + 1;
            for (more, mut block) in (0..).zip(security.unwrap_or_default()) {
                block.number = number + more;
                blocks.insert(0, block);
            }
            blocks.push(Block { kind: 1, number: 1, flags, crc: payload_crc, data });
            if crc > 0 {
                primary.push(Value::Crc(crc, 0).into());
            }
            let blocks = blocks.into_iter().map(Block::into_item);
            core::iter::once(array(primary)).chain(blocks).collect()
        },
    )
}

/// The fields of a primary block without the checksum, and the type of that.
fn any_primary() -> impl Strategy<Value = (Vec<Item>, u64)> {
    let crc = prop_oneof![15 => Just(2_u64), 15 => Just(1), 1 => Just(0)];
    let time = prop_oneof![20 => 1..1_u64 << 42, 2 => Just(0), 1 => any::<u64>()];
    let fragment = prop_oneof![
        18 => Just(None),
        6 => (0..50_u64, 80..150_u64).prop_map(Some),
        1 => (0..50_u64, 0..90_u64).prop_map(Some),
        1 => (any::<u64>(), any::<u64>()).prop_map(Some),
    ];
    let eids = (any_eid(), any_source(), any_eid());
    let lifetime = prop_oneof![4 => 0..1_u64 << 40, 1 => any::<u64>()];
    (any_bundle_flags(), crc, eids, (time, any_number()), lifetime, fragment).prop_map(
        |(flags, crc, (to, from, report), (time, seq), lifetime, fragment)| {
            let anonymous = from.1;
            let mut flags = if anonymous { (flags & !0x7_4001) | 4 } else { flags };
            let fragment = fragment.filter(|_| !anonymous);
            flags = if fragment.is_some() { flags | 1 } else { flags & !1 };
            let mut items = vec![uint(7), uint(flags), uint(crc), to, from.0, report];
            items.push(array(vec![uint(time), uint(seq)]));
            items.push(uint(lifetime));
            if let Some((offset, total)) = fragment {
                items.extend([uint(offset), uint(total)]);
            }
            (items, crc)
        },
    )
}

fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..30_u64,
        1 => prop_oneof![Just(23), Just(24), Just(255), Just(256), Just(65_535), Just(65_536)],
        1 => prop_oneof![Just(u64::from(u32::MAX)), Just(1 << 32), Just(u64::MAX)],
        2 => any::<u64>(),
    ]
}

fn any_crc() -> impl Strategy<Value = u64> {
    0..3_u64
}

/// Known flags mostly, in combinations that are mostly allowed.
fn any_bundle_flags() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => Just(0_u64),
        4 => prop_oneof![Just(0x04_u64), Just(0x20), Just(0x40), Just(0x4000), Just(0x1_0000), Just(0x6_0000)],
        2 => Just(0x02_u64),
        1 => any::<u64>().prop_map(|bits| bits & 0x7_4067),
        1 => any::<u64>().prop_map(|bits| bits & !0x7_4003),
    ]
}

fn any_block_flags() -> impl Strategy<Value = u64> {
    prop_oneof![
        20 => Just(0_u64),
        6 => prop_oneof![Just(0x01_u64), Just(0x02), Just(0x04), Just(0x10), Just(0x11)],
        1 => 0..0x20_u64,
        1 => any::<u64>(),
    ]
}

/// An endpoint id that may be the source, and whether it is nobody.
fn any_source() -> impl Strategy<Value = (Item, bool)> {
    prop_oneof![
        20 => any_somebody().prop_map(|eid| (eid, false)),
        1 => Just((array(vec![uint(1), uint(0)]), true)),
        1 => Just((array(vec![uint(2), array(vec![uint(0), uint(0)])]), true)),
    ]
}

fn any_eid() -> impl Strategy<Value = Item> {
    prop_oneof![
        10 => any_somebody(),
        2 => Just(array(vec![uint(1), uint(0)])),
        1 => any_number().prop_map(|service| array(vec![uint(2), array(vec![uint(0), uint(service)])])),
    ]
}

fn any_somebody() -> impl Strategy<Value = Item> {
    let text = prop_oneof![
        50 => text("//[a-z0-9.-]{1,12}/[!-}]{0,12}"),
        3 => text("//[a-z0-9._~!$&'()*+,;=%-]{1,8}/[a-z/]{0,5}"),
        2 => text("//[a-z]{0,3}%[0-9a-f]{2}/[a-z]{0,2}"),
        1 => text("//[a-z]{1,4}/~[a-z]{0,4}"),
        1 => text("[ -~é]{0,8}"),
        1 => text("//[ -~é/]{0,8}"),
    ];
    let two =
        (prop_oneof![30 => 1..100_u64, 1 => any_number()], prop_oneof![30 => 0..100_u64, 1 => any_number()]);
    let three = (any_number(), any_number(), 0..300_u64);
    prop_oneof![
        25 => text.prop_map(|text| array(vec![uint(1), Value::Text(text).into()])),
        25 => two.prop_map(|(node, service)| array(vec![uint(2), array(vec![uint(node), uint(service)])])),
        1 => three.prop_map(|(a, n, s)| array(vec![uint(2), array(vec![uint(a), uint(n), uint(s)])])),
    ]
}

/// Compiles the pattern once, where a plain one would be compiled for each case.
fn text(pattern: &str) -> impl Strategy<Value = String> + use<> {
    proptest::string::string_regex(pattern).expect("a valid pattern")
}

fn any_extensions() -> impl Strategy<Value = Vec<Block>> {
    let data = prop_oneof![
        3 => any_somebody().prop_map(|eid| (6, eid.encode())),
        5 => any_number().prop_map(|age| (7, uint(age).encode())),
        4 => (prop_oneof![20 => 1..256_u64, 1 => any_number()], any_number())
            .prop_map(|(limit, count)| (10, array(vec![uint(limit), uint(count)]).encode())),
        3 => (prop_oneof![13..300_u64, Just(8_u64), Just(193), any::<u64>()], any_data(12)),
        1 => (prop_oneof![Just(6_u64), Just(7), Just(10)], any_odd_data()),
    ];
    let block = (data, any_crc(), any_block_flags(), prop_oneof![9 => Just(0_u64), 1 => any_number()]);
    (proptest::collection::vec(block, 0..4), 0..30_u8).prop_map(|(blocks, keep_twins)| {
        let mut made: Vec<Block> = Vec::new();
        for (number, ((kind, data), crc, flags, add)) in (2_u64..).zip(blocks) {
            let twin = made.iter().any(|other| other.kind == kind);
            if !twin || keep_twins == 0 {
                let number = number.saturating_add(add.saturating_mul(8)).min(u64::MAX - 4);
                made.push(Block { kind, number, flags, crc, data });
            }
        }
        made
    })
}

/// Almost what the known blocks hold.
fn any_odd_data() -> impl Strategy<Value = Vec<u8>> {
    let item = prop_oneof![
        any_number().prop_map(uint),
        any_eid(),
        (any_number(), any_number()).prop_map(|(a, b)| array(vec![uint(a), uint(b)])),
        proptest::collection::vec(any_number().prop_map(uint), 0..4).prop_map(array),
    ];
    let form = prop_oneof![Just(Form::Shortest), (1..4_u8).prop_map(Form::Longer), Just(Form::Indefinite)];
    let tail = prop_oneof![3 => Just(vec![]), 1 => proptest::collection::vec(any::<u8>(), 1..3)];
    (item, any::<Index>(), form, tail).prop_map(|(mut item, at, form, tail)| {
        let at = at.index(item.count());
        if let Some(part) = item.nth(at) {
            part.form = form;
        }
        [item.encode(), tail].concat()
    })
}

/// One or two security blocks; their numbers are given later.
fn any_security() -> impl Strategy<Value = Vec<Block>> {
    let targets = proptest::collection::vec(prop_oneof![5 => 0..3_u64, 1 => any_number()], 1..3);
    let block = (any::<bool>(), targets, 0..6_u8, any_crc(), any_source(), any_number());
    let one = block.prop_map(|(seals, mut targets, odd, crc, (source, _), context)| {
        if odd != 0 {
            targets.dedup();
            targets.retain(|target| !seals || *target != 0);
            targets.extend(targets.is_empty().then_some(1));
        }
        let result = || array(vec![array(vec![uint(1), bytes(vec![7; 8])])]);
        let results = targets.iter().map(|_| result()).collect();
        let targets = targets.into_iter().map(uint).collect();
        let items = [array(targets), uint(context), uint(0), source, array(results)];
        let data = items.iter().flat_map(Item::encode).collect();
        let flags = match odd {
            1 => 0x10,
            2 => 0x05,
            _ => 0x01,
        };
        Block { kind: if seals { 12 } else { 11 }, number: 0, flags, crc, data }
    });
    proptest::collection::vec(one, 1..3)
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let at = any::<Index>;
    let form = prop_oneof![(1..5_u8).prop_map(Form::Longer), Just(Form::Indefinite)];
    let value = prop_oneof![
        any_number().prop_map(Value::Uint),
        any_number().prop_map(Value::Nint),
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(Value::Bytes),
        text("[a-z/:~é]{0,6}").prop_map(Value::Text),
        any_eid().prop_map(|eid| eid.value),
        proptest::collection::vec(any_number().prop_map(uint), 0..4).prop_map(Value::Array),
    ];
    let structure = prop_oneof![
        5 => (at(), form).prop_map(|(at, form)| Fault::Form(at, form)),
        1 => (at(), any_number()).prop_map(|(at, tag)| Fault::Tag(at, tag)),
        3 => (at(), value).prop_map(|(at, value)| Fault::Replace(at, value)),
        1 => (at(), at()).prop_map(|(at, item)| Fault::Drop(at, item)),
        1 => (at(), at()).prop_map(|(at, item)| Fault::Double(at, item)),
        2 => (at(), at()).prop_map(|(one, other)| Fault::Swap(one, other)),
        1 => at().prop_map(Fault::DropBlock),
        1 => at().prop_map(Fault::DoubleBlock),
    ];
    let fields = prop_oneof![
        2 => (at(), 0..6_u64).prop_map(|(at, number)| Fault::Number(at, number)),
        1 => (at(), 0..14_u64).prop_map(|(at, kind)| Fault::Kind(at, kind)),
        1 => (at(), any_block_flags()).prop_map(|(at, flags)| Fault::BlockFlags(at, flags)),
        2 => (at(), prop_oneof![0..5_u64, any_number()]).prop_map(|(at, kind)| Fault::CrcType(at, kind)),
        2 => (at(), 1..=255_u8).prop_map(|(at, damage)| Fault::CrcValue(at, damage)),
        1 => any_number().prop_map(Fault::Version),
    ];
    let raw = prop_oneof![
        1 => Just(Fault::DefiniteBundle),
        1 => Just(Fault::NoEnd),
        1 => proptest::collection::vec(any::<u8>(), 1..4).prop_map(Fault::Trailing),
        1 => at().prop_map(Fault::Truncated),
        3 => (at(), 0..8_u8).prop_map(|(at, bit)| Fault::Flip(at, 1 << bit)),
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Fault::Insert(at, byte)),
    ];
    prop_oneof![4 => structure, 3 => fields, 2 => raw]
}

impl Block {
    fn into_item(self) -> Item {
        let mut items = vec![uint(self.kind), uint(self.number), uint(self.flags), uint(self.crc)];
        items.push(bytes(self.data));
        items.extend((self.crc > 0).then(|| Item::from(Value::Crc(self.crc, 0))));
        array(items)
    }
}

/// The item of all blocks that the index picks.
fn pick<'a>(blocks: &'a mut [Item], at: &Index) -> Option<&'a mut Item> {
    let mut left = at.index(blocks.iter().map(Item::count).sum::<usize>().max(1));
    for block in blocks {
        let count = block.count();
        if left < count {
            return block.nth(left);
        }
        left -= count;
    }
    None
}

fn fields<'a>(blocks: &'a mut [Item], at: &Index) -> Option<&'a mut Vec<Item>> {
    let count = blocks.len().max(1);
    match &mut blocks.get_mut(at.index(count))?.value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

impl Fault {
    fn apply_to_blocks(&self, blocks: &mut Vec<Item>) {
        let set = |blocks: &mut [Item], at: &Index, field: usize, value: u64| {
            if let Some(item) = fields(blocks, at).and_then(|items| items.get_mut(field)) {
                item.value = Value::Uint(value);
            }
        };
        match self {
            Self::Form(at, form) => {
                if let Some(item) = pick(blocks, at) {
                    item.form = *form;
                }
            }
            Self::Tag(at, tag) => {
                if let Some(item) = pick(blocks, at) {
                    item.tag = Some(*tag);
                }
            }
            Self::Replace(at, value) => {
                if let Some(item) = pick(blocks, at) {
                    item.value = value.clone();
                }
            }
            Self::Drop(at, item) | Self::Double(at, item) => {
                let Some(Value::Array(items)) = pick(blocks, at).map(|item| &mut item.value) else { return };
                let at = item.index(items.len().max(1));
                match (self, items.get(at).cloned()) {
                    (Self::Drop(..), Some(_)) => drop(items.remove(at)),
                    (_, Some(item)) => items.insert(at, item),
                    (_, None) => {}
                }
            }
            Self::Swap(one, other) => {
                let count = blocks.len().max(1);
                let (one, other) = (one.index(count), other.index(count));
                if blocks.len() > one.max(other) {
                    blocks.swap(one, other);
                }
            }
            Self::DropBlock(at) if !blocks.is_empty() => drop(blocks.remove(at.index(blocks.len()))),
            Self::DoubleBlock(at) if !blocks.is_empty() => {
                let at = at.index(blocks.len());
                blocks.insert(at, blocks[at].clone());
            }
            Self::Kind(at, kind) => set(blocks, at, 0, *kind),
            Self::Number(at, number) => set(blocks, at, 1, *number),
            Self::BlockFlags(at, flags) => set(blocks, at, 2, *flags),
            Self::CrcType(at, kind) => {
                let primary = at.index(blocks.len().max(1)) == 0;
                set(blocks, at, if primary { 2 } else { 3 }, *kind);
            }
            Self::CrcValue(at, damage) => {
                if let Some(Value::Crc(_, found)) =
                    fields(blocks, at).and_then(|items| items.last_mut()).map(|item| &mut item.value)
                {
                    *found = *damage;
                }
            }
            Self::Version(version) => {
                if let Some(Value::Array(items)) = blocks.first_mut().map(|block| &mut block.value)
                    && let Some(first) = items.first_mut()
                {
                    *first = uint(*version);
                }
            }
            _ => {}
        }
    }

    fn apply_to_bytes(&self, out: &mut Vec<u8>) {
        match self {
            Self::Trailing(bytes) => out.extend_from_slice(bytes),
            Self::Truncated(at) => out.truncate(at.index(out.len().max(1))),
            Self::Flip(at, bit) if !out.is_empty() => {
                let at = at.index(out.len());
                out[at] ^= bit;
            }
            Self::Insert(at, byte) => out.insert(at.index(out.len() + 1), *byte),
            _ => {}
        }
    }
}
