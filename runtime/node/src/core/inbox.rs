//! Sealed messages and files that arrived for this node's people.

use std::collections::BTreeMap;

use cairn_bundle::{NodeId, Opened};
use cairn_engine::Ticket;
use cairn_store::{Read, ReadError, Table};
use minicbor::{Decoder, Encoder};

use super::Core;
use super::commit::{After, Tx};
use super::wire::Message;
use crate::control::api::{KeyKind, MessageInfo};

/// Messages that are kept; further ones are refused until some are removed.
const MESSAGES_MAX: usize = 10_000;
/// Bytes of all their texts together, which are held in memory.
const TEXTS_BYTES_MAX: usize = 8 << 20;

/// Key of the number of the last message in [`Table::Meta`], written when one is removed.
pub(crate) const INBOX_LAST: &[u8] = b"inbox last";

/// What is known of a message without its file.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    from: NodeId,
    /// Unknown for what earlier versions stored.
    sealed_to: Option<KeyKind>,
    written: u64,
    text: String,
    file: Option<(String, u64)>,
}

impl Entry {
    fn new(from: NodeId, sealed_to: Option<KeyKind>, message: &Message) -> Self {
        let file = message
            .file
            .as_ref()
            .map(|(name, content)| (name.clone(), u64::try_from(content.len()).unwrap_or(u64::MAX)));
        Self { from, sealed_to, written: message.written, text: message.text.clone(), file }
    }
}

/// The list of messages by number.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    entries: BTreeMap<u64, Entry>,
    last: u64,
    text_bytes: usize,
}

impl Inbox {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The number of the next message; a message that is not stored in the end leaves a gap.
    const fn reserve(&mut self) -> u64 {
        self.last = self.last.saturating_add(1);
        self.last
    }

    /// Reads back the number of the last message: a number never stands for another message, so that an order to remove
    /// one can be repeated.
    pub(crate) fn restore_last(&mut self, row: &[u8]) {
        self.last = self.last.max(<[u8; 8]>::try_from(row).map_or(0, u64::from_be_bytes));
    }

    /// Lists a message that is durable.
    pub(crate) fn remember(&mut self, number: u64, entry: Entry) {
        self.last = self.last.max(number);
        self.forget(number);
        self.text_bytes = self.text_bytes.saturating_add(entry.text.len());
        self.entries.insert(number, entry);
    }

    /// Forgets a message; says whether there was one.
    fn forget(&mut self, number: u64) -> bool {
        let Some(entry) = self.entries.remove(&number) else { return false };
        self.text_bytes = self.text_bytes.saturating_sub(entry.text.len());
        true
    }

    /// Reads back one stored message; what is damaged is left out.
    pub(crate) fn restore(&mut self, key: &[u8], value: &[u8]) {
        if let Ok(number) = <[u8; 8]>::try_from(key).map(u64::from_be_bytes)
            && let Some((from, sealed_to, message)) = decode_stored(value)
        {
            self.remember(number, Entry::new(from, sealed_to, &message));
        }
    }
}

fn encode_stored(from: &NodeId, payload: &[u8], sealed_to: KeyKind) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut e = Encoder::new(&mut bytes);
    e.array(3)
        .and_then(|e| e.bytes(from.as_bytes()))
        .and_then(|e| e.bytes(payload))
        .and_then(|e| e.str(sealed_to.as_str()))
        .expect("writing to a Vec cannot fail");
    bytes
}

fn decode_stored(bytes: &[u8]) -> Option<(NodeId, Option<KeyKind>, Message)> {
    let mut d = Decoder::new(bytes);
    let fields = d.array().ok().flatten().filter(|n| [2, 3].contains(n))?;
    let from = NodeId::from_bytes(d.bytes().ok()?.try_into().ok()?).ok()?;
    let message = Message::decode(d.bytes().ok()?)?;
    let sealed_to = if fields == 3 { KeyKind::parse(d.str().ok()?) } else { None };
    Some((from, sealed_to, message))
}

