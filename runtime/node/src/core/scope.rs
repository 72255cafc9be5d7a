//! Who may see what: membership of boards, proven or recorded.

use std::collections::BTreeSet;

use cairn_bundle::card::SignedCard;
use cairn_bundle::{NodeId, SealedTo, SenderClock};
use cairn_engine::{Event, LinkId, LinkProperties};
use cairn_link::{Hello, Mode};
use cairn_store::Table;

use super::commit::Tx;
use super::{Contact, Core};

impl Core {
    pub(super) fn link_up(&mut self, link: LinkId, peer: NodeId, mode: Mode) {
        let hello = self.hello_for(&peer);
        let groups = self.groups_of(&peer);
        self.engine(Event::LinkUp { link, peer, mode, hello, groups, properties: LinkProperties::default() });
    }

    pub(super) fn hello_for(&self, peer: &NodeId) -> Hello {
        Hello {
            version: cairn_link::hello::VERSION,
            node: self.me,
            card: self.own_card().as_bytes().to_vec(),
            item_bytes_max: self.settings.engine.meet.item_bytes_max,
            boards: self.boards.iter().map(|slot| slot.board.secret().proof(&self.me, peer)).collect(),
            wall_time: self.clock.wall,
        }
    }

    /// The boards that a node is recorded as a member of, by their groups.
    pub(super) fn groups_of(&self, node: &NodeId) -> BTreeSet<u32> {
        let member =
            |slot: &&super::boards::Slot| slot.view.members.contains_key(node) || slot.proven.contains(node);
        self.boards.iter().filter(member).map(|slot| slot.group).collect()
    }

    pub(super) fn heard_hello(&mut self, link: LinkId, peer: NodeId, hello: &Hello) {
        if let Ok(card) = SignedCard::decode(&hello.card)
            && card.card().node == peer
        {
            // A drop may be old; on a live link the peer says what it announces now.
            let live = self.engine.links().any(|(id, _, mode)| id == link && mode == Mode::Live);
            self.learn_card(card.clone(), None);
            self.contacts.hear(&card, self.clock.now, live);
        }
        let mut groups = BTreeSet::new();
        for slot in self.boards.iter_mut() {
            let me = self.me;
            let proves = |proof: &[u8; 16]| slot.board.secret().is_proof(&peer, &me, proof);
            if hello.boards.iter().any(proves) {
                slot.proven.insert(peer);
                groups.insert(slot.group);
            }
        }
        self.engine(Event::Groups { peer, groups });
    }

    /// Takes a card if it is newer than what is known; says whether it was.
    pub(super) fn learn_card(&mut self, card: SignedCard, peer: Option<bool>) -> bool {
        let node = card.card().node;
        if node == self.me || !self.contacts.is_news(card.card()) {
            return false;
        }
        if self.contacts.get(&node).is_none() && self.contacts.len() >= super::contacts::CONTACTS_MAX {
            self.count("cards refused: too many contacts");
            return false;
        }
        let wall = SenderClock { wall_s: self.clock.wall, heard_s: None };
        let dated = card.card().sealing_target(&wall).kind == SealedTo::Prekey;
        let (was_peer, addresses) = self
            .contacts
            .get(&node)
            .map_or((false, Vec::new()), |known| (known.peer, known.addresses.clone()));
        self.store_contact(Contact { card, peer: peer.unwrap_or(was_peer), addresses, dated, heard: None });
        true
    }

    pub(super) fn store_contact(&mut self, contact: Contact) {
        let mut tx = Tx::default();
        tx.put(Table::Contacts, *contact.card().node.as_bytes(), contact.encode());
        self.commits.own(tx);
        self.contacts.insert(contact);
        self.standing_due = true;
        self.dirty = true;
    }
}
