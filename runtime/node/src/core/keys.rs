//! What this node gives out of itself: its card, and the prekeys that the card announces.
//!
//! A prekey is durable before the card that announces it, and the card is durable before anybody sees it:
//! whatever mail is sealed to, this node can open, and no counter of a card is used twice.

use cairn_board::{Fact, Member};
use cairn_bundle::card::{Card, CardError, SignedCard};
use cairn_bundle::{Identity, Prekey, Prekeys};
use cairn_engine::{Event, Instant};
use cairn_store::Table;

use super::commit::{After, RequestId, Tx};
use super::{Clock, Core, Output, RETRY_MS};
use crate::control::api::{PrekeyInfo, Response};

/// The own card as it was given out last.
pub(super) const CARD: &[u8] = b"card";
/// The counter alone, as earlier versions kept it.
pub(super) const CARD_COUNTER: &[u8] = b"card counter";
/// For how long the current prekey has been in use.
pub(super) const PREKEY_AGE: &[u8] = b"prekey age";

/// Addresses on the own card at the most.
const CARD_ADDRESSES_MAX: usize = 8;
/// How often the running time is written down: what a power cut takes of it delays a rotation.
const AGE_KEPT_EVERY_S: u64 = 3_600;
/// A board gets a new card when the prekey on it is so many rotations old. Boards only grow, and a prekey
/// can be sealed to for eight days: half of that is left for the way.
const BOARD_CARD_ROTATIONS: usize = 4;
/// A card is written anew when the date on it is wrong by more than this, because the clock was set.
const DATE_WRONG_S: u64 = 12 * 3_600;
/// Wall clocks beyond this (the year 36812) do not move the counter of a card, so that it never runs out.
const COUNTER_BY_CLOCK_MAX: u64 = 1 << 40;

/// The secrets of a node.
#[derive(Debug)]
pub struct Secrets {
    /// Who it is.
    pub identity: Identity,
    /// What it can open, apart from what is sealed to the identity.
    pub prekeys: Prekeys,
}

/// Where the ring of prekeys stands.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) prekeys: Prekeys,
    /// Up to here the running time was counted.
    counted: Instant,
    /// The running time that is durable.
    kept_s: u64,
    /// Whether the ring that is in memory is durable.
    durable: bool,
    /// Whether it is being written.
    pub(super) writing: bool,
    retry_at: Option<Instant>,
    /// The card that is on its way to the disk.
    coming: Option<SignedCard>,
    /// Who wants the card and came before it was durable.
    waiting: Vec<RequestId>,
}

impl Keys {
    /// Takes a ring as it was read from the disk.
    pub(super) fn new(prekeys: Prekeys, now: Instant) -> Self {
        let (kept_s, durable) = (prekeys.ran_s(), !prekeys.is_empty());
        Self {
            prekeys,
            counted: now,
            kept_s,
            durable,
            writing: false,
            retry_at: None,
            coming: None,
            waiting: Vec::new(),
        }
    }

    /// Goes on with the running time that was written down, if it is that of the current key.
    pub(super) fn restore_age(&mut self, value: &[u8]) {
        let parsed = value.split_first_chunk::<8>().and_then(|(rotations, ran)| {
            Some((u64::from_be_bytes(*rotations), u64::from_be_bytes(ran.try_into().ok()?)))
        });
        if let Some((rotations, ran_s)) = parsed
            && rotations == self.prekeys.rotations()
        {
            self.prekeys.pass(ran_s.saturating_sub(self.prekeys.ran_s()));
            self.kept_s = self.prekeys.ran_s();
        }
    }

    fn age(&self) -> [u8; 16] {
        let mut value = [0; 16];
        let numbers = [self.prekeys.rotations(), self.prekeys.ran_s()].map(u64::to_be_bytes);
        value.iter_mut().zip(numbers.as_flattened()).for_each(|(to, from)| *to = *from);
        value
    }

    fn count(&mut self, now: Instant) {
        let seconds = (now - self.counted) / 1_000;
        self.prekeys.pass(seconds);
        self.counted = self.counted.plus_ms(seconds.saturating_mul(1_000));
    }

