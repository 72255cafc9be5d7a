//! From what is durable back to a running node.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cairn_board::{Board, BoardSecret};
use cairn_bundle::card::SignedCard;
use cairn_bundle::{Bundle, Digest};
use cairn_engine::quota::Amount;
use cairn_engine::{BundleRecord, Engine, Event, Instant, Overlay, Scope};
use cairn_ledger::{Inserted, Ledger, VerifiedEntry};
use cairn_link::{Item, Topic};
use cairn_store::{Read, ReadError, Table};
use minicbor::{Decoder, Encoder};

use super::commit::{Commits, Tx, parse_peer_item_key};
use super::inbox::INBOX_LAST;
use super::keys::{CARD, CARD_COUNTER, PREKEY_AGE, Secrets, first_card};
use super::notices::Notices;
use super::past::{Past, Row};
use super::pieces::Pieces;
use super::requests::OrderRecord;
use super::{Clock, Contact, Core, SeedRng, Settings};

/// Key of the node time in [`Table::Meta`].
const NODE_TIME: &[u8] = b"node time";
/// Key of what was learned of encounters, in [`Table::Meta`].
const ROUTING: &[u8] = b"routing";
/// Node time is written down with other facts, but not more often than this.
const TIME_KEPT_EVERY_MS: u64 = 60_000;

const ORDER_PREFIX: &[u8] = b"order:";

/// Why a node cannot start from its store.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store cannot be read.
    #[error("the store cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The display name does not fit a card.
    #[error("the node's own card cannot be written: {0}")]
    Card(#[from] cairn_bundle::card::CardError),
}

pub(super) fn order_key(key: &str) -> Vec<u8> {
    [ORDER_PREFIX, key.as_bytes()].concat()
}

pub(super) fn encode_board(name: &str, secret: &BoardSecret, incarnation: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut e = Encoder::new(&mut bytes);
    e.array(3)
        .and_then(|e| e.str(name))
        .and_then(|e| e.bytes(secret.as_bytes()))
        .and_then(|e| e.u16(incarnation))
        .expect("writing to a Vec cannot fail");
    bytes
}

fn decode_board(bytes: &[u8]) -> Option<(String, BoardSecret, u16)> {
    let mut d = Decoder::new(bytes);
    d.array().ok().filter(|n| *n == Some(3))?;
    let name = d.str().ok()?.to_owned();
    let secret = BoardSecret::new(d.bytes().ok()?.try_into().ok()?);
    Some((name, secret, d.u16().ok()?))
}

/// How long this node has run in all its lives, in milliseconds, as far as it was written down.
fn read_time(disk: &dyn Read) -> Result<u64, ReadError> {
    let row = disk.get(Table::Meta, NODE_TIME)?;
    Ok(row.and_then(|row| row.try_into().ok()).map_or(0, u64::from_be_bytes))
}

impl Core {
    /// Builds a node from its secrets, its settings and what its disk holds. `seed` feeds all randomness.
    ///
    /// # Errors
    /// [`RestoreError`]; damaged single records are left out and counted instead.
    pub fn restore(
        Secrets { identity, prekeys }: Secrets,
        settings: Settings,
        seed: &[u8; 32],
        clock: Clock,
        disk: &dyn Read,
    ) -> Result<Self, RestoreError> {
        let me = identity.node_id();
        let began_ms = read_time(disk)?;
        let caller = clock;
        let clock = Clock { now: Instant::from_ms(clock.now.as_ms().saturating_add(began_ms)), ..clock };
        let limits =
            cairn_ledger::Limits { exposure_max: settings.own_cap, ..cairn_ledger::Limits::default() };
        let card = first_card(&identity, &settings.name, 0)?;
        let mut core = Self {
            me,
            engine: Engine::new(me, settings.engine.clone()),
            to_engine: VecDeque::new(),
            unwritten: Overlay::default(),
            next_place: 0,
            past: Past::default(),
            pieces: Pieces::new(settings.engine.quota.total.bytes),
            notices: Notices::default(),
            cutting: Vec::new(),
            own_waiting: Amount::ZERO,
            unchecked: BTreeMap::new(),
            began_ms,
            time_kept: clock.now,
            plan_text: String::new(),
            standing_due: true,
            ledger: Ledger::new(me, limits),
            identity,
            settings,
            clock,
            rng: SeedRng::new(seed),
            boards: super::Boards::default(),
            contacts: super::Contacts::default(),
            inbox: super::Inbox::default(),
            blobs: BTreeMap::new(),
            wanted_blobs: BTreeSet::new(),
            orders: BTreeMap::new(),
            card,
            keys: super::keys::Keys::new(prekeys, clock.now),
            addresses: Vec::new(),
            commits: Commits::default(),
            retry_at: None,
            tasks: super::Tasks::default(),
            payments: super::Payments::default(),
            delivering: BTreeMap::new(),
            owed_acks: BTreeMap::new(),
            aged: VecDeque::new(),
            items_taken: 0,
            early_blobs: Vec::new(),
            imports: BTreeMap::new(),
            next_link: 0,
            dirty: true,
            outputs: VecDeque::new(),
            counters: BTreeMap::new(),
            warnings: BTreeSet::new(),
            stopping: false,
        };
        core.set_clock(caller);
        let salts = core.rng.bytes();
        core.engine.set_seed(salts);
        core.restore_meta(disk)?;
        core.restore_people(disk)?;
        core.restore_ledger(disk)?;
        core.restore_boards(disk)?;
        core.restore_bundles(disk)?;
        if let Some(plan) = disk.get(Table::Meta, super::routes::PLAN)? {
            core.restore_plan(&plan);
        }
        core.settle();
        core.renew_card();
        core.after_input(disk);
        Ok(core)
    }