impl Core {
    /// Puts a message into the inbox in the batch that also remembers its bundle, so that it is delivered once.
    /// Only contacts may write, and not without end: a stranger shall not fill the disk.
    pub(super) fn deliver_message(
        &mut self,
        tx: &mut Tx,
        ticket: Option<Ticket>,
        opened: &Opened,
    ) -> Option<()> {
        let message = Message::decode(&opened.payload)?;
        if self.contacts.get(&opened.source).is_none() {
            self.count("messages refused: from a stranger");
            return None;
        }
        let text_bytes = self.inbox.text_bytes.saturating_add(message.text.len());
        if self.inbox.len() >= MESSAGES_MAX || text_bytes > TEXTS_BYTES_MAX {
            self.count("messages refused: the inbox is full");
            self.warnings.insert("the inbox is full: remove messages with cairn inbox remove".to_owned());
            return None;
        }
        let number = self.inbox.reserve();
        tx.put(
            Table::Inbox,
            number.to_be_bytes(),
            encode_stored(&opened.source, &opened.payload, opened.sealed_to.into()),
        );
        // Listed once it is durable: a message that the disk refuses comes again.
        let entry = Box::new(Entry::new(opened.source, Some(opened.sealed_to.into()), &message));
        tx.then(After::Message { ticket, number, entry });
        Some(())
    }

    pub(super) fn messages(&self) -> Vec<MessageInfo> {
        let info = |(number, entry): (&u64, &Entry)| MessageInfo {
            number: *number,
            from: entry.from.to_string(),
            from_name: self.contacts.name(&entry.from),
            sealed_to: entry.sealed_to,
            written: (entry.written != 0).then_some(entry.written),
            text: entry.text.clone(),
            file: entry.file.clone(),
        };
        self.inbox.entries.iter().map(info).collect()
    }

    /// Removes a message from the inbox; its bundle stays delivered and does not come again.
    pub(super) fn remove_message(&mut self, tx: &mut Tx, number: u64) -> bool {
        tx.delete(Table::Inbox, number.to_be_bytes());
        tx.put(Table::Meta, INBOX_LAST, self.inbox.last.to_be_bytes());
        self.inbox.forget(number)
    }

    /// The file of a message, read from the store.
    pub(super) fn message_file(number: u64, disk: &dyn Read) -> Result<Option<Vec<u8>>, ReadError> {
        let stored = disk.get(Table::Inbox, &number.to_be_bytes())?;
        let message = stored.as_deref().and_then(decode_stored);
        Ok(message.and_then(|(_, _, message)| message.file).map(|(_, content)| content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_bundle::Identity;

    fn entry(text: &str) -> Entry {
        let message = Message { written: 0, text: text.to_owned(), file: None };
        Entry::new(Identity::from_seed(&[1; 32]).node_id(), None, &message)
    }

    #[test]
    fn a_stored_message_says_what_it_was_sealed_to_and_an_older_one_does_not() {
        let from = Identity::from_seed(&[1; 32]).node_id();
        let message = Message { written: 7, text: "four".to_owned(), file: None };
        for kind in [KeyKind::Prekey, KeyKind::LongTerm] {
            let stored = encode_stored(&from, &message.encode(), kind);
            assert_eq!(decode_stored(&stored), Some((from, Some(kind), message.clone())));
        }
        let mut older = encode_stored(&from, &message.encode(), KeyKind::Prekey);
        older[0] = 0x82;
        older.truncate(older.len() - "prekey".len() - 1);
        assert_eq!(decode_stored(&older), Some((from, None, message)));
    }

    #[test]
    fn the_number_of_a_removed_message_is_not_given_again() {
        let mut before = Inbox::default();
        let number = before.reserve();
        before.remember(number, entry("four"));
        assert!(before.forget(number));
        let mut after = Inbox::default();
        after.restore_last(&before.last.to_be_bytes());
        after.restore_last(b"damaged");
        assert!(after.reserve() > number);
    }

    #[test]
    fn the_texts_are_counted_once_and_given_back() {
        let mut inbox = Inbox::default();
        let number = inbox.reserve();
        inbox.remember(number, entry("four"));
        inbox.remember(number, entry("four"));
        assert_eq!((inbox.len(), inbox.text_bytes), (1, 4));
        assert!(inbox.forget(number) && !inbox.forget(number));
        assert_eq!((inbox.len(), inbox.text_bytes), (0, 0));
        assert!(inbox.reserve() > number);
    }
}
