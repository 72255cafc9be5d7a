//! Prekeys: keys that are sealed to for a day and forgotten after a while, so that whoever takes a
//! node later cannot read the mail that it received before.
//!
//! A [`Prekeys`] ring counts in rotations and not in dates: fourteen rotations after a key was replaced
//! its secret is gone. A clock that jumps by years makes one rotation and erases one key, the oldest;
//! so a wrong clock delays, and loses no mail.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use crate::card::Prekey;
use crate::cbor::{CborError, Reader, Write};
use crate::identity::{Identity, SealingKey};

/// Secrets that a ring holds at the most, the current one included.
pub const PREKEYS_HELD_MAX: usize = 64;
/// Erased keys that a ring remembers by their key ids, to say what became of them.
pub const PREKEYS_ERASED_MAX: usize = 64;
/// Largest serialised ring.
pub const PREKEYS_BYTES_MAX: usize = 3584;
/// How long a card lets others seal to a prekey, at the most. The rest of the grace is for the way.
pub const PREKEY_VALID_MAX_S: u64 = 8 * DAY_S;

const DAY_S: u64 = 86_400;
const VERSION: u64 = 1;
const CHECKSUM_BYTES: usize = 16;
const CHECKSUM_CONTEXT: &str = "cairn 2026-11 prekeys checksum";
/// What a bundle calls a key by: enough of it to find it among those of one node.
pub(crate) const KEY_ID_BYTES: usize = 8;

/// How often a prekey is replaced, and how long it can still be opened with afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrekeyTimes {
    /// How long a key is the current one, in seconds.
    pub period_s: u64,
    /// How long its secret is kept after that.
    pub grace_s: u64,
}

impl Default for PrekeyTimes {
    /// A day, and fourteen days.
    fn default() -> Self {
        Self { period_s: DAY_S, grace_s: 14 * DAY_S }
    }
}

impl PrekeyTimes {
    /// Keys that are held when there were enough rotations: the current one and those in their grace.
    fn held_most(&self) -> usize {
        let rotations = usize::try_from(self.grace_s.div_ceil(self.period_s.max(1))).unwrap_or(usize::MAX);
        rotations.saturating_add(1).min(PREKEYS_HELD_MAX)
    }

    /// How long a fresh key may be sealed to: while it is current and for half of the time that it is held
    /// afterwards.
    fn valid_s(&self) -> u64 {
        let rotations = u64::try_from(self.held_most()).unwrap_or(u64::MAX).saturating_sub(1);
        let held_s = rotations.saturating_mul(self.period_s);
        self.period_s.saturating_add(held_s / 2).min(PREKEY_VALID_MAX_S)
    }
}

/// Which of its keys a bundle was sealed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SealedTo {
    /// A prekey: once that is erased, nobody can open the bundle again.
    Prekey,
    /// The long-term key: whoever ever gets hold of the identity can open the bundle.
    LongTerm,
}

/// One secret. Boxed, so that no copy stays behind when the ring moves or grows.
struct Held {
    secret: Box<Zeroizing<[u8; 32]>>,
    public: SealingKey,
}

impl Held {
    fn new(secret: Box<Zeroizing<[u8; 32]>>) -> Self {
        let public = SealingKey(PublicKey::from(&StaticSecret::from(**secret)).to_bytes());
        Self { secret, public }
    }
}

/// The prekeys of one node, newest first. Erased from memory when dropped; never printed.
pub struct Prekeys {
    times: PrekeyTimes,
    /// Rotations so far.
    rotations: u64,
    /// Seconds that the node has run since the last rotation.
    ran_s: u64,
    /// The wall clock at the last rotation; 0 if there was none.
    rotated_wall_s: u64,
    held: Vec<Held>,
    erased: Vec<[u8; KEY_ID_BYTES]>,
}