    fn restore_meta(&mut self, disk: &dyn Read) -> Result<(), RestoreError> {
        let (me, orders, keys, engine) = (self.me, &mut self.orders, &mut self.keys, &mut self.engine);
        let inbox = &mut self.inbox;
        let (mut counter, mut card) = (0_u64, None);
        disk.for_each(Table::Meta, &mut |key, value| {
            if let Some(order) = key.strip_prefix(ORDER_PREFIX)
                && let (Ok(order), Some(record)) = (core::str::from_utf8(order), OrderRecord::decode(value))
            {
                orders.insert(order.to_owned(), record);
            } else if key == CARD_COUNTER {
                counter = <[u8; 8]>::try_from(value).map_or(0, u64::from_be_bytes);
            } else if key == CARD {
                card = SignedCard::decode(value).ok().filter(|card| card.card().node == me);
            } else if key == PREKEY_AGE {
                keys.restore_age(value);
            } else if key == INBOX_LAST {
                inbox.restore_last(value);
            } else if key == ROUTING {
                // What cannot be read is learned again.
                let _ = engine.restore_routing(value);
            }
        })?;
        let tasks = &mut self.tasks;
        disk.for_each(Table::Inbox, &mut |key, value| inbox.restore(key, value))?;
        disk.for_each(Table::Attempts, &mut |key, value| tasks.restore_failure(key, value))?;
        self.card = match card {
            // Whatever it announces is durable: the ring was before the card.
            Some(card) => card,
            None => first_card(&self.identity, &self.settings.name, counter)?,
        };
        self.addresses.clone_from(&self.card.card().addresses);
        let blobs = &mut self.blobs;
        disk.for_each_key(Table::Blobs, &mut |key, bytes| {
            if let Ok(id) = <[u8; 32]>::try_from(key) {
                blobs.insert(Digest(id), bytes);
            }
        })?;
        Ok(())
    }

    fn restore_people(&mut self, disk: &dyn Read) -> Result<(), RestoreError> {
        let mut contacts = Vec::new();
        disk.for_each(Table::Contacts, &mut |_, value| contacts.push(Contact::decode(value)))?;
        for contact in contacts {
            let Some(contact) = contact else {
                self.count("damaged records left out");
                continue;
            };
            if self.ledger.admit(&contact.card().node).is_err() {
                self.count("contacts without room in the ledger");
            }
            self.contacts.insert(contact);
        }
        let mut items = Vec::new();
        disk.for_each(Table::PeerHas, &mut |key, value| {
            items.push((parse_peer_item_key(key), value == [1]));
        })?;
        for (parsed, owed) in items {
            let Some((peer, item)) = parsed else { continue };
            if owed {
                self.owed_acks.entry(peer).or_default().insert(item);
            }
            self.engine(Event::PeerHas { peer, item });
        }
        Ok(())
    }

    fn restore_ledger(&mut self, disk: &dyn Read) -> Result<(), RestoreError> {
        let mut entries = Vec::new();
        disk.for_each(Table::Ledger, &mut |_, value| entries.push(VerifiedEntry::decode(value)))?;
        for entry in entries {
            let Ok(entry) = entry else {
                self.count("damaged records left out");
                continue;
            };
            let author = entry.author();
            match self.ledger.insert(entry) {
                Ok(Inserted::New | Inserted::Known) => {}
                Ok(Inserted::Fork(_)) => self.note_fork(&author),
                Err(_) => self.count("ledger entries that found no room"),
            }
        }
        self.offer_all_entries();
        Ok(())
    }

