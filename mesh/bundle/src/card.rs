//! Contact cards: what a node tells others about itself, signed by itself.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use data_encoding::BASE32_NOPAD;

use crate::cbor::{CborError, Reader, Write};
use crate::envelope;
use crate::identity::{Identity, NodeId, SealingKey, verify};
use crate::prekey::{PREKEY_VALID_MAX_S, SealedTo};

/// Longest display name, in bytes.
pub const CARD_NAME_BYTES_MAX: usize = 64;
/// Most addresses, and most services.
pub const CARD_ENTRIES_MAX: usize = 8;
/// Longest address or service, in bytes.
pub const CARD_ENTRY_BYTES_MAX: usize = 128;
/// Most prekeys. A node announces its newest one; a few more leave room for other ways to do it.
pub const CARD_PREKEYS_MAX: usize = 3;
/// Largest signed card: more than a full one needs.
pub const CARD_BYTES_MAX: usize = 4096;

/// Without prekeys a card is written as it was before there were any.
const VERSION_PLAIN: u64 = 1;
const VERSION: u64 = 2;
/// Two clocks that differ by no more than this agree about the dates of prekeys.
const CLOCKS_APART_S: u64 = 86_400;
/// How long the newest prekey of a card is good that its own node has handed over.
const HEARD_VALID_S: u64 = 7 * 86_400;
/// Goes before the signed bytes, so that a card's signature fits nothing else that a node signs.
const SIGNING_CONTEXT: &[u8] = b"cairn 2026-11 card";
/// The characters of prefix and base32 are those of a QR code's dense alphanumeric mode.
const TEXT_PREFIX: &str = "CAIRN:";

/// What a node says of itself. Of two cards of one node the one with the higher counter counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The node that the card is of.
    pub node: NodeId,
    /// How its owner calls it. Anybody can take any name: it proves nothing.
    pub name: String,
    /// The key that bundles to it are sealed to.
    pub sealing_key: SealingKey,
    /// Keys that it will forget, to be used instead as long as they are valid; the newest first.
    pub prekeys: Vec<Prekey>,
    /// Where links can reach it, such as `iroh:192.0.2.7:4433`.
    pub addresses: Vec<String>,
    /// What it offers, such as `ledger`.
    pub services: Vec<String>,
    /// Grows with every change.
    pub counter: u64,
}

/// A key that its owner replaces and erases, as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prekey {
    /// The public half.
    pub key: SealingKey,
    /// Until when others may seal to it, in seconds since 2020-01-01 UTC. 0 is for a node without a clock:
    /// only who heard the card from the node itself can tell.
    pub valid_until_s: u64,
}

/// What a sender knows of time when it chooses a key of a card.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SenderClock {
    /// Seconds since 2020-01-01 UTC, if there is a clock to trust.
    pub wall_s: Option<u64>,
    /// How long ago, by a clock that cannot be set, the card's own node handed the card over.
    pub heard_s: Option<u64>,
}

/// Which key of a card a bundle has to be sealed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealingTarget {
    /// The key for [`seal()`](crate::seal()).
    pub key: SealingKey,
    /// What kind of key it is: for the sender to see.
    pub kind: SealedTo,
    /// Why it is the long-term key; `None` for a prekey.
    pub fallback: Option<Fallback>,
}

/// Why a sender takes the long-term key, and the mail has no forward secrecy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fallback {
    /// The card has none.
    #[error("the card has no prekey")]
    NoPrekey,
    /// By the sender's clock all of them are too old.
    #[error("the prekey on the card is too old")]
    Expired,
    /// By the sender's clock they are valid for longer than any prekey is: one of the two clocks is wrong.
    #[error("the clocks of the two nodes do not agree")]
    ClocksDisagree,
    /// Nothing tells whether they are still valid.
    #[error("without a clock nothing tells whether the prekey is still valid")]
    NoClock,
}

/// A card whose signature was verified, with its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCard {
    card: Card,
    bytes: Vec<u8>,
}

