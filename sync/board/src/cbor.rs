//! The deterministic CBOR form of what stands on a board: positional arrays of definite length.

use cairn_bundle::{Digest, NodeId};
use minicbor::data::Type;
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::job::{
    BlobRef, Bounds, Class, Engine, Items, Job, Postprocess, Preprocess, RUNGS_MAX, Rung, Verify,
};

/// Encodes into a vector, which cannot fail.
pub(crate) fn to_vec<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to a vector does not fail, and no encoder here refuses a value")
}

/// Decodes the whole input, and only if encoding again gives the same bytes:
/// that one comparison refuses long integers, indefinite lengths and trailing bytes.
pub(crate) fn from_slice<T: for<'b> Decode<'b, ()> + Encode<()>>(bytes: &[u8]) -> Option<T> {
    let value: T = minicbor::decode(bytes).ok()?;
    (to_vec(&value) == bytes).then_some(value)
}

/// Reads the head of an array that must have exactly `len` elements.
pub(crate) fn array(d: &mut Decoder<'_>, len: u64) -> Result<(), DecodeError> {
    if d.array()? == Some(len) { Ok(()) } else { Err(DecodeError::message("array of another length")) }
}

/// Reads the head of an array of at most `max` elements.
pub(crate) fn array_up_to(d: &mut Decoder<'_>, max: usize) -> Result<usize, DecodeError> {
    let len = d.array()?.and_then(|len| usize::try_from(len).ok());
    len.filter(|len| *len <= max).ok_or_else(|| DecodeError::message("array too long or indefinite"))
}

/// Reads a byte string of exactly `N` bytes.
pub(crate) fn fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], DecodeError> {
    <[u8; N]>::try_from(d.bytes()?).map_err(|_| DecodeError::message("byte string of another length"))
}

/// Reads a digest.
pub(crate) fn digest(d: &mut Decoder<'_>) -> Result<Digest, DecodeError> {
    fixed(d).map(Digest)
}

/// Reads a node id.
pub(crate) fn node(d: &mut Decoder<'_>) -> Result<NodeId, DecodeError> {
    NodeId::from_bytes(fixed(d)?).map_err(|_| DecodeError::message("not a node id"))
}

/// Defines both directions of an enum that is written as a bare number.
macro_rules! number_enum {
    ($type:ty { $($number:literal => $variant:ident),* }) => {
        impl<C> Encode<C> for $type {
            fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
                e.u8(match self { $(Self::$variant => $number),* })?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $type {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
                match d.u8()? {
                    $($number => Ok(Self::$variant),)*
                    other => Err(DecodeError::unknown_variant(i64::from(other))),
                }
            }
        }
    };
}

number_enum!(Engine { 0 => Wasm, 1 => Onnx });
number_enum!(Items { 0 => Whole, 1 => Idx });
number_enum!(Postprocess { 0 => None, 1 => ArgmaxLines });

impl<C> Encode<C> for BlobRef {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(2)?.bytes(self.id.as_bytes())?.u64(self.bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for BlobRef {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        array(d, 2)?;
        Ok(Self { id: digest(d)?, bytes: d.u64()? })
    }
}

impl<C> Encode<C> for Bounds {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(4)?.u64(self.fuel)?.u64(self.memory_bytes)?.u64(self.wall_ms)?.u64(self.output_bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Bounds {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        array(d, 4)?;
        Ok(Self { fuel: d.u64()?, memory_bytes: d.u64()?, wall_ms: d.u64()?, output_bytes: d.u64()? })
    }
}

/// Writes a variant as `[number]` or `[number, argument]`.
fn variant<W: Write>(
    e: &mut Encoder<W>,
    number: u8,
    argument: Option<u32>,
) -> Result<(), EncodeError<W::Error>> {
    match argument {
        None => e.array(1)?.u8(number)?.ok(),
        Some(argument) => e.array(2)?.u8(number)?.u32(argument)?.ok(),
    }
}

/// Reads a variant as written by [`variant`].
fn read_variant(d: &mut Decoder<'_>) -> Result<(u8, Option<u32>), DecodeError> {
    let len = array_up_to(d, 2)?;
    let number = d.u8()?;
    let argument = if len == 2 { Some(d.u32()?) } else { None };
    Ok((number, argument))
}

impl<C> Encode<C> for Preprocess {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        match self {
            Self::None => variant(e, 0, None),
            Self::IdxToF32 { scale_ppm } => variant(e, 1, Some(*scale_ppm)),
        }
    }
}

impl<'b, C> Decode<'b, C> for Preprocess {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        match read_variant(d)? {
            (0, None) => Ok(Self::None),
            (1, Some(scale_ppm)) => Ok(Self::IdxToF32 { scale_ppm }),
            (other, _) => Err(DecodeError::unknown_variant(i64::from(other))),
        }
    }
}