/// Why some bytes are not a ring of prekeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrekeysError {
    /// More than [`PREKEYS_BYTES_MAX`] bytes.
    #[error("prekeys have at most {PREKEYS_BYTES_MAX} bytes")]
    TooLarge,
    /// The checksum is another: cut off or damaged.
    #[error("the prekeys are damaged")]
    Damaged,
    /// Written by a newer version.
    #[error("prekeys of version {0} are not known")]
    Version(u64),
    /// The checksum holds but the contents are not those of a ring.
    #[error("the prekeys are not well-formed: {0}")]
    Cbor(#[from] CborError),
    /// Too many keys, or the same ring can be written in another way.
    #[error("the prekeys are not in their one form")]
    NotCanonical,
}

impl Prekeys {
    /// A ring without any key: the first rotation is due at once.
    #[must_use]
    pub const fn new(times: PrekeyTimes) -> Self {
        Self { times, rotations: 0, ran_s: 0, rotated_wall_s: 0, held: Vec::new(), erased: Vec::new() }
    }

    /// Counts time for which the node has run, by its monotonic clock.
    pub const fn pass(&mut self, seconds: u64) {
        self.ran_s = self.ran_s.saturating_add(seconds);
    }

    /// Whether the current key has been in use for its period.
    ///
    /// By the time that the node has run since, or by the wall clock if that moved forward so far. A
    /// wall clock that went back says nothing. However far it jumps, one rotation is due and no more.
    #[must_use]
    pub fn is_due(&self, wall_s: Option<u64>) -> bool {
        self.held.is_empty() || self.age_s(wall_s) >= self.times.period_s
    }

    /// Seconds for which the node has to run until a rotation is due by that alone.
    #[must_use]
    pub const fn due_in_s(&self) -> u64 {
        if self.held.is_empty() { 0 } else { self.times.period_s.saturating_sub(self.ran_s) }
    }

    /// Makes a new current key and erases those whose grace is over.
    ///
    /// The new key may be announced once [`encode`](Self::encode) of this ring is durable, not before.
    pub fn rotate(&mut self, wall_s: Option<u64>, me: &Identity, rng: &mut dyn CryptoRng) {
        let mut random = Zeroizing::new([0; 32]);
        rng.fill_bytes(random.as_mut_slice());
        // The identity helps against a bad generator; without the randomness it gives nothing.
        let mut hasher = blake3::Hasher::new_derive_key("cairn 2026-11 X25519 prekey");
        hasher.update(random.as_slice()).update(me.seed()).update(&self.rotations.to_be_bytes());
        let mut secret = Box::new(Zeroizing::new([0; 32]));
        // The output as well holds what went in, until it is erased.
        let mut output = hasher.finalize_xof();
        output.fill(secret.as_mut_slice());
        output.zeroize();
        hasher.zeroize();
        self.held.insert(0, Held::new(secret));
        let old = self.held.drain(self.times.held_most().min(self.held.len())..);
        // Oldest last, as the keys are.
        let gone: Vec<_> = old.map(|held| key_id(&held.public)).collect();
        self.erased.splice(0..0, gone);
        self.erased.truncate(PREKEYS_ERASED_MAX);
        self.rotations = self.rotations.saturating_add(1);
        self.ran_s = 0;
        self.rotated_wall_s = wall_s.unwrap_or(0);
    }

    /// What a card says of the current key; `None` before the first rotation.
    ///
    /// Older keys are not announced: nobody would choose one of them.
    #[must_use]
    pub fn announcement(&self, wall_s: Option<u64>) -> Option<Prekey> {
        let current = self.held.first()?;
        let left_s = self.times.valid_s().saturating_sub(self.age_s(wall_s).min(self.times.period_s));
        let valid_until_s = wall_s.map_or(0, |wall_s| wall_s.saturating_add(left_s));
        Some(Prekey { key: current.public, valid_until_s })
    }

    /// How many rotations ago a key was made; `None` if it is not of this ring, or erased.
    #[must_use]
    pub fn rotations_since(&self, key: &SealingKey) -> Option<usize> {
        self.held.iter().position(|held| held.public == *key)
    }

