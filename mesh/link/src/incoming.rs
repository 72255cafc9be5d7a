//! What the peer has and what of it is on its way here.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::event::MeetError;
use crate::frame::{IDS_MAX, RefuseReason};
use crate::item::{Item, Topic};
use crate::limits::MeetLimits;
use crate::meet::Mode;
use crate::outgoing::COPIES_DEFAULT;
use crate::queue::Queue;

#[derive(Debug)]
enum State {
    /// The peer has it; the node has not answered yet.
    Offered,
    /// The node wants it; the Want waits for its turn.
    Requested,
    /// The Want is out.
    Awaited,
    /// The first chunks are here.
    Partial { total: u64, bytes: Vec<u8>, copies: u8 },
    /// It was handed to the node, which has not answered yet.
    Received,
}

/// What became of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    More,
    Complete { bytes: Vec<u8>, copies: u8 },
    Refuse(RefuseReason),
    Ignored,
}

/// A piece of an item; that it lies within the item has been checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) total: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: &'a [u8],
}

#[derive(Debug, Default)]
pub(crate) struct Incoming {
    items: BTreeMap<Item, State>,
    wants: Queue,
    in_flight: usize,
    /// Announced lengths of the partial items, and lengths of the received ones that were not polled yet.
    held_bytes: u64,
    /// In a carried meet, the last refused item of each topic: the rest of its chunks will still come.
    skipped: BTreeMap<Topic, Item>,
    /// The copies that go with the item of each topic whose first chunk comes next.
    copies: BTreeMap<Topic, (Item, u8)>,
}

impl Incoming {
    /// The peer announces an item. True if the node is to be told.
    pub(crate) fn announce(&mut self, item: Item, limits: &MeetLimits) -> Result<bool, TableFull> {
        if self.items.contains_key(&item) {
            return Ok(false);
        }
        if self.items.len() >= limits.offers_max {
            return Err(TableFull);
        }
        self.items.insert(item, State::Offered);
        Ok(true)
    }

    pub(crate) fn request(&mut self, item: Item) {
        if let Some(state @ State::Offered) = self.items.get_mut(&item) {
            *state = State::Requested;
            self.wants.push(item);
        }
    }

    /// Drops whatever is known of an item. True if something was.
    pub(crate) fn forget(&mut self, item: Item) -> bool {
        let state = self.items.remove(&item);
        match &state {
            Some(State::Partial { total, .. }) => {
                self.in_flight = self.in_flight.saturating_sub(1);
                self.held_bytes = self.held_bytes.saturating_sub(*total);
            }
            Some(State::Awaited) => self.in_flight = self.in_flight.saturating_sub(1),
            Some(State::Requested) => self.wants.remove(item),
            Some(State::Offered | State::Received) | None => {}
        }
        state.is_some()
    }

    /// The peer takes an item back. True if the node counted on it; one that it holds in its hands stays.
    pub(crate) fn refuse_by_peer(&mut self, item: Item) -> bool {
        !matches!(self.items.get(&item), Some(State::Received)) && self.forget(item)
    }

    /// The peer will send nothing more: what is not here will not come.
    pub(crate) fn peer_left(&mut self) {
        self.items.retain(|_, state| matches!(state, State::Received));
        self.wants.clear();
        self.in_flight = 0;
        self.held_bytes = 0;
    }

    /// A received item has left the event queue.
    pub(crate) fn polled(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
    }

    /// The peer says how many copies go with the item whose first chunk comes next.
    pub(crate) fn expect_copies(&mut self, item: Item, copies: u8) {
        self.copies.insert(item.topic, (item, copies));
    }

    /// The next ids to ask for, of any topic, as far as [`MeetLimits::inflight_items_max`] allows.
    pub(crate) fn next_wants(&mut self, limits: &MeetLimits) -> Option<(Topic, Vec<Item>)> {
        let topic = self.wants.first_topic()?;
        Some((topic, self.next_wants_of(topic, limits)?))
    }

    /// The same for one topic.
    pub(crate) fn next_wants_of(&mut self, topic: Topic, limits: &MeetLimits) -> Option<Vec<Item>> {
        let room = limits.inflight_items_max.saturating_sub(self.in_flight).min(IDS_MAX);
        let run = self.wants.pop_run_of(topic, room);
        if run.is_empty() {
            return None;
        }
        for item in &run {
            self.items.insert(*item, State::Awaited);
        }
        self.in_flight = self.in_flight.saturating_add(run.len());
        Some(run)
    }