/// Why something is not a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// Larger than [`CARD_BYTES_MAX`].
    #[error("a card has at most {CARD_BYTES_MAX} bytes")]
    TooLarge,
    /// Not a card's CBOR.
    #[error("the card is not well-formed: {0}")]
    Cbor(#[from] CborError),
    /// The same card can be written in another way.
    #[error("the card is not in its one deterministic form")]
    NotCanonical,
    /// A card of another version.
    #[error("card version {0} is not known")]
    Version(u64),
    /// The node id is not a key.
    #[error("the node id of the card is not a key")]
    Node,
    /// The name is empty, too long, or has characters that could deceive.
    #[error("a name has 1 to {CARD_NAME_BYTES_MAX} bytes and no control characters")]
    Name,
    /// Too many prekeys, one of them twice, or the long-term key among them.
    #[error("a card has at most {CARD_PREKEYS_MAX} prekeys, all different")]
    Prekeys,
    /// Too many addresses or services, or one that is empty, too long or has control characters.
    #[error(
        "a card has at most {CARD_ENTRIES_MAX} addresses and services of 1 to {CARD_ENTRY_BYTES_MAX} bytes"
    )]
    Entry,
    /// The signature is not of the node that the card names.
    #[error("the card is not signed by the node it names")]
    Signature,
    /// The text does not begin with `CAIRN:` or is not base32.
    #[error("a card in text form is CAIRN: followed by base32 (A-Z, 2-7)")]
    Text,
}

impl Card {
    /// Signs the card.
    ///
    /// # Errors
    /// [`CardError::Signature`] if the identity is not the card's node, or the field that is wrong.
    pub fn sign(&self, me: &Identity) -> Result<SignedCard, CardError> {
        if me.node_id() != self.node {
            return Err(CardError::Signature);
        }
        self.check()?;
        let body = self.encode();
        let signature = me.sign(&envelope::to_be_signed(SIGNING_CONTEXT, &body));
        Ok(SignedCard { card: self.clone(), bytes: envelope::close(&body, &signature) })
    }

    /// Which key to seal to: the newest prekey that is valid, and the long-term key only if none is.
    ///
    /// A wrong clock must not lose mail. A prekey counts as valid by the wall clock only if its date lies in
    /// the time that any node announces; whoever heard the card from the node itself needs no dates.
    #[must_use]
    pub fn sealing_target(&self, clock: &SenderClock) -> SealingTarget {
        let heard = clock.heard_s.is_some_and(|age_s| age_s <= HEARD_VALID_S);
        let by_wall = |prekey: &&Prekey| {
            let ahead_s = clock.wall_s.and_then(|now| prekey.valid_until_s.checked_sub(now));
            prekey.valid_until_s > 0
                && ahead_s.is_some_and(|ahead_s| ahead_s <= PREKEY_VALID_MAX_S + CLOCKS_APART_S)
        };
        let newest = self.prekeys.first();
        match newest.filter(|_| heard).or_else(|| self.prekeys.iter().find(by_wall)) {
            Some(prekey) => SealingTarget { key: prekey.key, kind: SealedTo::Prekey, fallback: None },
            None => {
                let fallback = match (newest, clock.wall_s) {
                    (None, _) => Fallback::NoPrekey,
                    (Some(_), None) => Fallback::NoClock,
                    (Some(prekey), Some(_)) if prekey.valid_until_s == 0 => Fallback::NoClock,
                    (Some(prekey), Some(now)) if prekey.valid_until_s < now => Fallback::Expired,
                    (Some(_), Some(_)) => Fallback::ClocksDisagree,
                };
                SealingTarget { key: self.sealing_key, kind: SealedTo::LongTerm, fallback: Some(fallback) }
            }
        }
    }

