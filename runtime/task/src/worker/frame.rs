//! What parent and worker say to each other: a short CBOR head with its length in
//! front, then the large parts as they are.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use cairn_board::{Bounds, Engine, Postprocess, Preprocess};
use minicbor::{Decoder, Encoder};

use crate::TaskError;

/// Longest head: a path and a few numbers, or an error's text.
const HEAD_BYTES_MAX: u32 = 16 << 10;

type DecodeResult<T> = Result<T, minicbor::decode::Error>;

/// One task, as the worker gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) engine: Engine,
    pub(super) bounds: Bounds,
    pub(super) pre: Preprocess,
    pub(super) post: Postprocess,
    pub(super) library: Option<PathBuf>,
    pub(super) module: Vec<u8>,
    pub(super) input: Vec<u8>,
}

/// What the worker answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) output: Vec<u8>,
    pub(super) fuel: u64,
    pub(super) engine: String,
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a message between a node and its worker")
}

fn write_head(to: &mut impl Write, head: &[u8]) -> io::Result<()> {
    let len = u32::try_from(head.len()).ok().filter(|len| *len <= HEAD_BYTES_MAX).ok_or_else(invalid)?;
    to.write_all(&len.to_be_bytes())?;
    to.write_all(head)
}

fn read_head(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u32::from_be_bytes(len);
    if len > HEAD_BYTES_MAX {
        return Err(invalid());
    }
    read_part(from, u64::from(len))
}