    /// Nothing is wanted, under way, or waits for the node's answer.
    pub(crate) fn is_settled(&self) -> bool {
        self.items.is_empty()
    }

    /// The same of one topic.
    pub(crate) fn is_settled_of(&self, topic: Topic) -> bool {
        self.items.range(Item::all_of(topic)).next().is_none()
    }

    pub(crate) fn chunk(
        &mut self,
        mode: Mode,
        item: Item,
        piece: Piece<'_>,
        limits: &MeetLimits,
    ) -> Result<Taken, MeetError> {
        // What was said about copies holds for this first chunk, or for none.
        let said = if piece.offset == 0 { self.copies.remove(&item.topic) } else { None };
        let copies = said.filter(|(about, _)| *about == item).map_or(COPIES_DEFAULT, |(_, copies)| copies);
        match (self.items.get(&item), mode) {
            (Some(State::Partial { .. }), _) => self.append(item, piece),
            (Some(State::Requested | State::Awaited), _) => self.begin(item, piece, copies, limits),
            // A second copy of what the node already holds in its hands.
            (Some(State::Received), _) => Ok(Taken::Ignored),
            (Some(State::Offered) | None, Mode::Live) => {
                // One answer for each item, not for each chunk.
                if piece.offset > 0 {
                    return Ok(Taken::Ignored);
                }
                self.items.remove(&item);
                Ok(Taken::Refuse(RefuseReason::NotWanted))
            }
            (Some(State::Offered) | None, Mode::Carried) => self.begin_carried(item, piece, copies, limits),
        }
    }

    fn begin_carried(
        &mut self,
        item: Item,
        piece: Piece<'_>,
        copies: u8,
        limits: &MeetLimits,
    ) -> Result<Taken, MeetError> {
        if piece.offset > 0 && self.skipped.get(&item.topic) == Some(&item) {
            return Ok(Taken::Ignored);
        }
        let no_room = self.items.len() >= limits.offers_max || self.in_flight >= limits.inflight_items_max;
        let taken = if no_room && piece.offset == 0 {
            Taken::Refuse(RefuseReason::Full)
        } else {
            self.begin(item, piece, copies, limits)?
        };
        if matches!(taken, Taken::Refuse(_)) {
            self.skipped.insert(item.topic, item);
        }
        Ok(taken)
    }

    /// The first chunk of an item that is wanted.
    fn begin(
        &mut self,
        item: Item,
        piece: Piece<'_>,
        copies: u8,
        limits: &MeetLimits,
    ) -> Result<Taken, MeetError> {
        if piece.offset != 0 {
            return Err(MeetError::Gap);
        }
        let reason = if piece.total > limits.item_bytes_max {
            Some(RefuseReason::TooLarge)
        } else if self.held_bytes.saturating_add(piece.total) > limits.partial_bytes_max {
            Some(RefuseReason::Full)
        } else {
            None
        };
        let capacity = usize::try_from(piece.total);
        let (None, Ok(capacity)) = (reason, capacity) else {
            self.forget(item);
            return Ok(Taken::Refuse(reason.unwrap_or(RefuseReason::TooLarge)));
        };
        self.forget(item);
        self.in_flight = self.in_flight.saturating_add(1);
        self.held_bytes = self.held_bytes.saturating_add(piece.total);
        let bytes = Vec::with_capacity(capacity);
        self.items.insert(item, State::Partial { total: piece.total, bytes, copies });
        self.append(item, piece)
    }

    fn append(&mut self, item: Item, piece: Piece<'_>) -> Result<Taken, MeetError> {
        let Some(State::Partial { total, bytes, copies }) = self.items.get_mut(&item) else {
            return Ok(Taken::Ignored);
        };
        if piece.total != *total {
            return Err(MeetError::TotalChanged);
        }
        if u64::try_from(bytes.len()) != Ok(piece.offset) {
            return Err(MeetError::Gap);
        }
        bytes.extend_from_slice(piece.bytes);
        if u64::try_from(bytes.len()) != Ok(*total) {
            return Ok(Taken::More);
        }
        let (bytes, copies) = (core::mem::take(bytes), *copies);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.items.insert(item, State::Received);
        Ok(Taken::Complete { bytes, copies })
    }
}

/// The peer announced more than is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableFull;
