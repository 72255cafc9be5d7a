//! One simulated node: a core, its disk, and the person in front of it.

use std::collections::{BTreeMap, VecDeque};

use cairn_bundle::{Identity, NodeId, Prekeys};
use cairn_engine::{Instant, LinkId};
use cairn_node::control::api::{Request, Response};
use cairn_node::core::{Clock, CommitId, Core, RequestId, Settings};
use cairn_store::MemoryDisk;
use cairn_task::LoadedJob;

/// Names what a person asked, across crashes and repetitions.
pub(crate) type AskId = u64;

/// Something that a person wants and asks for until it is confirmed.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// Not before this moment.
    pub(crate) due: u64,
    /// Not before this one is answered.
    pub(crate) behind: Option<AskId>,
    pub(crate) request: Request,
    pub(crate) job: Option<LoadedJob>,
    pub(crate) current: Option<RequestId>,
    pub(crate) answer: Option<Response>,
    pub(crate) file: Option<Vec<u8>>,
}

/// Files of a drop on their way into a node.
#[derive(Debug, Default)]
pub(crate) struct Import {
    pub(crate) files: VecDeque<Vec<u8>>,
    pub(crate) current: Option<(LinkId, Vec<u8>)>,
    /// Tried once more after all others, as the daemon does.
    pub(crate) again: VecDeque<Vec<u8>>,
    pub(crate) second_round: bool,
}

/// A node and everything around it that a crash does not take away.
#[derive(Debug)]
pub(crate) struct SimNode {
    pub(crate) name: String,
    pub(crate) seed: [u8; 32],
    pub(crate) me: NodeId,
    pub(crate) settings: Settings,
    pub(crate) disk: MemoryDisk,
    /// The file of prekeys as it lies on the disk.
    pub(crate) prekeys: Vec<u8>,
    /// `None` while the node is down.
    pub(crate) core: Option<Core>,
    /// Counts the starts; what belongs to an earlier life is void.
    pub(crate) life: u64,
    pub(crate) born_at: u64,
    /// Wall clock in seconds at the start of the run; `None` for a node without a clock.
    pub(crate) wall: Option<u64>,
    pub(crate) commits: VecDeque<CommitId>,
    pub(crate) synced_until: u64,
    pub(crate) told_until: u64,
    pub(crate) tick_at: Option<u64>,
    pub(crate) links: BTreeMap<LinkId, (u64, usize)>,
    pub(crate) imports: VecDeque<Import>,
    pub(crate) asks: BTreeMap<AskId, Ask>,
}

impl SimNode {
    pub(crate) fn new(name: &str, seed: [u8; 32], settings: Settings, wall: Option<u64>) -> Self {
        Self {
            name: name.to_owned(),
            seed,
            me: Identity::from_seed(&seed).node_id(),
            settings,
            disk: MemoryDisk::default(),
            prekeys: Vec::new(),
            core: None,
            life: 0,
            born_at: 0,
            wall,
            commits: VecDeque::new(),
            synced_until: 0,
            told_until: 0,
            tick_at: None,
            links: BTreeMap::new(),
            imports: VecDeque::new(),
            asks: BTreeMap::new(),
        }
    }

    /// The prekeys that are on the disk.
    pub(crate) fn prekeys(&self) -> Prekeys {
        Prekeys::decode(&self.prekeys).unwrap_or_default()
    }

    /// What this node's clocks show at a moment of the virtual time.
    pub(crate) fn clock(&self, now: u64) -> Clock {
        Clock {
            now: Instant::from_ms(now.saturating_sub(self.born_at)),
            wall: self.wall.map(|wall| wall.saturating_add(now / 1_000)),
        }
    }

    /// Forgets what only lived in memory.
    pub(crate) fn die(&mut self) {
        self.core = None;
        self.life += 1;
        self.disk.crash();
        self.commits.clear();
        self.tick_at = None;
        self.links.clear();
        self.imports.clear();
        for ask in self.asks.values_mut() {
            ask.current = None;
        }
    }
}