    /// Secrets that are there now.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there is no key yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Rotations so far: of two copies of a ring the one with more is newer.
    #[must_use]
    pub const fn rotations(&self) -> u64 {
        self.rotations
    }

    /// Seconds that the node has run since the last rotation.
    #[must_use]
    pub const fn ran_s(&self) -> u64 {
        self.ran_s
    }

    /// How long the current key is in use, by whichever clock says more.
    fn age_s(&self, wall_s: Option<u64>) -> u64 {
        let by_wall = match (wall_s, self.rotated_wall_s) {
            (Some(now), before) if before > 0 => now.saturating_sub(before),
            // A clock that was not there at the last rotation has nothing to compare with.
            (Some(_) | None, _) => 0,
        };
        self.ran_s.max(by_wall)
    }

    /// The secrets that a bundle may mean, for there may be more than one.
    pub(crate) fn secrets(
        &self,
        id: &[u8; KEY_ID_BYTES],
    ) -> impl Iterator<Item = (SealedTo, StaticSecret)> + use<'_> {
        let id = *id;
        let named = self.held.iter().filter(move |held| key_id(&held.public) == id);
        named.map(|held| (SealedTo::Prekey, StaticSecret::from(**held.secret)))
    }

    /// Whether a bundle may mean a key that was erased.
    pub(crate) fn has_erased(&self, id: &[u8; KEY_ID_BYTES]) -> bool {
        self.erased.contains(id)
    }

    /// The ring with all its secrets, to be written where it can be overwritten, and nowhere else.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Never grows, so that no copy of a secret is left in freed memory.
        let mut out = Zeroizing::new(Vec::with_capacity(PREKEYS_BYTES_MAX));
        out.put_array(8);
        let numbers = [
            VERSION,
            self.times.period_s,
            self.times.grace_s,
            self.rotations,
            self.ran_s,
            self.rotated_wall_s,
        ];
        numbers.into_iter().for_each(|number| out.put_uint(number));
        out.put_array(u64::try_from(self.held.len()).unwrap_or(u64::MAX));
        self.held.iter().for_each(|held| out.put_bytes(held.secret.as_slice()));
        out.put_array(u64::try_from(self.erased.len()).unwrap_or(u64::MAX));
        self.erased.iter().for_each(|id| out.put_bytes(id));
        let checksum = checksum(&out);
        out.raw(&checksum);
        out
    }

    /// Reads a ring back.
    ///
    /// # Errors
    /// If it is not exactly what [`encode`](Self::encode) gave.
    pub fn decode(bytes: &[u8]) -> Result<Self, PrekeysError> {
        if bytes.len() > PREKEYS_BYTES_MAX {
            return Err(PrekeysError::TooLarge);
        }
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(PrekeysError::Damaged)?;
        if checksum(body) != *sum {
            return Err(PrekeysError::Damaged);
        }
        let mut reader = Reader::new(body);
        let mut elements = reader.array()?;
        let mut numbers = [0; 6];
        for (position, number) in numbers.iter_mut().enumerate() {
            elements.next(&mut reader)?;
            *number = reader.uint()?;
            if position == 0 && *number != VERSION {
                return Err(PrekeysError::Version(*number));
            }
        }
        let [_version, period_s, grace_s, rotations, ran_s, rotated_wall_s] = numbers;
        elements.next(&mut reader)?;
        let held = chunks::<32>(&mut reader, PREKEYS_HELD_MAX)?;
        elements.next(&mut reader)?;
        let erased = chunks::<KEY_ID_BYTES>(&mut reader, PREKEYS_ERASED_MAX)?;
        elements.finish(&mut reader)?;
        reader.end()?;
        let boxed = held.iter().map(|secret| {
            let mut own = Box::new(Zeroizing::new([0; 32]));
            own.copy_from_slice(secret.as_slice());
            Held::new(own)
        });
        let ring = Self {
            times: PrekeyTimes { period_s, grace_s },
            rotations,
            ran_s,
            rotated_wall_s,
            held: boxed.collect(),
            erased: erased.into_iter().copied().collect(),
        };
        if *ring.encode() == bytes { Ok(ring) } else { Err(PrekeysError::NotCanonical) }
    }
}