    fn check(&self) -> Result<(), CardError> {
        if !is_plain(&self.name, CARD_NAME_BYTES_MAX) {
            return Err(CardError::Name);
        }
        let mut keys: Vec<&SealingKey> = self.prekeys.iter().map(|prekey| &prekey.key).collect();
        keys.push(&self.sealing_key);
        keys.sort_unstable();
        keys.dedup();
        if self.prekeys.len() > CARD_PREKEYS_MAX || keys.len() <= self.prekeys.len() {
            return Err(CardError::Prekeys);
        }
        for entries in [&self.addresses, &self.services] {
            let plain = entries.iter().all(|entry| is_plain(entry, CARD_ENTRY_BYTES_MAX));
            if entries.len() > CARD_ENTRIES_MAX || !plain {
                return Err(CardError::Entry);
            }
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let plain = self.prekeys.is_empty();
        out.put_array(if plain { 7 } else { 8 });
        out.put_uint(if plain { VERSION_PLAIN } else { VERSION });
        out.put_bytes(self.node.as_bytes());
        out.put_text(&self.name);
        out.put_bytes(&self.sealing_key.0);
        if !plain {
            out.put_array(u64::try_from(self.prekeys.len()).unwrap_or(u64::MAX));
        }
        for prekey in &self.prekeys {
            out.put_array(2);
            out.put_bytes(&prekey.key.0);
            out.put_uint(prekey.valid_until_s);
        }
        for entries in [&self.addresses, &self.services] {
            // A card that was not checked yet may have more; the count is still its own.
            out.put_array(u64::try_from(entries.len()).unwrap_or(u64::MAX));
            entries.iter().for_each(|entry| out.put_text(entry));
        }
        out.put_uint(self.counter);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, CardError> {
        let mut reader = Reader::new(bytes);
        let mut elements = reader.array()?;
        elements.next(&mut reader)?;
        let version = reader.uint()?;
        if ![VERSION_PLAIN, VERSION].contains(&version) {
            return Err(CardError::Version(version));
        }
        elements.next(&mut reader)?;
        let node = NodeId::from_bytes(envelope::bytes32(&mut reader)?).map_err(|_| CardError::Node)?;
        elements.next(&mut reader)?;
        let name = reader.text()?.into_owned();
        elements.next(&mut reader)?;
        let sealing_key = SealingKey(envelope::bytes32(&mut reader)?);
        let prekeys = if version == VERSION_PLAIN {
            Vec::new()
        } else {
            elements.next(&mut reader)?;
            prekeys(&mut reader)?
        };
        elements.next(&mut reader)?;
        let addresses = entries(&mut reader)?;
        elements.next(&mut reader)?;
        let services = entries(&mut reader)?;
        elements.next(&mut reader)?;
        let counter = reader.uint()?;
        elements.finish(&mut reader)?;
        reader.end()?;
        let card = Self { node, name, sealing_key, prekeys, addresses, services, counter };
        card.check()?;
        Ok(card)
    }
}

impl SignedCard {
    /// Reads a card and verifies its signature.
    ///
    /// # Errors
    /// If it is not exactly what [`Card::sign`] makes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CardError> {
        if bytes.len() > CARD_BYTES_MAX {
            return Err(CardError::TooLarge);
        }
        let (body, signature) = envelope::open(bytes)?;
        let card = Card::decode(body)?;
        if card.encode() != body || envelope::close(body, &signature) != bytes {
            return Err(CardError::NotCanonical);
        }
        verify(&card.node, &envelope::to_be_signed(SIGNING_CONTEXT, body), &signature)
            .map_err(|_| CardError::Signature)?;
        Ok(Self { card, bytes: bytes.to_vec() })
    }

    /// What the card says.
    #[must_use]
    pub const fn card(&self) -> &Card {
        &self.card
    }

    /// The signed card as it travels.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The card for a QR code or a file: `CAIRN:` and upper-case base32.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = TEXT_PREFIX.to_string();
        BASE32_NOPAD.encode_append(&self.bytes, &mut text);
        text
    }

    /// Reads the text form, in upper or lower case, with white space around it or between lines.
    ///
    /// # Errors
    /// If the text or the card in it is wrong.
    pub fn from_text(text: &str) -> Result<Self, CardError> {
        // White space does not count towards the limit, but it cannot be without end either.
        if text.len() > 4 * CARD_BYTES_MAX {
            return Err(CardError::TooLarge);
        }
        let letters: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
        let letters = letters.to_ascii_uppercase();
        let letters = letters.strip_prefix(TEXT_PREFIX).ok_or(CardError::Text)?;
        let bytes = BASE32_NOPAD.decode(letters.as_bytes()).map_err(|_| CardError::Text)?;
        Self::decode(&bytes)
    }
}

fn prekeys(reader: &mut Reader<'_>) -> Result<Vec<Prekey>, CardError> {
    let mut elements = reader.array()?;
    let mut prekeys = Vec::new();
    while elements.more(reader) {
        if prekeys.len() == CARD_PREKEYS_MAX {
            return Err(CardError::Prekeys);
        }
        let mut pair = reader.array()?;
        pair.next(reader)?;
        let key = SealingKey(envelope::bytes32(reader)?);
        pair.next(reader)?;
        let valid_until_s = reader.uint()?;
        pair.finish(reader)?;
        prekeys.push(Prekey { key, valid_until_s });
    }
    Ok(prekeys)
}

fn entries(reader: &mut Reader<'_>) -> Result<Vec<String>, CardError> {
    let mut elements = reader.array()?;
    let mut entries = Vec::new();
    while elements.more(reader) {
        if entries.len() == CARD_ENTRIES_MAX {
            return Err(CardError::Entry);
        }
        entries.push(reader.text()?.into_owned());
    }
    Ok(entries)
}

/// Text that shows as what it is: no control characters, and none that turn the direction.
fn is_plain(text: &str, bytes_max: usize) -> bool {
    let deceives = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    !text.is_empty() && text.len() <= bytes_max && !text.chars().any(deceives)
}
