//! The differences that are known, each with what must be in the input for it to count as such.

use std::collections::BTreeSet;

use cairn_bundle::{CborError, DecodeError, EidError};

use crate::seen::{Node, Seen, SeenBlock};

/// How two implementations differ on one input.
#[derive(Debug)]
pub(crate) enum Difference {
    OnlyWeAccept(String),
    OnlyTheyAccept(DecodeError),
    /// Both accept it, and these fields differ; the second list holds those that differ even when
    /// escapes in names are resolved.
    Meaning(Vec<&'static str>, Vec<&'static str>),
}

use Difference::{Meaning, OnlyTheyAccept, OnlyWeAccept};

/// A kind of difference that is no fault of ours.
pub(crate) struct Class {
    pub(crate) oracle: &'static str,
    pub(crate) name: &'static str,
    /// Where the specifications decide it.
    pub(crate) section: &'static str,
    pub(crate) why: &'static str,
    holds: fn(&Seen, &Difference) -> bool,
}

/// The classes of a difference, if all of it is known. Where both accept, each field has its own reason.
pub(crate) fn classify(oracle: &str, seen: &Seen, difference: &Difference) -> Option<BTreeSet<usize>> {
    let class = |part: &Difference| {
        CLASSES.iter().position(|class| class.oracle == oracle && (class.holds)(seen, part))
    };
    match difference {
        Meaning(fields, rest) => fields
            .iter()
            .map(|field| {
                let rest = rest.iter().copied().filter(|other| other == field).collect();
                class(&Meaning(vec![field], rest))
            })
            .collect(),
        OnlyWeAccept(_) | OnlyTheyAccept(_) => class(difference).map(|class| BTreeSet::from([class])),
    }
}

const fn refused_as(difference: &Difference) -> Option<DecodeError> {
    match difference {
        OnlyTheyAccept(error) => Some(*error),
        OnlyWeAccept(_) | Meaning(..) => None,
    }
}

fn says(difference: &Difference, text: &str) -> bool {
    matches!(difference, OnlyWeAccept(error) if error.contains(text))
}

/// A CBOR fault, in an endpoint id or elsewhere.
const fn cbor(difference: &Difference) -> Option<CborError> {
    match refused_as(difference) {
        Some(DecodeError::Cbor(error) | DecodeError::Eid(EidError::Cbor(error))) => Some(error),
        _ => None,
    }
}

fn known(block: &SeenBlock<'_>) -> bool {
    matches!(block.kind, 6 | 7 | 10)
}

fn ipn(eid: &Node) -> &[Node] {
    match eid.children.as_slice() {
        [scheme, numbers] if scheme.argument == 2 => &numbers.children,
        _ => &[],
    }
}

/// An id of node 0 of the default allocator with a service that has more than 32 bits.
fn is_wide_nobody(eid: &Node) -> bool {
    matches!(ipn(eid), [node, service] if node.argument == 0 && service.argument > u32::MAX.into())
        || matches!(ipn(eid), [allocator, node, service]
            if allocator.argument == 0 && node.argument == 0 && service.argument > u32::MAX.into())
}

/// `dtn:none`, or node 0 of the default allocator.
fn is_nobody(eid: &Node) -> bool {
    let allocator_and_node = ipn(eid).len().saturating_sub(1);
    eid.children.get(1).is_some_and(Node::is_uint)
        || (allocator_and_node > 0
            && ipn(eid).iter().take(allocator_and_node).all(|number| number.argument == 0))
}

fn has_wide_ipn(eid: &Node) -> bool {
    ipn(eid).iter().any(|number| number.argument > u32::MAX.into())
}

fn dtn_text(eid: &Node) -> Option<&str> {
    match eid.children.as_slice() {
        [scheme, text] if scheme.argument == 1 => text.text(),
        _ => None,
    }
}

fn has_escape(eid: &Node) -> bool {
    dtn_text(eid).is_some_and(|text| text.contains('%'))
}