    /// When there is something to do again.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.writing {
            return None;
        }
        if !self.durable {
            return self.retry_at;
        }
        let write_s = self.kept_s.saturating_add(AGE_KEPT_EVERY_S).saturating_sub(self.prekeys.ran_s());
        Some(self.counted.plus_ms(self.prekeys.due_in_s().min(write_s).saturating_mul(1_000)))
    }
}

impl Core {
    /// Rotates the prekeys when it is time, and sees to it that they are on the disk.
    pub(super) fn tend_keys(&mut self) {
        let now = self.clock.now;
        self.keys.count(now);
        if !self.keys.writing && self.keys.prekeys.is_due(self.clock.wall) {
            self.keys.prekeys.rotate(self.clock.wall, &self.identity, &mut self.rng);
            self.keys.kept_s = 0;
            self.keys.durable = false;
            self.keys.retry_at = None;
        }
        if self.keys.durable {
            if self.keys.prekeys.ran_s() >= self.keys.kept_s.saturating_add(AGE_KEPT_EVERY_S) {
                self.keep_age();
            }
        } else if !self.keys.writing && self.keys.retry_at.is_none_or(|at| at <= now) {
            self.keys.writing = true;
            self.outputs.push_back(Output::KeepPrekeys { ring: self.keys.prekeys.encode() });
        }
    }

    /// The ring on the disk could not be read any more: what is sealed to its keys is lost.
    pub fn note_lost_prekeys(&mut self) {
        self.count("rings of prekeys that could not be read back");
        self.warnings.insert(PREKEYS_LOST.to_owned());
    }

    /// Writes down for how long the current key has been in use.
    pub(super) fn keep_age(&mut self) {
        self.keys.kept_s = self.keys.prekeys.ran_s();
        let mut tx = Tx::default();
        tx.put(Table::Meta, PREKEY_AGE, self.keys.age());
        self.commits.own(tx);
    }

    /// The ring is on the disk, or the disk refused it.
    pub(super) fn prekeys_kept(&mut self, durable: bool) {
        self.keys.writing = false;
        self.keys.durable = durable;
        if durable {
            self.warnings.remove(PREKEYS_REFUSED);
            self.renew_card();
        } else {
            self.count("prekeys held back: the disk could not take them");
            self.warnings.insert(PREKEYS_REFUSED.to_owned());
            self.keys.retry_at = Some(self.clock.now.plus_ms(RETRY_MS));
        }
        self.answer_exports();
    }

    /// Writes a new card if something on it is not true any more. A higher counter wins everywhere.
    pub(super) fn renew_card(&mut self) {
        let old = self.keys.coming.as_ref().unwrap_or(&self.card).card();
        let prekey = self.keys.prekeys.announcement(self.clock.wall);
        let dated = old.prekeys.first().copied();
        // A key that is not durable yet is not announced; it will be as soon as it is.
        let prekeys = if !self.keys.durable || is_same(dated, prekey) {
            old.prekeys.clone()
        } else {
            prekey.into_iter().collect()
        };
        let by_clock = self.clock.claim().min(COUNTER_BY_CLOCK_MAX);
        let mut card = card_of(&self.identity, &self.settings.name, &self.addresses, old.counter);
        card.prekeys = prekeys;
        if card == *old {
            return;
        }
        card.counter = old.counter.saturating_add(1).max(by_clock);
        match card.sign(&self.identity) {
            Ok(card) => {
                let mut tx = Tx::default();
                tx.put(Table::Meta, CARD, card.as_bytes());
                tx.then(After::OwnCard { card: Box::new(card.clone()) });
                self.keys.coming = Some(card);
                self.commits.own(tx);
            }
            Err(error) => self.say(format!("the card cannot be written: {error}")),
        }
    }

    /// The new card may be shown: to peers at a new meet, and on boards where it is time.
    pub(super) fn card_is_durable(&mut self, card: SignedCard) {
        if self.keys.coming.as_ref() == Some(&card) {
            self.keys.coming = None;
        }
        let announces = card.card().prekeys != self.card.card().prekeys;
        self.card = card;
        if announces {
            self.publish_cards();
            self.engine(Event::Renew);
        }
        self.answer_exports();
    }

