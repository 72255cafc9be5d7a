//! Endpoint ids of the schemes `dtn` and `ipn`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use crate::cbor::{CborError, Reader, Write, head_len, len64};
use crate::eid_view::EidView;
use crate::identity::NodeId;

/// Longest text of a `dtn` endpoint id after the scheme. RFC 9171 names no limit; a node does.
pub const EID_BYTES_MAX: usize = 1024;

pub(crate) const SCHEME_DTN: u64 = 1;
pub(crate) const SCHEME_IPN: u64 = 2;

/// The endpoint id of somebody or something that bundles go to and come from.
///
/// Both schemes of RFC 9171 are known, `ipn` with the forms of RFC 9758. Cairn's own
/// nodes are called `dtn://<node id>/<service>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Eid {
    /// `dtn:none`, the endpoint without members.
    None,
    /// `dtn://authority/demux`.
    Dtn(DtnEid),
    /// `ipn:node.service` or `ipn:allocator.node.service`.
    Ipn(IpnEid),
}

/// The parts of `dtn://authority/demux`, both checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DtnEid {
    /// `//authority/demux`, as it is encoded.
    text: Box<str>,
    /// Where the slash stands that ends the authority.
    slash: usize,
}

/// The parts of an `ipn` endpoint id.
///
/// Two encodings exist for the same id; the one that was read is kept and written again,
/// because a primary block must not change on the way. Comparison ignores it.
#[derive(Debug, Clone, Copy)]
pub struct IpnEid {
    /// Who gave out the node number; 0 is the default allocator.
    pub allocator: u32,
    /// The node number within its allocator.
    pub node: u32,
    /// The service on that node; 0 is its administrative endpoint.
    pub service: u32,
    three_elements: bool,
}

/// Why some bytes or some text are not an endpoint id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EidError {
    /// Not well-formed CBOR of the right shape.
    #[error("an endpoint id is not well-formed: {0}")]
    Cbor(#[from] CborError),
    /// The scheme is neither `dtn` nor `ipn`.
    #[error("only endpoint ids of the schemes dtn and ipn are known")]
    Scheme,
    /// Text after `dtn:` is neither `none` nor `//authority/demux`.
    #[error("a dtn endpoint id is written dtn:none or dtn://authority/demux")]
    DtnForm,
    /// A character stands in the text that must not be there.
    #[error("a character is not allowed in a dtn endpoint id")]
    DtnCharacter,
    /// The text is longer than [`EID_BYTES_MAX`].
    #[error("the endpoint id is longer than {EID_BYTES_MAX} bytes")]
    TooLong,
    /// An `ipn` id has not two or three numbers.
    #[error("an ipn endpoint id is written ipn:node.service or ipn:allocator.node.service")]
    IpnForm,
    /// An `ipn` number is larger than its field.
    #[error("the numbers of an ipn endpoint id have 32 bits")]
    IpnRange,
}

impl Eid {
    /// The endpoint `dtn://<node id>/<service>` of a Cairn node.
    ///
    /// # Errors
    /// If the service is too long or has characters other than visible ASCII.
    pub fn node(node: &NodeId, service: &str) -> Result<Self, EidError> {
        DtnEid::new(&node.to_string(), service).map(Self::Dtn)
    }

    /// The endpoint `dtn://authority/demux`.
    ///
    /// # Errors
    /// If a part is too long or has characters that RFC 9171 does not allow there.
    pub fn dtn(authority: &str, demux: &str) -> Result<Self, EidError> {
        DtnEid::new(authority, demux).map(Self::Dtn)
    }

    /// The endpoint `ipn:allocator.node.service`, in the encoding that RFC 9758 recommends.
    #[must_use]
    pub const fn ipn(allocator: u32, node: u32, service: u32) -> Self {
        Self::Ipn(IpnEid { allocator, node, service, three_elements: allocator != 0 })
    }

    /// The Cairn node that this endpoint is on, if its authority is a node id.
    #[must_use]
    pub fn node_id(&self) -> Option<NodeId> {
        match self {
            Self::Dtn(eid) => eid.authority().parse().ok(),
            Self::None | Self::Ipn(_) => None,
        }
    }