/// Something in a `dtn` name is not the visible ASCII that may stand there, or no whole escape.
fn has_odd_name(eid: &Node) -> bool {
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let reserved = |text: &str| {
        let name = text.strip_prefix("//").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte))
    };
    dtn_text(eid).is_some_and(|text| !visible(text) || reserved(text))
}

/// Not `//name/demux`, where bp7 looks for two slashes and a name only.
fn has_odd_form(eid: &Node) -> bool {
    let whole = |text: &str| text.strip_prefix("//").is_some_and(|rest| rest.contains('/'));
    dtn_text(eid).is_some_and(|text| !whole(text))
}

fn unprotected(seen: &Seen, difference: &Difference) -> bool {
    refused_as(difference) == Some(DecodeError::Unprotected)
        && seen.primary(2).is_some_and(|crc| crc.argument == 0)
}

fn beyond_its_whole(seen: &Seen, difference: &Difference) -> bool {
    let number = |field| seen.primary(field).map_or(0, |node| node.argument);
    let bytes = seen.blocks().last().map_or(0, |block| block.data.data.len());
    let end = u64::try_from(bytes).ok().and_then(|bytes| bytes.checked_add(number(8)));
    refused_as(difference) == Some(DecodeError::FragmentRange)
        && seen.flags() & 1 == 1
        && end.is_none_or(|end| end > number(9))
}

fn group_source(seen: &Seen, difference: &Difference) -> bool {
    let group = |text: &str| text.splitn(4, '/').nth(3).is_some_and(|demux| demux.starts_with('~'));
    refused_as(difference) == Some(DecodeError::GroupSource)
        && seen.primary(4).and_then(dtn_text).is_some_and(group)
}

fn longer_forms(seen: &Seen, difference: &Difference) -> bool {
    cbor(difference) == Some(CborError::NotShortest) && seen.any(&|node| node.longer)
}

fn tags(seen: &Seen, difference: &Difference) -> bool {
    cbor(difference) == Some(CborError::Type) && seen.any(&|node| node.tagged)
}

fn definite_bundle(seen: &Seen, difference: &Difference) -> bool {
    cbor(difference) == Some(CborError::Count) && seen.top.as_ref().is_some_and(|top| !top.indefinite)
}

fn indefinite_data(seen: &Seen, difference: &Difference) -> bool {
    cbor(difference) == Some(CborError::Indefinite) && seen.blocks().any(|block| block.data.indefinite)
}

fn odd_previous_node(seen: &Seen, difference: &Difference) -> bool {
    let group = |eid: &Node| dtn_text(eid).is_some_and(|text| text.contains("/~"));
    let odd = |block: SeenBlock<'_>| {
        block.kind == 6 && block.data.inner().is_some_and(|(eid, _)| is_nobody(&eid) || group(&eid))
    };
    refused_as(difference) == Some(DecodeError::PreviousNode) && seen.blocks().any(odd)
}

fn security(seen: &Seen) -> bool {
    seen.blocks().any(|block| matches!(block.kind, 11 | 12))
}

