//! What this node writes into the payload of its own bundles.

use minicbor::{Decoder, Encoder};

/// Service of sealed messages and files.
pub(crate) const SERVICE_INBOX: &str = "inbox";
/// Service of ledger entries that travel end to end.
pub(crate) const SERVICE_LEDGER: &str = "ledger";
/// Service of meet frames that travel in a drop.
pub(crate) const SERVICE_MEET: &str = "meet";

/// Entries in one bundle at the most.
const ENTRIES_MAX: usize = 64;
/// Bytes of a message text at the most.
pub(crate) const TEXT_BYTES_MAX: usize = 65_536;
/// Bytes of a file name at the most.
pub(crate) const FILE_NAME_BYTES_MAX: usize = 255;

/// A sealed message as it is written: text, and a file if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Seconds since 2020 by the sender's clock; 0 if it has none.
    pub(crate) written: u64,
    pub(crate) text: String,
    pub(crate) file: Option<(String, Vec<u8>)>,
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut e = Encoder::new(&mut bytes);
        let mut write = || -> Result<(), minicbor::encode::Error<core::convert::Infallible>> {
            e.array(if self.file.is_some() { 4 } else { 2 })?.u64(self.written)?.str(&self.text)?;
            if let Some((name, content)) = &self.file {
                e.str(name)?.bytes(content)?;
            }
            Ok(())
        };
        write().expect("writing to a Vec cannot fail");
        bytes
    }

    /// Reads what somebody else wrote; `None` if it is not a message, or not a harmless file name.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut d = Decoder::new(bytes);
        let fields = d.array().ok()??;
        let written = d.u64().ok()?;
        let text = d.str().ok().filter(|text| text.len() <= TEXT_BYTES_MAX)?.to_owned();
        let file = match fields {
            2 => None,
            4 => {
                let name = d.str().ok().filter(|name| is_plain_file_name(name))?.to_owned();
                Some((name, d.bytes().ok()?.to_vec()))
            }
            _ => return None,
        };
        (d.position() == bytes.len()).then_some(Self { written, text, file })
    }
}

/// A name without directories, hidden files or control characters.
pub(crate) fn is_plain_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= FILE_NAME_BYTES_MAX
        && !name.starts_with('.')
        && !name.chars().any(|c| c == '/' || c == '\\' || c.is_control())
}

/// Ledger entries one after another in one array.
pub(crate) fn encode_entries(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut e = Encoder::new(&mut bytes);
    let count = u64::try_from(entries.len()).unwrap_or(0);
    e.array(count).expect("writing to a Vec cannot fail");
    for entry in entries {
        e.bytes(entry).expect("writing to a Vec cannot fail");
    }
    bytes
}

/// The inverse of [`encode_entries`]; `None` if it is anything else, or too many.
pub(crate) fn decode_entries(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut d = Decoder::new(bytes);
    let count = usize::try_from(d.array().ok()??).ok().filter(|n| (1..=ENTRIES_MAX).contains(n))?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(d.bytes().ok()?.to_vec());
    }
    (d.position() == bytes.len()).then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_there_and_back_and_nothing_else_is_one() {
        for file in [None, Some(("map.png".to_owned(), vec![1, 2, 3]))] {
            let message = Message { written: 7, text: "water at the school".to_owned(), file };
            let bytes = message.encode();
            assert_eq!(Message::decode(&bytes), Some(message));
            for end in 0..bytes.len() {
                assert_eq!(Message::decode(&bytes[..end]), None);
            }
            let mut longer = bytes.clone();
            longer.push(0);
            assert_eq!(Message::decode(&longer), None);
        }
    }

    #[test]
    fn a_file_name_cannot_lead_out_of_a_directory() {
        for name in ["../key", "a/b", ".bashrc", "", "a\\b", "a\nb"] {
            let message = Message { written: 0, text: String::new(), file: Some((name.to_owned(), vec![])) };
            assert_eq!(Message::decode(&message.encode()), None, "{name:?}");
        }
    }

    #[test]
    fn entries_are_bounded_in_number() {
        let entries = vec![vec![1, 2], vec![3]];
        assert_eq!(decode_entries(&encode_entries(&entries)), Some(entries));
        assert_eq!(decode_entries(&encode_entries(&[])), None);
        assert_eq!(decode_entries(&encode_entries(&vec![vec![]; ENTRIES_MAX + 1])), None);
        assert_eq!(decode_entries(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
