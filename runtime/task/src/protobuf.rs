//! A walk through the bytes of an ONNX model before any library sees them.
//!
//! It answers two questions: is this shaped like an ONNX model at all, and does
//! any tensor in it keep its data in another file? Everything that the walk does
//! not know is skipped by its length.

use crate::TaskError;

/// How deep graphs may stand inside each other.
const DEPTH_MAX: u32 = 32;

/// The messages of `onnx.proto` that a tensor can stand in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
}

impl Message {
    /// The message in a field of this message, by the field's number in `onnx.proto`.
    const fn child(self, field: u64) -> Option<Self> {
        Some(match (self, field) {
            (Self::Model, 7) | (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => Self::Tensor,
            _ => return None,
        })
    }
}

const TENSOR_EXTERNAL_DATA: u64 = 13;
const TENSOR_DATA_LOCATION: u64 = 14;

/// Checks that these bytes are shaped like an ONNX model with all its data inside.
///
/// # Errors
/// [`TaskError::NotOnnx`] or [`TaskError::ExternalData`].
pub(crate) fn check_model(bytes: &[u8]) -> Result<(), TaskError> {
    let mut graphs = 0_u32;
    walk(Message::Model, bytes, 0, &mut graphs)?;
    if graphs == 0 { Err(not_onnx("there is no graph in it")) } else { Ok(()) }
}

fn not_onnx(why: &str) -> TaskError {
    TaskError::NotOnnx(why.to_owned())
}

fn walk(message: Message, bytes: &[u8], depth: u32, graphs: &mut u32) -> Result<(), TaskError> {
    if depth > DEPTH_MAX {
        return Err(not_onnx("graphs stand too deep inside each other"));
    }
    let mut fields = Fields(bytes);
    while let Some((field, value)) = fields.next()? {
        if message == Message::Tensor
            && (field == TENSOR_EXTERNAL_DATA || (field == TENSOR_DATA_LOCATION && value != Value::Number(0)))
        {
            return Err(TaskError::ExternalData);
        }
        let Some(child) = message.child(field) else { continue };
        let Value::Bytes(inner) = value else {
            return Err(not_onnx("a message has the form of a number"));
        };
        *graphs = graphs.saturating_add(u32::from(child == Message::Graph));
        walk(child, inner, depth.saturating_add(1), graphs)?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The fields of one message, front to back.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, TaskError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.number()?;
        if key > u64::from(u32::MAX) {
            return Err(not_onnx("a field has an impossible number"));
        }
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => {
                self.take(8)?;
                Value::Fixed
            }
            2 => {
                let len = self.number()?;
                Value::Bytes(self.take(len)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed
            }
            _ => return Err(not_onnx("a field has an unknown form")),
        };
        Ok(Some((key >> 3, value)))
    }

    fn number(&mut self) -> Result<u64, TaskError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or_else(|| not_onnx("it is cut off"))?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(not_onnx("a number is too long"))
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], TaskError> {
        let (taken, rest) = usize::try_from(len)
            .ok()
            .and_then(|len| self.0.split_at_checked(len))
            .ok_or_else(|| not_onnx("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &[u8] = include_bytes!("../../../examples/digits/small.onnx");

    fn field(number: u8, inner: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut len = inner.len();
        while len >= 0x80 {
            bytes.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
            len >>= 7;
        }
        bytes.push(u8::try_from(len).unwrap());
        bytes.extend_from_slice(inner);
        bytes
    }

    #[test]
    fn a_real_model_passes_and_any_truncation_inside_its_graph_fails() {
        assert_eq!(check_model(SMALL), Ok(()));
        for len in 0..SMALL.len() - 64 {
            assert!(matches!(check_model(&SMALL[..len]), Err(TaskError::NotOnnx(_))), "{len}");
        }
    }

    #[test]
    fn external_data_is_found_wherever_a_tensor_can_stand() {
        for tensor in [field(13, b"\x0a\x08location"), vec![14 << 3, 1], vec![14 << 3, 0x81, 0x00]] {
            let initializer = field(7, &field(5, &tensor));
            let in_attribute = field(7, &field(1, &field(5, &field(5, &tensor))));
            let in_branch = field(7, &field(1, &field(5, &field(6, &field(5, &tensor)))));
            let sparse = field(7, &field(15, &field(1, &tensor)));
            for model in [initializer, in_attribute, in_branch, sparse] {
                assert_eq!(check_model(&model), Err(TaskError::ExternalData));
            }
        }
        assert_eq!(check_model(&field(7, &field(5, &[14 << 3, 0]))), Ok(()));
    }

    #[test]
    fn endless_nesting_and_junk_are_refused() {
        let mut graph = Vec::new();
        for _ in 0..40 {
            graph = field(1, &field(5, &field(6, &graph)));
        }
        for junk in [field(7, &graph), b"this is a text, not a model".to_vec(), vec![], vec![0xff; 40]] {
            assert!(matches!(check_model(&junk), Err(TaskError::NotOnnx(_))));
        }
    }
}