/// All classes. The first that holds counts.
pub(crate) const CLASSES: &[Class] = &[
    Class {
        oracle: "hardy",
        name: "definite bundle",
        section: "RFC 9171 4.1",
        why: "A bundle as an array of known length is not conformant. Hardy repairs it, as it may; we do not.",
        holds: definite_bundle,
    },
    Class {
        oracle: "hardy",
        name: "longer form",
        section: "RFC 9171 4.1",
        why: "A length or number is longer than necessary. Hardy repairs some of these; we refuse all.",
        holds: longer_forms,
    },
    Class {
        oracle: "hardy",
        name: "tag",
        section: "RFC 9171 4.1",
        why: "Items carry CBOR tags that no field has. Hardy drops them.",
        holds: tags,
    },
    Class {
        oracle: "hardy",
        name: "indefinite contents",
        section: "RFC 9171 4.3.2",
        why: "What a block holds has an indefinite length, which is ruled out there. Hardy repairs it.",
        holds: indefinite_data,
    },
    Class {
        oracle: "hardy",
        name: "more in a known block",
        section: "RFC 9171 4.4",
        why: "Bytes follow in a previous node, age or hop count block. Hardy drops them.",
        holds: |seen, difference| {
            cbor(difference) == Some(CborError::Trailing)
                && seen
                    .blocks()
                    .any(|block| known(&block) && block.data.inner().is_some_and(|(_, more)| more))
        },
    },
    Class {
        oracle: "hardy",
        name: "unknown scheme",
        section: "RFC 9171 4.2.5.1",
        why: "An endpoint id of a scheme other than dtn and ipn. Hardy carries it unread; we refuse it, since it \
              can neither be compared nor routed.",
        holds: |seen, difference| {
            let odd = |eid: &Node| eid.children.first().is_some_and(|scheme| scheme.argument > 2);
            refused_as(difference) == Some(DecodeError::Eid(EidError::Scheme)) && seen.eids().iter().any(odd)
        },
    },
    Class {
        oracle: "hardy",
        name: "broken escape",
        section: "RFC 3986 3.2.2",
        why: "A percent sign in a name without two digits after it. Hardy takes it as it is.",
        holds: |seen, difference| {
            refused_as(difference) == Some(DecodeError::Eid(EidError::DtnCharacter))
                && seen.eids().iter().any(has_escape)
        },
    },
    Class {
        oracle: "hardy",
        name: "nobody's wide service",
        section: "RFC 9758 3.4.1",
        why: "Node 0 with a service number of more than 32 bits: nobody by the first rule, malformed by the second. \
              Hardy applies the first, we the second.",
        holds: |seen, difference| {
            refused_as(difference) == Some(DecodeError::Eid(EidError::IpnRange))
                && seen.eids().iter().any(is_wide_nobody)
        },
    },
    Class {
        oracle: "hardy",
        name: "empty name",
        section: "RFC 9171 4.2.5.1.1",
        why: "A dtn id without a node name, or `none` as a text. Hardy takes both.",
        holds: |seen, difference| {
            let odd = |text: &str| text.starts_with("///") || text == "none";
            refused_as(difference) == Some(DecodeError::Eid(EidError::DtnForm))
                && seen.eids().iter().filter_map(dtn_text).any(odd)
        },
    },
    Class {
        oracle: "hardy",
        name: "unprotected primary block",
        section: "RFC 9171 4.3.1",
        why: "No checksum and no integrity block. Hardy leaves this to a filter behind its parser.",
        holds: unprotected,
    },
    Class {
        oracle: "hardy",
        name: "no time and no age",
        section: "RFC 9171 4.4.2",
        why: "No creation time and no age block. Hardy leaves this to a filter behind its parser.",
        holds: |seen, difference| {
            refused_as(difference) == Some(DecodeError::NoAge) && seen.blocks().all(|block| block.kind != 7)
        },
    },
    Class {
        oracle: "hardy",
        name: "fragment beyond its whole",
        section: "RFC 9171 5.9",
        why: "Offset and length reach beyond the whole. Hardy compares the offset alone.",
        holds: beyond_its_whole,
    },
    Class {
        oracle: "hardy",
        name: "group as a source",
        section: "RFC 9171 4.2.5.2",
        why: "The source is a node and so no group. Hardy does not look.",
        holds: group_source,
    },
    Class {
        oracle: "hardy",
        name: "nobody came by",
        section: "RFC 9171 4.4.1",
        why: "The previous node is nobody or a group, and so not the id of a node. Hardy does not look.",
        holds: odd_previous_node,
    },
    Class {
        oracle: "hardy",
        name: "spelling of a name",
        section: "RFC 3986 6.2.2",
        why: "Hardy resolves escapes in names and writes its own. The name is the same.",
        holds: |seen, difference| {
            let escaped = |text: &str| text.contains(|found| "!$&'()*+,;=%".contains(found));
            matches!(difference, Meaning(_, rest) if rest.is_empty())
                && seen.eids().iter().filter_map(dtn_text).any(escaped)
        },
    },
    Class {
        oracle: "hardy",
        name: "nobody secures",
        section: "RFC 9172 3.6",
        why: "The security source is nobody or the local node. Hardy refuses it; no rule does, and the check of the \
              operation decides.",
        holds: |seen, difference| {
            security(seen) && says(difference, "Invalid Null or LocalNode security source")
        },
    },
    Class {
        oracle: "hardy",
        name: "rest of a security block",
        section: "RFC 9172 3.6",
        why: "Behind its targets a security block is malformed. We read that where the operation is checked, so that \
              those who only carry it need not know its form.",
        holds: |seen, difference| security(seen) && says(difference, "Failed to parse BPSec"),
    },
    Class {
        oracle: "hardy",
        name: "unknown context",
        section: "RFC 9172 3.6",
        why: "A security block asks to delete the bundle where it cannot be processed. Hardy without contexts can \
              process none; whoever only carries the bundle does not process it. The same for type 193, which is \
              for private use and known here.",
        holds: |seen, difference| {
            let asks = |block: SeenBlock<'_>| matches!(block.kind, 11 | 12 | 193) && block.flags & 4 != 0;
            says(difference, "unsupported block type") && seen.blocks().any(asks)
        },
    },
    Class {
        oracle: "hardy",
        name: "escape that is no text",
        section: "RFC 3986 2.1",
        why: "Escapes in a name that do not give UTF-8. An escape stands for any octet; Hardy wants text.",
        holds: |seen, difference| says(difference, "utf-8") && seen.eids().iter().any(has_escape),
    },
    Class {
        oracle: "hardy",
        name: "checksum of a secured block",
        section: "RFC 9172 3.8",
        why: "A target of an unknown context has a checksum. The context says what becomes of it; Hardy refuses it \
              before it knows the context.",
        holds: |seen, difference| security(seen) && says(difference, "The target block has a CRC"),
    },
    Class {
        oracle: "hardy",
        name: "context id",
        section: "RFC 9172 3.6",
        why: "A context id that Hardy cannot hold. Ids are looked at where the operation is checked.",
        holds: |seen, difference| security(seen) && says(difference, "Unrecognised BPSec context"),
    },
    Class {
        oracle: "bp7",
        name: "definite bundle",
        section: "RFC 9171 4.1",
        why: "As above.",
        holds: definite_bundle,
    },
    Class {
        oracle: "bp7",
        name: "longer form",
        section: "RFC 9171 4.1",
        why: "bp7 reads every form and notices it only through checksums.",
        holds: longer_forms,
    },
    Class { oracle: "bp7", name: "tag", section: "RFC 9171 4.1", why: "bp7 reads past tags.", holds: tags },
    Class {
        oracle: "bp7",
        name: "text as contents",
        section: "RFC 9171 4.3.2",
        why: "What a block holds, or a checksum, is a text or an array of numbers. bp7 reads that as bytes.",
        holds: |seen, difference| {
            let odd = |block: &SeenBlock<'_>| {
                block.data.major != 2 || block.fields.iter().skip(5).any(|crc| crc.major != 2)
            };
            let primary = seen.primary(if seen.flags() & 1 == 1 { 10 } else { 8 });
            cbor(difference) == Some(CborError::Type)
                && (primary.is_some_and(|crc| crc.major != 2) || seen.blocks().any(|block| odd(&block)))
        },
    },
    Class {
        oracle: "bp7",
        name: "indefinite contents",
        section: "RFC 9171 4.3.2",
        why: "As above.",
        holds: indefinite_data,
    },
    Class {
        oracle: "bp7",
        name: "name",
        section: "RFC 9171 4.2.5.1.1",
        why: "Characters in a dtn id that must not stand there. bp7 does not look at them.",
        holds: |seen, difference| {
            refused_as(difference) == Some(DecodeError::Eid(EidError::DtnCharacter))
                && seen.eids().iter().any(has_odd_name)
        },
    },
    Class {
        oracle: "bp7",
        name: "form of a name",
        section: "RFC 9171 4.2.5.1.1",
        why: "A dtn id without the slash after its node name.",
        holds: |seen, difference| {
            refused_as(difference) == Some(DecodeError::Eid(EidError::DtnForm))
                && seen.eids().iter().any(has_odd_form)
        },
    },
    Class {
        oracle: "bp7",
        name: "wide ipn numbers",
        section: "RFC 9758 3.2",
        why: "Numbers of more than 32 bits. bp7 holds 64.",
        holds: |seen, difference| {
            refused_as(difference) == Some(DecodeError::Eid(EidError::IpnRange))
                && seen.eids().iter().any(has_wide_ipn)
        },
    },
    Class {
        oracle: "bp7",
        name: "nobody's flags",
        section: "RFC 9171 4.2.3, 4.2.4",
        why: "A bundle of nobody that does not forbid to be cut, or asks for reports. bp7 checks one of these rules: \
              no block asks where the source is dtn:none; not where it is ipn:0.0.",
        holds: |seen, difference| {
            refused_as(difference) == Some(DecodeError::Flags)
                && seen.primary(4).is_some_and(is_nobody)
                && (seen.flags() & 5 != 4
                    || seen.flags() & 0x7_4000 != 0
                    || seen.blocks().any(|block| block.flags & 2 != 0))
        },
    },
    Class {
        oracle: "bp7",
        name: "fragment beyond its whole",
        section: "RFC 9171 5.9",
        why: "bp7 does not compare offset, length and whole.",
        holds: beyond_its_whole,
    },
    Class {
        oracle: "bp7",
        name: "group as a source",
        section: "RFC 9171 4.2.5.2",
        why: "As above.",
        holds: group_source,
    },
    Class {
        oracle: "bp7",
        name: "nobody came by",
        section: "RFC 9171 4.4.1",
        why: "The previous node is nobody or a group, and so not the id of a node. As above.",
        holds: odd_previous_node,
    },
    Class {
        oracle: "bp7",
        name: "must be understood",
        section: "RFC 9171 5.6",
        why: "A block of an unknown type asks that the bundle is deleted. bp7 leaves that to its caller.",
        holds: |seen, difference| {
            let asks =
                |block: SeenBlock<'_>| !matches!(block.kind, 1 | 6 | 7 | 10..=12) && block.flags & 4 != 0;
            matches!(refused_as(difference), Some(DecodeError::MustUnderstand(_))) && seen.blocks().any(asks)
        },
    },
    Class {
        oracle: "bp7",
        name: "reserved type or number",
        section: "RFC 9171 9.1",
        why: "A block of type 0, or one with the payload's number. bp7 takes it.",
        holds: |seen, difference| {
            let odd = |block: SeenBlock<'_>| block.kind == 0 || (block.number == 1 && block.kind != 1);
            matches!(refused_as(difference), Some(DecodeError::Number(_))) && seen.blocks().any(odd)
        },
    },
    Class {
        oracle: "bp7",
        name: "security targets",
        section: "RFC 9172 3.7, 3.8",
        why: "Without its feature `bpsec`, bp7 does not look at security blocks.",
        holds: |seen, difference| {
            let broken = matches!(refused_as(difference), Some(DecodeError::SecurityTargets(_)));
            security(seen) && (broken || cbor(difference).is_some())
        },
    },
    Class {
        oracle: "bp7",
        name: "encrypted block",
        section: "RFC 9172 3.8",
        why: "A previous node, age or hop count block is encrypted. bp7 without its feature `bpsec` reads it anyway.",
        holds: |seen, difference| {
            let encrypted = seen.encrypted();
            let hidden = |block: SeenBlock<'_>| known(&block) && encrypted.contains(&block.number);
            let fields = ["previous node", "age", "hops"];
            let read =
                matches!(difference, Meaning(found, _) if found.iter().all(|field| fields.contains(field)));
            (read || says(difference, "can not be decoded")) && seen.blocks().any(hidden)
        },
    },
    Class {
        oracle: "bp7",
        name: "unprotected primary block",
        section: "RFC 9171 4.3.1",
        why: "Without its feature `bpsec`, bp7 does not check this.",
        holds: unprotected,
    },
    Class {
        oracle: "bp7",
        name: "flags of eight bits",
        section: "RFC 9171 4.2.4",
        why: "Flags of a block beyond bit 7. Unknown ones are ignored; bp7 cannot hold them.",
        holds: |seen, difference| {
            says(difference, "expected u8") && seen.blocks().any(|block| block.flags > 255)
        },
    },
    Class {
        oracle: "bp7",
        name: "reserved flags",
        section: "RFC 9171 4.2.3, 4.2.4",
        why: "Flags that are reserved. Unknown ones are ignored; bp7 refuses them.",
        holds: |seen, difference| {
            let bundle = seen.flags() & 0x18_bf98 != 0;
            says(difference, "reserved bits")
                && (bundle || seen.blocks().any(|block| block.flags & 0x68 != 0))
        },
    },
    Class {
        oracle: "bp7",
        name: "three ipn numbers",
        section: "RFC 9758 6.1.2",
        why: "The newer form with the allocator as a number of its own. bp7 knows the older one.",
        holds: |seen, difference| {
            let refused = says(difference, "TrailingData") || says(difference, "can not be decoded");
            refused && seen.eids().iter().any(|eid| ipn(eid).len() == 3)
        },
    },
    Class {
        oracle: "bp7",
        name: "two ipn numbers, three names",
        section: "RFC 9758 3.2",
        why: "A node number of more than 32 bits is an allocator and a node. bp7 shows it as one number; the node \
              number 4294967295 means this node and is written `!`.",
        holds: |seen, difference| {
            let eids = ["source", "destination", "report-to", "previous node"];
            let qualified = |eid: &Node| matches!(ipn(eid), [node, _] if node.argument >= u32::MAX.into());
            matches!(difference, Meaning(fields, _) if fields.iter().all(|field| eids.contains(field)))
                && seen.eids().iter().any(qualified)
        },
    },
    Class {
        oracle: "bp7",
        name: "hop count of eight bits",
        section: "RFC 9171 4.4.3",
        why: "The limit ends at 255; the count has no limit. bp7 holds eight bits.",
        holds: |seen, difference| {
            let wide = |block: SeenBlock<'_>| {
                let inner = block.data.inner();
                block.kind == 10 && inner.is_some_and(|(hops, _)| hops.any(&|node| node.argument > 255))
            };
            says(difference, "type 10 can not be decoded") && seen.blocks().any(wide)
        },
    },
    Class {
        oracle: "bp7",
        name: "no hops allowed",
        section: "RFC 9171 4.4.3",
        why: "A hop limit of 0. It is 1 at least; bp7 does not look.",
        holds: |seen, difference| {
            refused_as(difference) == Some(DecodeError::HopLimit(0))
                && seen.blocks().any(|block| block.kind == 10)
        },
    },
    Class {
        oracle: "bp7",
        name: "checksum after repair",
        section: "RFC 9171 4.2.1",
        why: "A damaged service number of nobody. bp7 reads it as 0, as RFC 9758 wants it, and then checks what it \
              would write itself, so that it does not see the damage.",
        holds: |seen, difference| {
            let repaired = |eid: &Node| matches!(ipn(eid), [node, service] if node.argument == 0 && service.argument != 0);
            matches!(refused_as(difference), Some(DecodeError::Crc { .. }))
                && seen.eids().iter().any(repaired)
        },
    },
    Class {
        oracle: "bp7",
        name: "checksum of another form",
        section: "RFC 9171 4.2.1",
        why: "bp7 takes the checksum of the block as it would write it. Indefinite lengths, the older spelling of \
              nobody and fields that it does not keep make another one.",
        holds: |seen, difference| {
            let nobody = |eid: &Node| ipn(eid).first().is_some_and(|node| node.argument == 0);
            says(difference, "CRC check failed")
                && (seen.any(&|node| node.indefinite && node.major > 1) || seen.eids().iter().any(nobody))
        },
    },
];