    /// The part of a `dtn` id after the authority, without its slash.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::Dtn(eid) => Some(eid.demux()),
            Self::None | Self::Ipn(_) => None,
        }
    }

    /// Whether this is the endpoint without members: `dtn:none` or `ipn:0.0`.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        match self {
            Self::None => true,
            Self::Dtn(_) => false,
            Self::Ipn(eid) => eid.is_none(),
        }
    }

    /// Whether at most one node can be a member: a demux starting with `~` names a group.
    #[must_use]
    pub fn is_singleton(&self) -> bool {
        match self {
            Self::None => false,
            Self::Dtn(eid) => !eid.demux().starts_with('~'),
            Self::Ipn(_) => !self.is_none(),
        }
    }

    /// The encoded endpoint id.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Reads one encoded endpoint id that fills the bytes.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, EidError> {
        let mut reader = Reader::new(bytes);
        let eid = Self::read(&mut reader)?;
        reader.end()?;
        Ok(eid)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_array(2);
        match self {
            Self::None => {
                out.put_uint(SCHEME_DTN);
                out.put_uint(0);
            }
            Self::Dtn(eid) => {
                out.put_uint(SCHEME_DTN);
                out.put_text(&eid.text);
            }
            Self::Ipn(eid) => {
                out.put_uint(SCHEME_IPN);
                eid.write(out);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, EidError> {
        EidView::read(reader).map(|view| view.to_eid())
    }

    pub(crate) fn view(&self) -> EidView<'_> {
        match self {
            Self::None => EidView::NONE,
            Self::Dtn(eid) => EidView::dtn(&eid.text, eid.slash),
            Self::Ipn(eid) => EidView::ipn(*eid),
        }
    }

    /// How many bytes [`Eid::write`] writes.
    pub(crate) fn encoded_len(&self) -> usize {
        match self {
            Self::None => 3,
            Self::Dtn(eid) => 2 + head_len(len64(eid.text.len())) + eid.text.len(),
            Self::Ipn(eid) => 2 + eid.encoded_len(),
        }
    }
}

impl fmt::Display for Eid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("dtn:none"),
            Self::Dtn(eid) => write!(f, "dtn:{eid}"),
            Self::Ipn(eid) => write!(f, "ipn:{eid}"),
        }
    }
}

impl FromStr for Eid {
    type Err = EidError;

    fn from_str(text: &str) -> Result<Self, EidError> {
        match text.split_once(':') {
            Some(("dtn", "none")) => Ok(Self::None),
            Some(("dtn", rest)) => DtnEid::from_hier(rest).map(Self::Dtn),
            Some(("ipn", rest)) => rest.parse().map(Self::Ipn),
            _ => Err(EidError::Scheme),
        }
    }
}

impl DtnEid {
    fn new(authority: &str, demux: &str) -> Result<Self, EidError> {
        let text = format!("//{authority}/{demux}");
        let slash = slash_in(text.as_bytes())?;
        // A slash in the authority would begin the demux.
        let whole = slash == "//".len() + authority.len();
        if whole { Ok(Self::from_checked(text.into(), slash)) } else { Err(EidError::DtnCharacter) }
    }

    fn from_hier(text: &str) -> Result<Self, EidError> {
        slash_in(text.as_bytes()).map(|slash| Self::from_checked(text.into(), slash))
    }

    /// The text and the place of its slash as [`slash_in`] found it.
    pub(crate) const fn from_checked(text: Box<str>, slash: usize) -> Self {
        Self { text, slash }
    }

    /// The name between the two slashes and the next one.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.text.get("//".len()..self.slash).unwrap_or_default()
    }

    /// What follows after the authority and its slash.
    #[must_use]
    pub fn demux(&self) -> &str {
        self.text.get(self.slash + 1..).unwrap_or_default()
    }
}

/// By authority, then by demux.
impl Ord for DtnEid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.authority().cmp(other.authority()).then_with(|| self.demux().cmp(other.demux()))
    }
}

impl PartialOrd for DtnEid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for DtnEid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Checks `//authority/demux` and finds the slash that ends the authority.
pub(crate) fn slash_in(text: &[u8]) -> Result<usize, EidError> {
    let [b'/', b'/', rest @ ..] = text else { return Err(EidError::DtnForm) };
    let authority = reg_name_len(rest);
    let Some((b'/', demux)) = rest.get(authority..).and_then(<[u8]>::split_first) else {
        // A character that does not belong there comes first. Is there a slash at all?
        return Err(if rest.contains(&b'/') { EidError::DtnCharacter } else { EidError::DtnForm });
    };
    if authority == 0 {
        return Err(EidError::DtnForm);
    }
    if text.len() > EID_BYTES_MAX {
        return Err(EidError::TooLong);
    }
    // Without an early end the compiler looks at many bytes at once.
    let visible = demux.iter().fold(true, |visible, byte| visible & byte.is_ascii_graphic());
    if visible { Ok("//".len() + authority) } else { Err(EidError::DtnCharacter) }
}

