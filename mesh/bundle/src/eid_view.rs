//! Endpoint ids as they lie in the bytes of a bundle.

use core::fmt;

use crate::cbor::{CborError, Reader};
use crate::eid::{DtnEid, Eid, EidError, IpnEid, SCHEME_DTN, SCHEME_IPN, slash_in};
use crate::identity::NodeId;

/// An endpoint id that was read and checked, and still lies in the bytes of its bundle.
///
/// It says the same as the [`Eid`] that [`EidView::to_eid`] makes of it.
#[derive(Debug, Clone, Copy)]
pub struct EidView<'a>(Form<'a>);

#[derive(Debug, Clone, Copy)]
enum Form<'a> {
    None,
    /// `//authority/demux`, and where the slash between them stands.
    Dtn(&'a [u8], usize),
    /// The encoded text of a `dtn` id that came in pieces. It was checked when it was read.
    Pieces(&'a [u8]),
    Ipn(IpnEid),
}

impl<'a> EidView<'a> {
    pub(crate) const NONE: Self = Self(Form::None);

    pub(crate) const fn dtn(text: &'a str, slash: usize) -> Self {
        Self(Form::Dtn(text.as_bytes(), slash))
    }

    pub(crate) const fn ipn(eid: IpnEid) -> Self {
        Self(Form::Ipn(eid))
    }

    /// The endpoint id as a value of its own.
    #[must_use]
    pub fn to_eid(&self) -> Eid {
        match self.0 {
            Form::None => Eid::None,
            Form::Dtn(text, slash) => Eid::Dtn(DtnEid::from_checked(ascii(text).into(), slash)),
            Form::Pieces(bytes) => pieces(bytes),
            Form::Ipn(eid) => Eid::Ipn(eid),
        }
    }

    /// Whether this is the endpoint without members, as [`Eid::is_none`] says.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        match self.0 {
            Form::None => true,
            Form::Dtn(..) | Form::Pieces(_) => false,
            Form::Ipn(eid) => eid.is_none(),
        }
    }

    /// Whether at most one node can be a member, as [`Eid::is_singleton`] says.
    #[must_use]
    pub fn is_singleton(&self) -> bool {
        match self.0 {
            Form::None => false,
            Form::Dtn(text, slash) => !text.get(slash..).unwrap_or_default().starts_with(b"/~"),
            Form::Pieces(bytes) => pieces(bytes).is_singleton(),
            Form::Ipn(eid) => !eid.is_none(),
        }
    }

    /// The Cairn node that this endpoint is on, if its authority is a node id.
    #[must_use]
    pub fn node_id(&self) -> Option<NodeId> {
        match self.0 {
            Form::Dtn(text, slash) => ascii(text.get("//".len()..slash)?).parse().ok(),
            Form::Pieces(bytes) => pieces(bytes).node_id(),
            Form::None | Form::Ipn(_) => None,
        }
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, EidError> {
        let mut elements = reader.array()?;
        elements.next(reader)?;
        let scheme = reader.uint()?;
        elements.next(reader)?;
        let eid = match scheme {
            SCHEME_DTN => Self::read_dtn(reader)?,
            SCHEME_IPN => Self(Form::Ipn(IpnEid::read(reader)?)),
            _ => return Err(EidError::Scheme),
        };
        elements.finish(reader)?;
        Ok(eid)
    }

    fn read_dtn(reader: &mut Reader<'a>) -> Result<Self, EidError> {
        if reader.at_uint() {
            return if reader.uint()? == 0 { Ok(Self::NONE) } else { Err(EidError::DtnForm) };
        }
        let start = reader.position();
        if let Some(text) = reader.text_in_one()? {
            return match slash_in(text) {
                Ok(slash) => Ok(Self(Form::Dtn(text, slash))),
                // What may stand in an id is ASCII, so only what may not has to be looked at as text.
                Err(_) if core::str::from_utf8(text).is_err() => Err(CborError::Utf8.into()),
                Err(error) => Err(error),
            };
        }
        slash_in(reader.text()?.as_bytes())?;
        Ok(Self(Form::Pieces(reader.since(start))))
    }
}

/// A text that was checked to be ASCII, so the fallback is never reached.
fn ascii(text: &[u8]) -> &str {
    core::str::from_utf8(text).unwrap_or_default()
}

/// Puts a text in pieces together; it was checked, so the fallback is never reached.
fn pieces(bytes: &[u8]) -> Eid {
    let text = Reader::new(bytes).text().unwrap_or_default();
    let slash = slash_in(text.as_bytes()).unwrap_or_default();
    Eid::Dtn(DtnEid::from_checked(text.into(), slash))
}

impl PartialEq for EidView<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self.0, other.0) {
            (Form::None, Form::None) => true,
            (Form::Dtn(one, _), Form::Dtn(two, _)) => one == two,
            (Form::Ipn(one), Form::Ipn(two)) => one == two,
            (Form::Pieces(_), _) | (_, Form::Pieces(_)) => self.to_eid() == other.to_eid(),
            (Form::None | Form::Dtn(..) | Form::Ipn(_), _) => false,
        }
    }
}

impl Eq for EidView<'_> {}

impl PartialEq<Eid> for EidView<'_> {
    fn eq(&self, other: &Eid) -> bool {
        *self == other.view()
    }
}

impl PartialEq<EidView<'_>> for Eid {
    fn eq(&self, other: &EidView<'_>) -> bool {
        self.view() == *other
    }
}

impl fmt::Display for EidView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Form::None => f.write_str("dtn:none"),
            Form::Dtn(text, _) => write!(f, "dtn:{}", ascii(text)),
            Form::Pieces(bytes) => pieces(bytes).fmt(f),
            Form::Ipn(eid) => write!(f, "ipn:{eid}"),
        }
    }
}