impl Default for Prekeys {
    fn default() -> Self {
        Self::new(PrekeyTimes::default())
    }
}

impl fmt::Debug for Prekeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prekeys({} held after {} rotations)", self.held.len(), self.rotations)
    }
}

/// The first bytes of a key, by which a bundle names it.
pub(crate) fn key_id(key: &SealingKey) -> [u8; KEY_ID_BYTES] {
    let mut id = [0; KEY_ID_BYTES];
    id.iter_mut().zip(key.0).for_each(|(to, from)| *to = from);
    id
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key(CHECKSUM_CONTEXT);
    let mut sum = [0; CHECKSUM_BYTES];
    hasher.update(body).finalize_xof().fill(&mut sum);
    sum
}

/// An array of byte strings of one length.
fn chunks<'a, const N: usize>(
    reader: &mut Reader<'a>,
    count_max: usize,
) -> Result<Vec<&'a [u8; N]>, PrekeysError> {
    let mut elements = reader.array()?;
    let mut chunks = Vec::new();
    while elements.more(reader) {
        if chunks.len() == count_max {
            return Err(PrekeysError::NotCanonical);
        }
        let chunk = <&[u8; N]>::try_from(reader.bytes_definite()?).map_err(|_| CborError::Count)?;
        chunks.push(chunk);
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constant::Constant;
    use crate::{Bundle, Class, CreationTimestamp, Draft, Eid, OpenError, open, seal};

    fn me() -> Identity {
        Identity::from_seed(&[2; 32])
    }

    fn sealed_to(key: &SealingKey) -> Bundle {
        let draft = Draft {
            destination: Eid::node(&me().node_id(), "inbox").unwrap(),
            source_service: "chat",
            creation: CreationTimestamp { time_ms: 1, seq: 1 },
            lifetime_ms: 1,
            hop_limit: 1,
            class: Class::Normal,
            age_ms: None,
            may_fragment: false,
            admin_record: false,
            payload: b"stones",
        };
        seal(&draft, &Identity::from_seed(&[1; 32]), key, &mut Constant(4)).unwrap()
    }

    /// Makes a key of the ring look like another one to whoever reads key ids only.
    fn disguise(ring: &mut Prekeys, position: usize, as_key: &SealingKey) {
        ring.held[position].public.0[..KEY_ID_BYTES].copy_from_slice(&key_id(as_key));
    }

    #[test]
    fn keys_that_begin_alike_are_all_tried() {
        let mut ring = Prekeys::default();
        (1..=3).for_each(|n| ring.rotate(None, &me(), &mut Constant(n)));
        let (long_term, oldest) = (me().sealing_key(), ring.held[2].public);
        disguise(&mut ring, 0, &long_term);
        disguise(&mut ring, 1, &oldest);
        let opened = open(&sealed_to(&long_term), &me(), &ring).unwrap();
        assert_eq!((opened.sealed_to, &opened.payload[..]), (SealedTo::LongTerm, &b"stones"[..]));
        let opened = open(&sealed_to(&oldest), &me(), &ring).unwrap();
        assert_eq!((opened.sealed_to, &opened.payload[..]), (SealedTo::Prekey, &b"stones"[..]));
    }

    #[test]
    fn a_key_that_begins_like_an_erased_one_still_opens() {
        let mut ring = Prekeys::default();
        ring.rotate(None, &me(), &mut Constant(1));
        let key = ring.held[0].public;
        ring.erased.push(key_id(&key));
        assert!(open(&sealed_to(&key), &me(), &ring).is_ok());
        ring.held.clear();
        assert_eq!(open(&sealed_to(&key), &me(), &ring), Err(OpenError::ErasedKey));
    }
}