/// How many bytes at the front are a `reg-name` of RFC 3986: unreserved, sub-delims, and whole
/// percent escapes.
fn reg_name_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        at += rest.iter().position(|byte| !is_plain(*byte)).unwrap_or(rest.len());
        match bytes.get(at..at + 3) {
            Some([b'%', high, low]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => at += 3,
            _ => return at,
        }
    }
}

/// Whether a byte stands for itself in a `reg-name`.
#[inline]
fn is_plain(byte: u8) -> bool {
    PLAIN.get(usize::from(byte)).copied().unwrap_or_default()
}

static PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    let mut left: &mut [bool] = &mut table;
    while let Some((first, others)) = left.split_first_mut() {
        *first = stands_for_itself(byte);
        byte = byte.wrapping_add(1);
        left = others;
    }
    table
};

const fn stands_for_itself(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&')
        || matches!(byte, b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

impl IpnEid {
    const fn key(&self) -> (u32, u32, u32) {
        (self.allocator, self.node, self.service)
    }

    pub(crate) const fn is_none(self) -> bool {
        self.allocator == 0 && self.node == 0
    }

    fn encoded_len(self) -> usize {
        let (allocator, node) = (u64::from(self.allocator), u64::from(self.node));
        let name = if self.three_elements {
            head_len(allocator) + head_len(node)
        } else {
            head_len((allocator << 32) | node)
        };
        1 + name + head_len(self.service.into())
    }

    fn write(&self, out: &mut Vec<u8>) {
        if self.three_elements {
            out.put_array(3);
            out.put_uint(self.allocator.into());
            out.put_uint(self.node.into());
        } else {
            out.put_array(2);
            out.put_uint((u64::from(self.allocator) << 32) | u64::from(self.node));
        }
        out.put_uint(self.service.into());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, EidError> {
        let mut elements = reader.array()?;
        let mut numbers = [0_u64; 3];
        let mut count = 0;
        while elements.more(reader) {
            *numbers.get_mut(count).ok_or(EidError::IpnForm)? = reader.uint()?;
            count += 1;
        }
        match (numbers, count) {
            ([qualified, service, _], 2) => {
                Ok(Self { service: narrow(service)?, ..Self::from_qualified(qualified)? })
            }
            ([allocator, node, service], 3) => Ok(Self {
                allocator: narrow(allocator)?,
                node: narrow(node)?,
                service: narrow(service)?,
                three_elements: true,
            }),
            _ => Err(EidError::IpnForm),
        }
    }

    /// Splits a fully qualified node number: the allocator is its upper half (RFC 9758).
    fn from_qualified(qualified: u64) -> Result<Self, EidError> {
        Ok(Self {
            allocator: narrow(qualified >> 32)?,
            node: narrow(qualified & 0xffff_ffff)?,
            service: 0,
            three_elements: false,
        })
    }
}

fn narrow(number: u64) -> Result<u32, EidError> {
    u32::try_from(number).map_err(|_| EidError::IpnRange)
}

impl fmt::Display for IpnEid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.allocator, self.node) {
            (0, u32::MAX) => write!(f, "!.{}", self.service),
            (0, node) => write!(f, "{node}.{}", self.service),
            (allocator, node) => write!(f, "{allocator}.{node}.{}", self.service),
        }
    }
}

impl FromStr for IpnEid {
    type Err = EidError;

    fn from_str(text: &str) -> Result<Self, EidError> {
        let mut parts = text.split('.');
        let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
        let number = |text: &str| -> Result<u64, EidError> {
            let canonical = text == "0" || !text.starts_with(['0', '+']);
            if canonical { text.parse().map_err(|_| EidError::IpnForm) } else { Err(EidError::IpnForm) }
        };
        match parts {
            [Some("!"), Some(service), None, None] => Ok(Self {
                allocator: 0,
                node: u32::MAX,
                service: narrow(number(service)?)?,
                three_elements: false,
            }),
            [Some(node), Some(service), None, None] => {
                let (node, service) = (narrow(number(node)?)?, narrow(number(service)?)?);
                Ok(Self { allocator: 0, node, service, three_elements: false })
            }
            [Some(allocator), Some(node), Some(service), None] => {
                let (allocator, node) = (narrow(number(allocator)?)?, narrow(number(node)?)?);
                let service = narrow(number(service)?)?;
                Ok(Self { allocator, node, service, three_elements: allocator != 0 })
            }
            _ => Err(EidError::IpnForm),
        }
    }
}