/// Reads a part of known length; memory grows with what arrives, not with what was announced.
fn read_part(from: &mut impl Read, len: u64) -> io::Result<Vec<u8>> {
    let mut part = Vec::new();
    let read = from.take(len).read_to_end(&mut part)?;
    if u64::try_from(read).ok() == Some(len) { Ok(part) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn len64(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Encoding into memory does not fail.
fn encoded(
    encode: impl FnOnce(
        &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<core::convert::Infallible>>,
) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    encode(&mut Encoder::new(&mut head)).map_err(|_| invalid())?;
    Ok(head)
}

/// The parts of a request that the parent only borrows.
pub(super) fn write_request(
    to: &mut impl Write,
    task: &crate::TaskSpec<'_>,
    library: Option<&str>,
) -> io::Result<()> {
    let head = encoded(|head| {
        let bounds = &task.bounds;
        head.array(10)?.bool(matches!(task.engine, Engine::Onnx))?;
        head.u64(bounds.fuel)?.u64(bounds.memory_bytes)?.u64(bounds.wall_ms)?.u64(bounds.output_bytes)?;
        match task.pre {
            Preprocess::None => head.null()?,
            Preprocess::IdxToF32 { scale_ppm } => head.u32(scale_ppm)?,
        };
        head.bool(matches!(task.post, Postprocess::ArgmaxLines))?;
        match library {
            Some(path) => head.str(path)?,
            None => head.null()?,
        };
        head.u64(len64(task.module))?.u64(len64(task.input))?;
        Ok(())
    })?;
    write_head(to, &head)?;
    to.write_all(task.module)?;
    to.write_all(task.input)?;
    to.flush()
}

pub(super) fn read_request(from: &mut impl Read) -> io::Result<Request> {
    let head = read_head(from)?;
    let parse = |head: &mut Decoder<'_>| -> DecodeResult<_> {
        if head.array()? != Some(10) {
            return Err(minicbor::decode::Error::message("request"));
        }
        let engine = if head.bool()? { Engine::Onnx } else { Engine::Wasm };
        let bounds = Bounds {
            fuel: head.u64()?,
            memory_bytes: head.u64()?,
            wall_ms: head.u64()?,
            output_bytes: head.u64()?,
        };
        let pre = match head.decode::<Option<u32>>()? {
            Some(scale_ppm) => Preprocess::IdxToF32 { scale_ppm },
            None => Preprocess::None,
        };
        let post = if head.bool()? { Postprocess::ArgmaxLines } else { Postprocess::None };
        let library = head.decode::<Option<&str>>()?.map(PathBuf::from);
        Ok((engine, bounds, pre, post, library, head.u64()?, head.u64()?))
    };
    let (engine, bounds, pre, post, library, module, input) =
        parse(&mut Decoder::new(&head)).map_err(|_| invalid())?;
    let module = read_part(from, module)?;
    let input = read_part(from, input)?;
    Ok(Request { engine, bounds, pre, post, library, module, input })
}

pub(super) fn write_answer(to: &mut impl Write, answer: &Result<Answer, TaskError>) -> io::Result<()> {
    let head = encoded(|head| {
        match answer {
            Ok(answer) => {
                head.array(3)?.u64(answer.fuel)?.str(&answer.engine)?.u64(len64(&answer.output))?;
            }
            Err(error) => {
                let (kind, code, text) = error_parts(error);
                head.array(4)?.u8(kind)?.i32(code)?.str(text)?.null()?;
            }
        }
        Ok(())
    })?;
    write_head(to, &head)?;
    if let Ok(answer) = answer {
        to.write_all(&answer.output)?;
    }
    to.flush()
}

/// Reads what a worker says; it may have been taken over, so nothing in it is believed
/// beyond its form, and no more than `output_max` bytes of output are read.
pub(super) fn read_answer(from: &mut impl Read, output_max: u64) -> io::Result<Result<Answer, TaskError>> {
    let head = read_head(from)?;
    let parse = |head: &mut Decoder<'_>| -> DecodeResult<Result<(u64, String, u64), TaskError>> {
        match head.array()? {
            Some(3) => Ok(Ok((head.u64()?, cairn_board::plain_text(head.str()?, 64), head.u64()?))),
            Some(4) => {
                let (kind, code, text) = (head.u8()?, head.i32()?, head.str()?);
                error_of(kind, code, crate::error::text(text))
                    .map(Err)
                    .ok_or_else(|| minicbor::decode::Error::message("kind"))
            }
            _ => Err(minicbor::decode::Error::message("answer")),
        }
    };
    match parse(&mut Decoder::new(&head)).map_err(|_| invalid())? {
        Ok((_, _, len)) if len > output_max => Ok(Err(TaskError::OutputTooLarge)),
        Ok((fuel, engine, len)) => Ok(Ok(Answer { output: read_part(from, len)?, fuel, engine })),
        Err(error) => Ok(Err(error)),
    }
}

fn error_parts(error: &TaskError) -> (u8, i32, &str) {
    match error {
        TaskError::MissingModule => (0, 0, ""),
        TaskError::NotWasm(text) => (1, 0, text),
        TaskError::NotOnnx(text) => (2, 0, text),
        TaskError::ExternalData => (3, 0, ""),
        TaskError::Input(text) => (4, 0, text),
        TaskError::Trap(text) => (5, 0, text),
        TaskError::Model(text) => (6, 0, text),
        TaskError::OutOfFuel => (7, 0, ""),
        TaskError::OutOfMemory => (8, 0, ""),
        TaskError::OutOfTime => (9, 0, ""),
        TaskError::OutputTooLarge => (10, 0, ""),
        TaskError::NonZeroExit { code, stderr } => (11, *code, stderr),
        TaskError::Cancelled => (12, 0, ""),
        TaskError::WorkerDied(text) => (13, 0, text),
        TaskError::NoWorker(text) => (14, 0, text),
    }
}

fn error_of(kind: u8, code: i32, text: String) -> Option<TaskError> {
    Some(match kind {
        0 => TaskError::MissingModule,
        1 => TaskError::NotWasm(text),
        2 => TaskError::NotOnnx(text),
        3 => TaskError::ExternalData,
        4 => TaskError::Input(text),
        5 => TaskError::Trap(text),
        6 => TaskError::Model(text),
        7 => TaskError::OutOfFuel,
        8 => TaskError::OutOfMemory,
        9 => TaskError::OutOfTime,
        10 => TaskError::OutputTooLarge,
        11 => TaskError::NonZeroExit { code, stderr: text },
        12 => TaskError::Cancelled,
        13 => TaskError::WorkerDied(text),
        14 => TaskError::NoWorker(text),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskSpec;

    const BOUNDS: Bounds = Bounds { fuel: 1, memory_bytes: 2, wall_ms: 3, output_bytes: 4 };

    #[test]
    fn a_request_goes_there_and_back_and_fails_when_cut_off() {
        for (pre, library) in [(Preprocess::None, None), (Preprocess::IdxToF32 { scale_ppm: 9 }, Some("/l"))]
        {
            let task = TaskSpec {
                engine: Engine::Onnx,
                module: b"mod",
                input: b"in",
                bounds: BOUNDS,
                pre,
                post: Postprocess::ArgmaxLines,
            };
            let mut bytes = Vec::new();
            write_request(&mut bytes, &task, library).unwrap();
            let read = read_request(&mut bytes.as_slice()).unwrap();
            assert_eq!((read.engine, read.bounds, read.pre), (Engine::Onnx, BOUNDS, pre));
            assert_eq!((read.module.as_slice(), read.input.as_slice()), (&b"mod"[..], &b"in"[..]));
            assert_eq!(read.library, library.map(PathBuf::from));
            for len in 0..bytes.len() {
                assert!(read_request(&mut &bytes[..len]).is_err(), "{len}");
            }
        }
    }

    #[test]
    fn every_answer_goes_there_and_back() {
        let answer = Answer { output: b"7\n".to_vec(), fuel: 5, engine: "tract".to_owned() };
        let mut all = vec![Ok(answer)];
        for kind in 0..15 {
            let text = if matches!(kind, 1 | 2 | 4 | 5 | 6 | 11 | 13 | 14) { "why" } else { "" };
            let code = if kind == 11 { -3 } else { 0 };
            all.push(Err(error_of(kind, code, text.to_owned()).unwrap()));
        }
        for answer in all {
            let mut bytes = Vec::new();
            write_answer(&mut bytes, &answer).unwrap();
            assert_eq!(read_answer(&mut bytes.as_slice(), 2).unwrap(), answer);
        }
        assert_eq!(error_of(15, 0, String::new()), None);
    }

    #[test]
    fn a_lying_worker_cannot_fill_memory() {
        let answer = Ok(Answer { output: vec![0; 3], fuel: 5, engine: "x".to_owned() });
        let mut bytes = Vec::new();
        write_answer(&mut bytes, &answer).unwrap();
        assert_eq!(read_answer(&mut bytes.as_slice(), 2).unwrap(), Err(TaskError::OutputTooLarge));
        assert!(read_answer(&mut [0xff; 64].as_slice(), 2).is_err());
        assert!(read_answer(&mut [].as_slice(), 2).is_err());
    }
}
