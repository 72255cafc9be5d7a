//! Cuts a byte stream into frame bodies, whatever pieces it comes in.

use alloc::vec::Vec;

use crate::frame::{FRAME_BYTES_MAX, FrameError, PREFIX_BYTES};

/// Holds at most one frame that is not complete yet.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    buffer: Vec<u8>,
    complete: bool,
}

impl Framer {
    /// The next whole frame body, taken off the front of `input`; `None` when `input` is used up.
    ///
    /// A frame that lies in `input` as a whole is lent from there; only a cut one is copied.
    #[expect(
        single_use_lifetimes,
        reason = "with one lifetime for both, each frame would borrow the rest of the loop"
    )]
    pub(crate) fn next<'s, 'i: 's>(
        &'s mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<&'s [u8]>, FrameError> {
        if self.complete {
            self.buffer.clear();
            self.complete = false;
        }
        if self.buffer.is_empty()
            && let Some((prefix, rest)) = input.split_first_chunk::<PREFIX_BYTES>()
        {
            let len = body_len(*prefix)?;
            if let Some((body, rest)) = rest.split_at_checked(len) {
                *input = rest;
                return Ok(Some(body));
            }
        }
        self.take(input, PREFIX_BYTES);
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let len = body_len(*prefix)?;
        let whole = PREFIX_BYTES.saturating_add(len);
        self.take(input, whole);
        if self.buffer.len() < whole {
            return Ok(None);
        }
        self.complete = true;
        Ok(self.buffer.get(PREFIX_BYTES..whole))
    }

    fn take(&mut self, input: &mut &[u8], want: usize) {
        let missing = want.saturating_sub(self.buffer.len()).min(input.len());
        if let Some((head, rest)) = input.split_at_checked(missing) {
            self.buffer.extend_from_slice(head);
            *input = rest;
        }
    }
}

/// Checks the length before anything is put aside for it.
pub(crate) fn body_len(prefix: [u8; PREFIX_BYTES]) -> Result<usize, FrameError> {
    let len = u32::from_be_bytes(prefix);
    match usize::try_from(len) {
        Ok(0) => Err(FrameError::Malformed),
        Ok(body) if body <= FRAME_BYTES_MAX => Ok(body),
        _ => Err(FrameError::TooLong(len)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn split(stream: &[u8], piece: usize) -> Result<Vec<Vec<u8>>, FrameError> {
        let mut framer = Framer::default();
        let mut bodies = Vec::new();
        for mut input in stream.chunks(piece) {
            while let Some(body) = framer.next(&mut input)? {
                bodies.push(body.to_vec());
            }
            assert!(framer.buffer.len() <= PREFIX_BYTES + FRAME_BYTES_MAX);
        }
        Ok(bodies)
    }

    #[test]
    fn frames_come_out_whole_however_the_stream_is_cut() {
        let stream = [0, 0, 0, 1, 9, 0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 1, 8, 0, 0, 0, 2, 7];
        for piece in 1..=stream.len() {
            assert_eq!(split(&stream, piece), Ok(vec![vec![9], vec![1, 2, 3], vec![8]]), "pieces of {piece}");
        }
    }

    #[test]
    fn a_length_beyond_frame_bytes_max_is_refused_before_anything_is_buffered() {
        let max = u32::try_from(FRAME_BYTES_MAX).unwrap();
        let whole = [&max.to_be_bytes()[..], &vec![5; FRAME_BYTES_MAX]].concat();
        assert_eq!(split(&whole, 1000).map(|bodies| bodies.len()), Ok(1));
        for len in [max + 1, u32::MAX] {
            for piece in [1, 4, 8] {
                assert_eq!(
                    split(&[&len.to_be_bytes()[..], &[0; 8]].concat(), piece),
                    Err(FrameError::TooLong(len))
                );
            }
        }
        assert_eq!(split(&[0; 4], 1), Err(FrameError::Malformed));
    }
}
