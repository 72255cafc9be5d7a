//! What this node would give, and how far the giving has come.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::frame::{CHUNK_BYTES_MAX, IDS_MAX};
use crate::item::{Item, Topic};
use crate::meet::{Mode, Transmit};
use crate::queue::Queue;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The Have waits for its turn.
    Queued,
    /// The Have is out.
    Announced,
    /// To be sent.
    Wanted,
    /// Sent up to this offset.
    Sending(u64),
    /// Sent as a whole; the answer is missing.
    Sent,
}

#[derive(Debug)]
struct Offer {
    bytes: u64,
    state: State,
}

/// What became of a peer's Want.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Queued,
    Gone,
    TooLarge,
}

#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    offers: BTreeMap<Item, Offer>,
    haves: Queue,
    pushes: Queue,
    /// At most one item of a topic is under way, so that the peer holds few partial ones.
    sending: BTreeMap<Topic, Item>,
}

impl Outgoing {
    /// Announces an item, or pushes it in a carried meet. False if there is no room.
    pub(crate) fn offer(&mut self, mode: Mode, item: Item, bytes: u64, offers_max: usize) -> bool {
        if self.offers.contains_key(&item) {
            return true;
        }
        if self.offers.len() >= offers_max {
            return false;
        }
        let state = match mode {
            Mode::Live => {
                self.haves.push(item);
                State::Queued
            }
            Mode::Carried => {
                self.pushes.push(item);
                State::Wanted
            }
        };
        self.offers.insert(item, Offer { bytes, state });
        true
    }

    /// The peer asks for an item.
    pub(crate) fn want(&mut self, item: Item, peer_bytes_max: u64) -> Wanted {
        let Some(offer) = self.offers.get_mut(&item) else {
            return Wanted::Gone;
        };
        if offer.bytes > peer_bytes_max {
            self.remove(item);
            return Wanted::TooLarge;
        }
        if matches!(offer.state, State::Queued | State::Announced) {
            offer.state = State::Wanted;
            self.haves.remove(item);
            self.pushes.push(item);
        }
        Wanted::Queued
    }

    /// Forgets an offer. `None` if it is not known, else whether the peer may still wait for it: even a chunk that was
    /// handed out as the last one may not have been readable.
    pub(crate) fn remove(&mut self, item: Item) -> Option<bool> {
        let offer = self.offers.remove(&item)?;
        match offer.state {
            State::Queued => self.haves.remove(item),
            State::Wanted => self.pushes.remove(item),
            State::Sending(_) => {
                self.sending.remove(&item.topic);
            }
            State::Announced | State::Sent => {}
        }
        Some(matches!(offer.state, State::Wanted | State::Sending(_) | State::Sent))
    }

    /// Whether the offer can be dropped because the peer turns out to have the item: not while it is being sent,
    /// since the peer counts on the rest.
    pub(crate) fn is_moot(&self, item: Item) -> bool {
        self.offers.get(&item).is_some_and(|offer| !matches!(offer.state, State::Sending(_)))
    }

    pub(crate) fn contains(&self, item: Item) -> bool {
        self.offers.contains_key(&item)
    }

    /// Ids to announce or a chunk to send, the most urgent topic first.
    pub(crate) fn poll(&mut self) -> Option<Next> {
        Topic::ALL.into_iter().find_map(|topic| {
            if self.haves.first_topic() == Some(topic)
                && let Some((topic, run)) = self.haves.pop_run(IDS_MAX)
            {
                for item in &run {
                    if let Some(offer) = self.offers.get_mut(item) {
                        offer.state = State::Announced;
                    }
                }
                return Some(Next::Have(topic, run));
            }
            self.next_chunk(topic).map(Next::Chunk)
        })
    }

    fn next_chunk(&mut self, topic: Topic) -> Option<Transmit> {
        let item = match self.sending.get(&topic) {
            Some(item) => *item,
            None => self.pushes.pop(topic)?,
        };
        let offer = self.offers.get_mut(&item)?;
        let offset = if let State::Sending(offset) = offer.state { offset } else { 0 };
        let chunk = u64::try_from(CHUNK_BYTES_MAX).unwrap_or(u64::MAX);
        let len = offer.bytes.saturating_sub(offset).min(chunk);
        let end = offset.saturating_add(len);
        if end >= offer.bytes {
            offer.state = State::Sent;
            self.sending.remove(&topic);
        } else {
            offer.state = State::Sending(end);
            self.sending.insert(topic, item);
        }
        Some(Transmit::Chunk { item, total: offer.bytes, offset, len })
    }

    /// Nothing is left to announce or to push.
    pub(crate) fn is_drained(&self) -> bool {
        self.haves.is_empty() && self.pushes.is_empty() && self.sending.is_empty()
    }

    /// Every offer was answered.
    pub(crate) fn is_settled(&self) -> bool {
        self.offers.is_empty()
    }
}

/// What [`Outgoing::poll`] hands out.
#[derive(Debug)]
pub(crate) enum Next {
    Have(Topic, Vec<Item>),
    Chunk(Transmit),
}