impl<C> Encode<C> for Class {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        match self {
            Self::Exact => variant(e, 0, None),
            Self::Tolerance { eps_ppm } => variant(e, 1, Some(*eps_ppm)),
            Self::Vote => variant(e, 2, None),
            Self::None => variant(e, 3, None),
        }
    }
}

impl<'b, C> Decode<'b, C> for Class {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        match read_variant(d)? {
            (0, None) => Ok(Self::Exact),
            (1, Some(eps_ppm)) => Ok(Self::Tolerance { eps_ppm }),
            (2, None) => Ok(Self::Vote),
            (3, None) => Ok(Self::None),
            (other, _) => Err(DecodeError::unknown_variant(i64::from(other))),
        }
    }
}

impl<C> Encode<C> for Verify {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        match self {
            Self::Trust => variant(e, 0, None),
            Self::Spot { items } => variant(e, 1, Some(*items)),
        }
    }
}

impl<'b, C> Decode<'b, C> for Verify {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        match read_variant(d)? {
            (0, None) => Ok(Self::Trust),
            (1, Some(items)) => Ok(Self::Spot { items }),
            (other, _) => Err(DecodeError::unknown_variant(i64::from(other))),
        }
    }
}

impl<C> Encode<C> for Rung {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(8)?.str(&self.name)?;
        self.engine.encode(e, ctx)?;
        self.module.encode(e, ctx)?;
        e.u32(self.quality_ppm)?.u64(self.price)?;
        self.bounds.encode(e, ctx)?;
        self.pre.encode(e, ctx)?;
        self.post.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Rung {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, DecodeError> {
        array(d, 8)?;
        Ok(Self {
            name: d.str()?.to_owned(),
            engine: d.decode_with(ctx)?,
            module: d.decode_with(ctx)?,
            quality_ppm: d.u32()?,
            price: d.u64()?,
            bounds: d.decode_with(ctx)?,
            pre: d.decode_with(ctx)?,
            post: d.decode_with(ctx)?,
        })
    }
}

impl<C> Encode<C> for Job {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(10)?.str(&self.title)?.bytes(self.payer.as_bytes())?.bytes(&self.nonce)?;
        self.input.encode(e, ctx)?;
        self.items.encode(e, ctx)?;
        e.array(len(&self.rungs))?;
        for rung in &self.rungs {
            rung.encode(e, ctx)?;
        }
        self.class.encode(e, ctx)?;
        self.verify.encode(e, ctx)?;
        e.u64(self.fee)?;
        match self.useful_until {
            None => e.null()?.ok(),
            Some(time) => e.u64(time)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Job {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, DecodeError> {
        array(d, 10)?;
        Ok(Self {
            title: d.str()?.to_owned(),
            payer: node(d)?,
            nonce: fixed(d)?,
            input: d.decode_with(ctx)?,
            items: d.decode_with(ctx)?,
            rungs: {
                // One more than allowed is read, so that the check of the job can say what is wrong.
                let len = array_up_to(d, RUNGS_MAX + 1)?;
                (0..len).map(|_| d.decode_with(ctx)).collect::<Result<_, _>>()?
            },
            class: d.decode_with(ctx)?,
            verify: d.decode_with(ctx)?,
            fee: d.u64()?,
            useful_until: if d.datatype()? == Type::Null {
                d.null()?;
                None
            } else {
                Some(d.u64()?)
            },
        })
    }
}

/// The length of a slice as CBOR counts it.
pub(crate) fn len<T>(slice: &[T]) -> u64 {
    u64::try_from(slice.len()).expect("no slice is longer than 64 bits can count")
}