    /// Puts the card on every board whose card of this node has a prekey that is too old.
    fn publish_cards(&mut self) {
        let fresh = |card: &SignedCard| {
            let key = card.card().prekeys.first().map(|prekey| prekey.key);
            let since = key.and_then(|key| self.keys.prekeys.rotations_since(&key));
            since.is_some_and(|rotations| rotations < BOARD_CARD_ROTATIONS)
        };
        let stale = self.boards.iter().filter(|slot| {
            let shown = slot.view.members.get(&self.me).filter(|member| member.introduced);
            let card = shown.and_then(|member| SignedCard::decode(&member.card).ok());
            !card.is_some_and(|card| fresh(&card))
        });
        let groups: Vec<u32> = stale.map(|slot| slot.group).collect();
        let mut tx = Tx::default();
        for group in groups {
            self.publish_own_card(&mut tx, group);
        }
        self.commits.own(tx);
    }

    pub(super) fn publish_own_card(&mut self, tx: &mut Tx, group: u32) {
        let card = self.card.as_bytes().to_vec();
        self.publish_fact(tx, group, &Fact::Member(Member { node: self.me, card }));
    }

    /// Answers with the own card as soon as what it announces is durable.
    pub(super) fn export_card(&mut self, request: RequestId) {
        self.keys.waiting.push(request);
        self.answer_exports();
    }

    fn answer_exports(&mut self) {
        if self.keys.coming.is_none() && !self.keys.writing {
            self.hand_out_card();
        }
    }

    /// Gives the card to those who wait for it.
    pub(super) fn hand_out_card(&mut self) {
        for request in core::mem::take(&mut self.keys.waiting) {
            self.reply(request, Response::Text { text: self.card.to_text() });
        }
    }

    /// The prekeys, for the status.
    pub(super) fn prekey_info(&self) -> PrekeyInfo {
        let announced = self.card.card().prekeys.first();
        PrekeyInfo {
            announced: announced.is_some(),
            valid_until: announced.map(|prekey| prekey.valid_until_s).filter(|until| *until > 0),
            next_in_s: self.keys.prekeys.due_in_s(),
            held: u64::try_from(self.keys.prekeys.len()).unwrap_or(u64::MAX),
            clock: self.clock.wall,
        }
    }
}

/// Whether two announcements say the same, give or take what clocks differ by.
fn is_same(old: Option<Prekey>, new: Option<Prekey>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => {
            // A clock that is lost takes back nothing that it said before.
            let off = old.valid_until_s.abs_diff(new.valid_until_s) > DATE_WRONG_S;
            old.key == new.key && (new.valid_until_s == 0 || !off)
        }
        (old, new) => old.is_none() == new.is_none(),
    }
}

/// A card without prekeys.
fn card_of(identity: &Identity, name: &str, addresses: &[String], counter: u64) -> Card {
    Card {
        node: identity.node_id(),
        name: name.to_owned(),
        sealing_key: identity.sealing_key(),
        prekeys: Vec::new(),
        addresses: addresses.iter().take(CARD_ADDRESSES_MAX).cloned().collect(),
        services: vec![super::wire::SERVICE_INBOX.to_owned(), super::wire::SERVICE_LEDGER.to_owned()],
        counter,
    }
}

/// The card that a node has before it has given out any.
pub(super) fn first_card(identity: &Identity, name: &str, counter: u64) -> Result<SignedCard, CardError> {
    card_of(identity, name, &[], counter).sign(identity)
}

/// What a sender knows of time with respect to a contact's card.
pub(super) fn sender_clock(clock: &Clock, contact: &super::Contact) -> cairn_bundle::SenderClock {
    cairn_bundle::SenderClock {
        wall_s: clock.wall.filter(|_| contact.dated),
        heard_s: contact.heard.map(|at| (clock.now - at) / 1_000),
    }
}

const PREKEYS_LOST: &str =
    "the prekeys were damaged: mail that was sealed to them cannot be opened; hint: check the disk";
const PREKEYS_REFUSED: &str =
    "the disk does not take new prekeys: mail to this node has no forward secrecy; free disk space";
