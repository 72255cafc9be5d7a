//! What three implementations make of the same bytes, in one form that can be compared.

use std::collections::BTreeMap;

use bp7::canonical::CanonicalData;
use cairn_bundle::{Bundle, DecodeError, Eid, Limits};
use hardy_bpv7::bundle::ParsedBundle;

/// What a bundle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) report_to: String,
    pub(crate) created: (u64, u64),
    pub(crate) lifetime_ms: u64,
    pub(crate) flags: u64,
    pub(crate) fragment: Option<(u64, u64)>,
    pub(crate) previous_node: Option<String>,
    pub(crate) age_ms: Option<u64>,
    pub(crate) hops: Option<(u64, u64)>,
    /// Type, flags and contents by number, without the blocks that ask to be removed by those who
    /// do not know them: implementations do that at different times.
    /// Previous node, age and hop count are compared by what they say, because bp7 keeps no more of them.
    pub(crate) blocks: BTreeMap<u64, (u64, u64, Vec<u8>)>,
}

impl Meaning {
    /// The same with the escapes in all names resolved.
    pub(crate) fn unescaped(&self) -> Self {
        Self {
            source: unescape(&self.source),
            destination: unescape(&self.destination),
            report_to: unescape(&self.report_to),
            previous_node: self.previous_node.as_deref().map(unescape),
            ..self.clone()
        }
    }

    /// The names of the fields that differ.
    pub(crate) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let fields = [
            ("source", self.source != other.source),
            ("destination", self.destination != other.destination),
            ("report-to", self.report_to != other.report_to),
            ("creation time", self.created != other.created),
            ("lifetime", self.lifetime_ms != other.lifetime_ms),
            ("flags", self.flags != other.flags),
            ("fragment", self.fragment != other.fragment),
            ("previous node", self.previous_node != other.previous_node),
            ("age", self.age_ms != other.age_ms),
            ("hops", self.hops != other.hops),
            ("blocks", self.blocks != other.blocks),
        ];
        fields.iter().filter(|field| field.1).map(|field| field.0).collect()
    }
}

fn unescape(name: &str) -> String {
    let mut parts = name.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                out.push(code.into());
                out.push_str(part.get(2..).unwrap_or_default());
            }
            None => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    out
}

const NOBODY: &str = "nobody";

/// The contents as far as they are compared.
fn contents(kind: u64, data: &[u8]) -> Vec<u8> {
    if matches!(kind, 6 | 7 | 10) { Vec::new() } else { data.to_vec() }
}

fn goes_on(kind: u64, flags: u64) -> bool {
    matches!(kind, 1 | 6 | 7 | 10 | 11 | 12) || flags & 0x10 == 0
}

pub(crate) fn ours(bytes: &[u8]) -> Result<Meaning, DecodeError> {
    let bundle = Bundle::decode(bytes, &Limits::default())?;
    let primary = bundle.primary();
    let name = |eid: &Eid| if eid.is_none() { NOBODY.into() } else { eid.to_string() };
    let blocks = bundle.blocks().iter().filter(|block| goes_on(block.kind.code(), block.flags.0));
    Ok(Meaning {
        source: name(bundle.source()),
        destination: name(bundle.destination()),
        report_to: name(&primary.report_to),
        created: (primary.created.time_ms, primary.created.seq),
        lifetime_ms: primary.lifetime_ms,
        flags: primary.flags.0,
        fragment: primary.fragment.map(|fragment| (fragment.offset, fragment.total_bytes)),
        previous_node: bundle.previous_node().map(name),
        age_ms: bundle.age_ms(),
        hops: bundle.hop_count().map(|hops| (hops.limit.into(), hops.count)),
        blocks: blocks
            .map(|block| {
                (block.number, (block.kind.code(), block.flags.0, contents(block.kind.code(), &block.data)))
            })
            .collect(),
    })
}

pub(crate) fn hardy(bytes: &[u8]) -> Result<Meaning, String> {
    let parsed = ParsedBundle::parse(bytes, hardy_bpv7::bpsec::no_keys).map_err(|error| error.to_string())?;
    let bundle = parsed.bundle;
    let name = |eid: &hardy_bpv7::eid::Eid| match eid {
        hardy_bpv7::eid::Eid::Null => NOBODY.into(),
        eid => eid.to_string(),
    };
    let millis = |time: core::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let time = bundle.id.timestamp.creation_time().map_or(0, |time| time.millisecs());
    let blocks = bundle.blocks.iter().filter(|(number, _)| **number != 0).map(|(number, block)| {
        let data = bytes.get(block.payload_range()).unwrap_or_default();
        let kind = u64::from(block.block_type);
        (*number, (kind, u64::from(&block.flags), contents(kind, data)))
    });
    Ok(Meaning {
        source: name(&bundle.id.source),
        destination: name(&bundle.destination),
        report_to: name(&bundle.report_to),
        created: (time, bundle.id.timestamp.sequence_number()),
        lifetime_ms: millis(bundle.lifetime),
        flags: u64::from(&bundle.flags),
        fragment: bundle.id.fragment_info.map(|fragment| (fragment.offset, fragment.total_adu_length)),
        previous_node: bundle.previous_node.as_ref().map(name),
        age_ms: bundle.age.map(millis),
        hops: bundle.hop_count.map(|hops| (hops.limit, hops.count)),
        blocks: blocks.filter(|(_, (kind, flags, _))| goes_on(*kind, *flags)).collect(),
    })
}

pub(crate) fn bp7(bytes: &[u8]) -> Result<Meaning, String> {
    let bundle = bp7::Bundle::try_from(bytes).map_err(|error| error.to_string())?;
    bundle.validate().map_err(|errors| format!("{errors:?}"))?;
    let name = |eid: &bp7::EndpointID| match eid {
        bp7::EndpointID::DtnNone(..) => NOBODY.into(),
        bp7::EndpointID::Ipn(_, address) if address.node_number() == 0 => NOBODY.into(),
        eid => eid.to_string(),
    };
    let primary = &bundle.primary;
    let fragment = primary.has_fragmentation();
    let mut meaning = Meaning {
        source: name(&primary.source),
        destination: name(&primary.destination),
        report_to: name(&primary.report_to),
        created: (primary.creation_timestamp.dtntime(), primary.creation_timestamp.seqno()),
        lifetime_ms: u64::try_from(primary.lifetime.as_millis()).unwrap_or(u64::MAX),
        flags: primary.bundle_control_flags,
        fragment: fragment.then_some((primary.fragmentation_offset, primary.total_data_length)),
        previous_node: bundle.previous_node().map(name),
        age_ms: None,
        hops: None,
        blocks: BTreeMap::new(),
    };
    for block in &bundle.canonicals {
        let data = match block.data() {
            CanonicalData::Data(data) | CanonicalData::Unknown(data) => data.clone(),
            CanonicalData::BundleAge(age_ms) => {
                meaning.age_ms = Some(*age_ms);
                Vec::new()
            }
            CanonicalData::HopCount(limit, count) => {
                meaning.hops = Some((u64::from(*limit), u64::from(*count)));
                Vec::new()
            }
            CanonicalData::PreviousNode(_) | CanonicalData::DecodingError => Vec::new(),
        };
        let data = contents(block.block_type, &data);
        let flags = u64::from(block.block_control_flags);
        if goes_on(block.block_type, flags) {
            meaning.blocks.insert(block.block_number, (block.block_type, flags, data));
        }
    }
    Ok(meaning)
}
