//! IDX files of pictures: the items that a job may be split into.
//!
//! Four big-endian numbers of 32 bits (magic `0x00000803`, count, rows, columns),
//! then one byte per pixel, and nothing after that.

/// Marks an IDX file of unsigned bytes in three dimensions.
pub const MAGIC: u32 = 0x0000_0803;
/// Most bytes of one picture.
pub const PICTURE_BYTES_MAX: usize = 1 << 24;

const HEADER_BYTES: usize = 16;

/// Why some bytes are not an IDX file of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdxError {
    /// The file ends inside its header.
    #[error("the file is shorter than an IDX header")]
    Header,
    /// The magic number is another.
    #[error("the file does not start with 00 00 08 03 (IDX, bytes, three dimensions)")]
    Magic,
    /// There are no pictures, or they have no pixels.
    #[error("the file holds no pictures")]
    Empty,
    /// A picture has more than [`PICTURE_BYTES_MAX`] bytes.
    #[error("a picture has more than {PICTURE_BYTES_MAX} bytes")]
    PictureTooLarge,
    /// The length is not what the header says.
    #[error("the header says {expected} bytes of pixels, there are {found}")]
    Length {
        /// What the header says.
        expected: u64,
        /// What is there.
        found: u64,
    },
}

/// A checked view of an IDX file of pictures: at least one picture of at least one pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idx<'a> {
    rows: u32,
    columns: u32,
    picture_bytes: usize,
    pixels: &'a [u8],
}

impl<'a> Idx<'a> {
    /// Checks the header against the length.
    ///
    /// # Errors
    /// What does not fit; nothing is allocated.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, IdxError> {
        let (header, pixels) = bytes.split_at_checked(HEADER_BYTES).ok_or(IdxError::Header)?;
        let (words, _) = header.as_chunks::<4>();
        let &[magic, count, rows, columns] = words else { return Err(IdxError::Header) };
        let [magic, count, rows, columns] = [magic, count, rows, columns].map(u32::from_be_bytes);
        if magic != MAGIC {
            return Err(IdxError::Magic);
        }
        let picture_bytes = u64::from(rows) * u64::from(columns);
        if count == 0 || picture_bytes == 0 {
            return Err(IdxError::Empty);
        }
        let picture_bytes = usize::try_from(picture_bytes)
            .ok()
            .filter(|bytes| *bytes <= PICTURE_BYTES_MAX)
            .ok_or(IdxError::PictureTooLarge)?;
        // At most 2^32 pictures of 2^24 bytes: no overflow in 64 bits.
        let expected = u64::from(count) * u64::from(rows) * u64::from(columns);
        let found = u64::try_from(pixels.len()).unwrap_or(u64::MAX);
        if expected != found {
            return Err(IdxError::Length { expected, found });
        }
        Ok(Self { rows, columns, picture_bytes, pixels })
    }

    /// How many pictures there are: at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pixels.len() / self.picture_bytes
    }

    /// Bytes of one picture: at least one.
    #[must_use]
    pub const fn picture_bytes(&self) -> usize {
        self.picture_bytes
    }

    /// The pixels of all pictures.
    #[must_use]
    pub const fn pixels(&self) -> &'a [u8] {
        self.pixels
    }

    /// An IDX file of these pictures, in this order; numbers that name no picture are left out.
    #[must_use]
    pub fn subset(&self, pictures: &[usize]) -> Vec<u8> {
        let chosen: Vec<&[u8]> = pictures
            .iter()
            .filter_map(|picture| {
                let start = picture.checked_mul(self.picture_bytes)?;
                self.pixels.get(start..start.checked_add(self.picture_bytes)?)
            })
            .collect();
        let count = u32::try_from(chosen.len()).unwrap_or(u32::MAX);
        let mut file = Vec::with_capacity(HEADER_BYTES + chosen.len() * self.picture_bytes);
        for word in [MAGIC, count, self.rows, self.columns] {
            file.extend_from_slice(&word.to_be_bytes());
        }
        for picture in chosen {
            file.extend_from_slice(picture);
        }
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(count: u32, rows: u32, columns: u32, pixels: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [MAGIC, count, rows, columns] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes.extend_from_slice(pixels);
        bytes
    }

    #[test]
    fn a_subset_is_a_file_of_the_named_pictures() {
        let bytes = file(3, 1, 2, &[1, 2, 3, 4, 5, 6]);
        let idx = Idx::parse(&bytes).unwrap();
        assert_eq!((idx.count(), idx.picture_bytes()), (3, 2));
        assert_eq!(idx.subset(&[2, 0]), file(2, 1, 2, &[5, 6, 1, 2]));
        assert_eq!(idx.subset(&[0, 1, 2]), bytes);
        assert_eq!(idx.subset(&[3, usize::MAX]), file(0, 1, 2, &[]));
    }

    #[test]
    fn a_file_cut_off_anywhere_or_followed_by_a_byte_is_refused() {
        let mut bytes = file(2, 2, 2, &[7; 8]);
        for len in 0..bytes.len() {
            assert!(Idx::parse(&bytes[..len]).is_err(), "{len}");
        }
        bytes.push(0);
        assert_eq!(Idx::parse(&bytes), Err(IdxError::Length { expected: 8, found: 9 }));
    }

    #[test]
    fn huge_and_empty_headers_are_refused_without_allocating() {
        let max = u32::MAX;
        assert_eq!(Idx::parse(&file(max, max, max, &[])), Err(IdxError::PictureTooLarge));
        assert_eq!(Idx::parse(&file(1, 4096, 4097, &[])), Err(IdxError::PictureTooLarge));
        assert_eq!(
            Idx::parse(&file(max, 4096, 4096, &[])),
            Err(IdxError::Length { expected: u64::from(max) << 24, found: 0 })
        );
        assert_eq!(Idx::parse(&file(0, 8, 8, &[])), Err(IdxError::Empty));
        assert_eq!(Idx::parse(&file(1, 0, 8, &[])), Err(IdxError::Empty));
        assert_eq!(Idx::parse(&[]), Err(IdxError::Header));
        let mut other = file(1, 1, 1, &[0]);
        other[3] = 1;
        assert_eq!(Idx::parse(&other), Err(IdxError::Magic));
    }
}
