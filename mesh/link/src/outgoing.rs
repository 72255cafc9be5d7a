//! What this node would give, and how far the giving has come.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::event::Transmit;
use crate::frame::{CHUNK_BYTES_MAX, IDS_MAX};
use crate::item::{Item, Topic};
use crate::meet::Mode;
use crate::queue::Queue;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The Have waits for its turn.
    Queued,
    /// The Have is out.
    Announced,
    /// To be sent.
    Wanted,
    /// Sent up to this offset; how many copies go with it has been said.
    Sending(u64),
    /// Sent as a whole; the answer is missing.
    Sent,
}

#[derive(Debug)]
struct Offer {
    bytes: u64,
    rank: u64,
    copies: u8,
    state: State,
}

/// Copies that go with an item of which nothing is said.
pub(crate) const COPIES_DEFAULT: u8 = 1;
/// Most items of a topic that are under way at a time, by overtaking.
const UNDER_WAY_MAX: usize = 3;
/// The part of a rank that may overtake an item under way: its first byte.
const fn class(rank: u64) -> u64 {
    rank >> 56
}

/// An item that may be given, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gift {
    pub(crate) item: Item,
    pub(crate) bytes: u64,
    pub(crate) rank: u64,
    pub(crate) copies: u8,
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
    /// The items of a topic that are under way, the last one now. Only a more urgent class overtakes, so that the peer
    /// holds few partial ones.
    sending: BTreeMap<Topic, Vec<Item>>,
}

impl Outgoing {
    /// Announces an item, or pushes it in a carried meet. False if there is no room.
    pub(crate) fn offer(&mut self, mode: Mode, gift: Gift, offers_max: usize) -> bool {
        let Gift { item, bytes, rank, copies } = gift;
        if self.offers.contains_key(&item) {
            return true;
        }
        if self.offers.len() >= offers_max {
            return false;
        }
        let state = match mode {
            Mode::Live => {
                self.haves.push_ranked(item, rank);
                State::Queued
            }
            Mode::Carried => {
                self.pushes.push_ranked(item, rank);
                State::Wanted
            }
        };
        self.offers.insert(item, Offer { bytes, rank, copies, state });
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
            self.pushes.push_ranked(item, offer.rank);
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
            State::Sending(_) => self.end_sending(item),
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

    /// Ids to announce, or what is to be sent of an item, the most urgent topic first.
    pub(crate) fn poll(&mut self) -> Option<Next> {
        Topic::ALL.into_iter().find_map(|topic| self.poll_topic(topic))
    }

    /// The same for one topic.
    pub(crate) fn poll_topic(&mut self, topic: Topic) -> Option<Next> {
        let run = self.haves.pop_run_of(topic, IDS_MAX);
        if run.is_empty() {
            return self.next_piece(topic);
        }
        for item in &run {
            if let Some(offer) = self.offers.get_mut(item) {
                offer.state = State::Announced;
            }
        }
        Some(Next::Have(topic, run))
    }

    fn next_piece(&mut self, topic: Topic) -> Option<Next> {
        let item = self.next_item(topic)?;
        let offer = self.offers.get_mut(&item)?;
        let offset = match offer.state {
            State::Sending(offset) => offset,
            State::Queued | State::Announced | State::Wanted | State::Sent => {
                self.sending.entry(topic).or_default().push(item);
                offer.state = State::Sending(0);
                if offer.copies != COPIES_DEFAULT {
                    return Some(Next::Copies(item, offer.copies));
                }
                0
            }
        };
        let total = offer.bytes;
        let chunk = u64::try_from(CHUNK_BYTES_MAX).unwrap_or(u64::MAX);
        let len = total.saturating_sub(offset).min(chunk);
        let end = offset.saturating_add(len);
        if end >= total {
            offer.state = State::Sent;
            self.end_sending(item);
        } else {
            offer.state = State::Sending(end);
        }
        Some(Next::Chunk(Transmit::Chunk { item, total, offset, len }))
    }

    /// The item to go on with: the one under way, unless one of a more urgent class waits.
    fn next_item(&mut self, topic: Topic) -> Option<Item> {
        let Some(under_way) = self.sending.get(&topic) else { return self.pushes.pop(topic) };
        let current = *under_way.last()?;
        let offer = self.offers.get(&current)?;
        // Not before its first chunk, which comes right after the number of its copies.
        let may_wait = under_way.len() < UNDER_WAY_MAX && offer.state != State::Sending(0);
        let overtaken =
            may_wait && self.pushes.first_rank(topic).is_some_and(|rank| class(rank) < class(offer.rank));
        if overtaken { self.pushes.pop(topic) } else { Some(current) }
    }

    fn end_sending(&mut self, item: Item) {
        if let Some(under_way) = self.sending.get_mut(&item.topic) {
            under_way.retain(|other| *other != item);
            if under_way.is_empty() {
                self.sending.remove(&item.topic);
            }
        }
    }

    /// Nothing is left to announce or to push.
    pub(crate) fn is_drained(&self) -> bool {
        self.haves.is_empty() && self.pushes.is_empty() && self.sending.is_empty()
    }

    /// Every offer was answered.
    pub(crate) fn is_settled(&self) -> bool {
        self.offers.is_empty()
    }

    /// Every offer of a topic was answered.
    pub(crate) fn is_settled_of(&self, topic: Topic) -> bool {
        self.offers.range(Item::all_of(topic)).next().is_none()
    }
}

/// What [`Outgoing::poll`] hands out.
#[derive(Debug)]
pub(crate) enum Next {
    Have(Topic, Vec<Item>),
    Copies(Item, u8),
    Chunk(Transmit),
}
