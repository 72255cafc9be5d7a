//! The boards that this node follows.

use std::collections::BTreeSet;

use cairn_board::{
    Applied, Board, BoardView, CheckedChange, Fact, JobState, JobView, Judgement, ResultView, SignedDoc,
};
use cairn_bundle::{Digest, NodeId};
use cairn_engine::{Place, Scope};
use cairn_link::{Item, RefuseReason, Topic};
use cairn_store::Table;

use super::Core;
use super::commit::{After, Tx};

/// What the node asks of a job.
pub(crate) trait JobExt {
    /// The accepted result of a rung.
    fn accepted(&self, rung: u8) -> Option<&ResultView>;
    /// The best rung that was answered and not rejected.
    fn best_rung(&self) -> Option<u8>;
    /// Where it stands, in one word.
    fn state_word(&self) -> &'static str;
}

impl JobExt for JobView {
    fn accepted(&self, rung: u8) -> Option<&ResultView> {
        self.results.iter().find(|result| result.result.rung == rung && result.is_accepted())
    }

    fn best_rung(&self) -> Option<u8> {
        self.best_result().map(|result| result.result.rung)
    }

    fn state_word(&self) -> &'static str {
        match self.state {
            JobState::Posted => "posted",
            JobState::Rejected => "rejected",
            JobState::Answered => "answered",
            JobState::Accepted => "accepted",
            JobState::Cancelled => "cancelled",
            JobState::Closed => "closed",
        }
    }
}

/// What the node asks of a result.
pub(crate) trait ResultExt {
    /// The payer has accepted it.
    fn is_accepted(&self) -> bool;
    /// The payer's reason for rejecting it.
    fn rejected(&self) -> Option<&str>;
    /// The payer has said nothing yet.
    fn is_unjudged(&self) -> bool;
}

impl ResultExt for ResultView {
    fn is_accepted(&self) -> bool {
        matches!(self.judgement, Judgement::Accepted { .. })
    }

    fn rejected(&self) -> Option<&str> {
        match &self.judgement {
            Judgement::Rejected { reason } => Some(reason),
            Judgement::None | Judgement::Accepted { .. } => None,
        }
    }

    fn is_unjudged(&self) -> bool {
        self.judgement == Judgement::None
    }
}

/// Boards that one node follows at the most: as many as a hello can prove.
pub(crate) const BOARDS_MAX: usize = cairn_link::hello::BOARDS_MAX;

/// One board.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The engine's name for those who may see it.
    pub(crate) group: u32,
    /// The name on this node.
    pub(crate) name: String,
    pub(crate) board: Board,
    /// What `board` shows, as of the last refresh.
    pub(crate) view: BoardView,
    /// Peers that proved in a hello that they have the board's secret.
    pub(crate) proven: BTreeSet<NodeId>,
}

impl Slot {
    /// Where a change that was checked stands among those of its author.
    pub(crate) fn place_of(&self, envelope: &[u8]) -> Option<Place> {
        let (stream, number) = self.board.place_of(envelope)?;
        Some(Place { stream, number })
    }
}

/// All of them, in the order in which they were joined.
#[derive(Debug, Default)]
pub(crate) struct Boards {
    slots: Vec<Slot>,
}

impl Boards {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Slot> {
        self.iter().find(|slot| slot.name == name)
    }

    pub(crate) fn group(&self, group: u32) -> Option<&Slot> {
        self.iter().find(|slot| slot.group == group)
    }

    fn group_mut(&mut self, group: u32) -> Option<&mut Slot> {
        self.iter_mut().find(|slot| slot.group == group)
    }

    /// Adds a board that is not followed yet; gives its group.
    pub(crate) fn push(&mut self, name: String, board: Board) -> u32 {
        let group = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let view = board.view();
        self.slots.push(Slot { group, name, board, view, proven: BTreeSet::new() });
        group
    }

    /// The job with this id and the group of its board.
    pub(crate) fn job(&self, id: &Digest) -> Option<(&Slot, &JobView)> {
        self.iter().find_map(|slot| slot.view.jobs.get(id).map(|job| (slot, job)))
    }
}

impl Core {
    /// Signs a fact and writes it on a board.
    pub(super) fn publish_fact(&mut self, tx: &mut Tx, group: u32, fact: &Fact) {
        let Some(slot) = self.boards.group(group) else { return };
        let mut time = self.clock.claim();
        if let Fact::Member(member) = fact
            && let Some(before) = slot.view.members.get(&member.node)
        {
            // Of two cards the later one counts, also when the clock was set back or lost in between.
            time = time.max(before.time.saturating_add(1));
        }
        match slot.board.sign(fact, time, &self.identity) {
            Ok(doc) => self.publish(tx, group, &[doc]),
            Err(error) => self.say(format!("a document could not be written: {error}")),
        }
    }

    /// Writes documents on a board: they count here at once and are offered once they are durable.
    pub(super) fn publish(&mut self, tx: &mut Tx, group: u32, docs: &[SignedDoc]) {
        let Some(slot) = self.boards.group_mut(group) else { return };
        match slot.board.add(docs, &self.identity) {
            Ok(None) => {}
            Ok(Some(envelope)) => {
                let id = Digest::of(&envelope);
                let bytes = u64::try_from(envelope.len()).unwrap_or(u64::MAX);
                let place = slot.place_of(&envelope);
                tx.put(Table::Changes, *id.as_bytes(), envelope);
                let item = Item { topic: Topic::Board, id };
                tx.then(After::Hold { item, bytes, scope: Scope::Group(group), place });
                self.dirty = true;
            }
            Err(error) => {
                self.count("own documents that did not fit their board");
                self.say(format!(
                    "a document could not be written on board “{}”: {error}",
                    self.board_name(group)
                ));
            }
        }
    }

    fn board_name(&self, group: u32) -> String {
        self.boards.group(group).map(|slot| slot.name.clone()).unwrap_or_default()
    }

    pub(super) fn apply_change(&mut self, group: u32, change: CheckedChange) -> Result<(), RefuseReason> {
        let author = change.author();
        let Some(slot) = self.boards.group_mut(group) else { return Err(RefuseReason::NotWanted) };
        self.dirty = true;
        match slot.board.apply(change) {
            Ok(Applied::New | Applied::Known | Applied::Waiting) => Ok(()),
            Ok(Applied::Forked) => {
                let who = self.contacts.name(&author);
                self.count("forked board histories");
                self.warnings.insert(format!("{who} has written two different histories of one board"));
                Ok(())
            }
            Err(error) => {
                self.count("board changes refused: they do not fit the board");
                self.say(format!("a change on board “{}” was refused: {error}", self.board_name(group)));
                Err(if error.is_misbehaviour() { RefuseReason::Invalid } else { RefuseReason::Full })
            }
        }
    }

    /// Computes again what the boards show, and learns the members' cards.
    pub(super) fn refresh_views(&mut self) {
        let mut cards = Vec::new();
        let mut groups = Vec::new();
        for slot in self.boards.iter_mut() {
            let view = slot.board.view();
            for (node, member) in &view.members {
                if !slot.view.members.contains_key(node) {
                    groups.push((*node, slot.group));
                }
                cards.push(member.card.clone());
            }
            slot.view = view;
        }
        for card in cards {
            if let Ok(card) = cairn_bundle::card::SignedCard::decode(&card) {
                self.learn_card(card, None);
            }
        }
        for (peer, group) in groups {
            self.engine(cairn_engine::Event::Groups { peer, groups: BTreeSet::from([group]) });
        }
    }
}