    fn restore_boards(&mut self, disk: &dyn Read) -> Result<(), RestoreError> {
        let mut boards = Vec::new();
        disk.for_each(Table::Boards, &mut |_, value| boards.push(decode_board(value)))?;
        let mut envelopes = Vec::new();
        disk.for_each(Table::Changes, &mut |_, value| envelopes.push(value.to_vec()))?;
        for board in boards {
            let Some((name, secret, incarnation)) = board else {
                self.count("damaged records left out");
                continue;
            };
            let Ok(mut board) = Board::new(secret, &name, self.me, incarnation) else {
                self.count("damaged records left out");
                continue;
            };
            let restored = board.restore(envelopes.iter().map(Vec::as_slice));
            let others: BTreeSet<usize> =
                restored.refused.into_iter().map(|(position, _)| position).collect();
            let group = self.boards.push(name, board);
            let mine = envelopes.iter().enumerate().filter(|(position, _)| !others.contains(position));
            for (_, envelope) in mine {
                let item = Item { topic: Topic::Board, id: Digest::of(envelope) };
                let bytes = u64::try_from(envelope.len()).unwrap_or(u64::MAX);
                let place = self.boards.group(group).and_then(|slot| slot.place_of(envelope));
                self.engine(Event::Hold { item, bytes, scope: Scope::Group(group), place });
            }
        }
        Ok(())
    }

    fn restore_bundles(&mut self, disk: &dyn Read) -> Result<(), RestoreError> {
        let (mut gone, mut notices) = (Vec::new(), BTreeMap::new());
        let past = &mut self.past;
        disk.for_each(Table::Seen, &mut |key, value| match past.restore(key, value) {
            Row::Gone(prefix) => gone.push(prefix),
            Row::Notice(number, id) => drop(notices.insert(number, id)),
            Row::OldId(_) | Row::Delivered | Row::Unknown => {}
        })?;
        for prefix in gone {
            let mut id = [0; 32];
            id.iter_mut().zip(prefix).for_each(|(to, from)| *to = from);
            self.engine(Event::Seen { id: Digest(id) });
        }
        // Quotas depend on it from the first bundle on.
        self.refresh_standing();
        self.run_engine(disk);
        self.restore_index(disk)?;
        // What they say is heeded only now: it is about bundles that the engine has to know.
        self.restore_notices(notices, disk)?;
        Ok(())
    }

    /// Tells the engine of every carried bundle; their bytes stay where they are.
    fn restore_index(&mut self, disk: &dyn Read) -> Result<(), RestoreError> {
        let mut pieces = Vec::new();
        let (mut damaged, mut next_place) = (0_u64, 0);
        let (engine, now, me) = (&mut self.engine, self.clock.now, self.me);
        disk.for_each(Table::Index, &mut |key, value| {
            let (Ok(id), Ok(record)) = (<[u8; 32]>::try_from(key).map(Digest), BundleRecord::decode(value))
            else {
                damaged = damaged.saturating_add(1);
                return;
            };
            next_place = next_place.max(record.place.saturating_add(1));
            engine.restore(now, &id, &record);
            if record.fragment && record.destination == Some(me) {
                pieces.push((id, record));
            }
        })?;
        self.next_place = next_place;
        for _ in 0..damaged {
            self.count("damaged records left out");
        }
        for (id, record) in pieces {
            let stored = disk.get(Table::Bundles, &record.place.to_be_bytes())?;
            if let Some(bundle) =
                stored.and_then(|bytes| Bundle::decode(&bytes, &self.settings.engine.bundle).ok())
            {
                self.restore_piece(id, &record, bundle);
            }
        }
        Ok(())
    }

    /// Writes down how long this node has run, so that what it carries goes on to age after a restart.
    pub(super) fn keep_time(&mut self, now_at_all: bool) {
        let due = self.clock.now - self.time_kept >= TIME_KEPT_EVERY_MS;
        if due || now_at_all {
            self.time_kept = self.clock.now;
            let mut tx = Tx::default();
            tx.put(Table::Meta, NODE_TIME, self.clock.now.as_ms().to_be_bytes());
            self.commits.own(tx);
        }
    }

    /// Writes down what was learned of encounters.
    pub(super) fn keep_routing(&mut self) {
        let mut tx = Tx::default();
        tx.put(Table::Meta, ROUTING, self.engine.routing_snapshot());
        self.commits.own(tx);
    }

    /// This node's own signed card.
    #[must_use]
    pub const fn own_card(&self) -> &SignedCard {
        &self.card
    }

    /// Writes a new card when the addresses change; the higher counter wins everywhere.
    pub(super) fn set_addresses(&mut self, addresses: Vec<String>) {
        self.addresses = addresses;
        self.renew_card();
    }
}