impl PartialEq for IpnEid {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for IpnEid {}

impl PartialOrd for IpnEid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for IpnEid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Hash for IpnEid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use alloc::format;

    #[test]
    fn a_node_endpoint_names_its_node_and_service() {
        let node = Identity::from_seed(&[3; 32]).node_id();
        let eid = Eid::node(&node, "ledger").unwrap();
        assert_eq!(eid.to_string(), format!("dtn://{node}/ledger"));
        assert_eq!(eid.node_id(), Some(node));
        assert_eq!(eid.service(), Some("ledger"));
        assert!(eid.is_singleton());
        assert_eq!(eid.to_string().parse(), Ok(eid));
    }

    #[test]
    fn text_and_bytes_go_there_and_back() {
        let texts = [
            "dtn:none",
            "dtn://relief/~alerts",
            "dtn://a/",
            "dtn://a%20b/c/d",
            "ipn:0.0",
            "ipn:7.1",
            "ipn:!.5",
            "ipn:977000.100.1",
            "ipn:4294967295.4294967295.4294967295",
        ];
        for text in texts {
            let eid: Eid = text.parse().unwrap();
            assert_eq!(eid.to_string(), text);
            assert_eq!(Eid::decode(&eid.encode()), Ok(eid));
        }
    }

    #[test]
    fn both_encodings_of_an_ipn_id_are_equal_and_each_is_kept() {
        let two = [0x82, 2, 0x82, 0x1b, 0, 0, 0, 5, 0, 0, 0, 6, 7];
        let three = [0x82, 2, 0x83, 5, 6, 7];
        let zero = [0x82, 2, 0x83, 0, 6, 7];
        assert_eq!(Eid::decode(&two), Eid::decode(&three));
        for bytes in [&two[..], &three, &zero] {
            assert_eq!(Eid::decode(bytes).unwrap().encode(), bytes);
        }
        assert_eq!(Eid::decode(&zero), Ok(Eid::ipn(0, 6, 7)));
    }

    #[test]
    fn what_is_no_endpoint_id_is_refused_with_the_reason() {
        let wrong = [
            ("http://a/", EidError::Scheme),
            ("dtn", EidError::Scheme),
            ("dtn://a", EidError::DtnForm),
            ("dtn:///b", EidError::DtnForm),
            ("dtn:some", EidError::DtnForm),
            ("dtn://a b/c", EidError::DtnCharacter),
            ("dtn://a%2/c", EidError::DtnCharacter),
            ("dtn://a/b c", EidError::DtnCharacter),
            ("dtn://a/ä", EidError::DtnCharacter),
            ("ipn:1", EidError::IpnForm),
            ("ipn:1.2.3.4", EidError::IpnForm),
            ("ipn:01.2", EidError::IpnForm),
            ("ipn:+1.2", EidError::IpnForm),
            ("ipn:-1.2", EidError::IpnForm),
            ("ipn:4294967296.1", EidError::IpnRange),
        ];
        for (text, error) in wrong {
            assert_eq!(text.parse::<Eid>(), Err(error), "{text}");
        }
        let bytes: [(&[u8], EidError); 6] = [
            (&[0x82, 3, 0], EidError::Scheme),
            (&[0x82, 1, 1], EidError::DtnForm),
            (&[0x82, 2, 0x81, 1], EidError::IpnForm),
            (&[0x82, 2, 0x84, 1, 1, 1, 1], EidError::IpnForm),
            (&[0x83, 1, 0, 0], EidError::Cbor(CborError::Count)),
            (&[0x82, 1, 0, 0], EidError::Cbor(CborError::Trailing)),
        ];
        for (bytes, error) in bytes {
            assert_eq!(Eid::decode(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn the_longest_endpoint_id_is_taken_and_one_byte_more_is_not() {
        let demux = "x".repeat(EID_BYTES_MAX - 4);
        assert!(Eid::dtn("a", &demux).is_ok());
        assert_eq!(Eid::dtn("ab", &demux), Err(EidError::TooLong));
    }
}
