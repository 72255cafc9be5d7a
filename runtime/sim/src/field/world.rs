//! A field at work: many engines, one virtual clock, one queue of events.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use cairn_bundle::{Identity, NodeId};
use cairn_engine::routing::{ContactPlan, PlanClock, PlannedContact};
use cairn_engine::{Engine, Event, Limits, LinkId, LinkProperties};

use self::hostile::Liar;
use self::later::{ContactKey, Later, What};
use self::link::{Connection, End, pass};
use self::node::FieldNode;
use self::truth::Truth;
use super::contact::{Contact, ContactTrace, LinkModel};
use super::faults::{Fault, FaultPlan, FieldFaults, same_side};
use super::scenario::Field;
use crate::Dice;

mod check;
mod disk;
mod hostile;
mod later;
mod link;
mod node;
mod shelf;
mod truth;

/// After how long two nodes whose link broke off meet again while they can, in milliseconds; twice as long each time.
const AGAIN_MS: u64 = 5_000;
/// Longest such pause.
const AGAIN_MS_MAX: u64 = 600_000;
/// Time for a batch where nothing goes wrong, in milliseconds.
const SYNC_MS: u64 = 5;
/// Wall clocks begin in 2026; one node of eight has none.
const WALL_S: u64 = 6 * 31_557_600;

/// What a world is made of, besides its field.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) limits: Limits,
    pub(super) faults: FieldFaults,
}

/// A contact that could be used now.
#[derive(Debug)]
struct Open {
    connection: Option<u64>,
    end_ms: u64,
    planned: bool,
    mute: Option<usize>,
    broken: u32,
}

/// Everything at one moment.
#[derive(Debug)]
pub(super) struct World {
    truth: Truth,
    trace: ContactTrace,
    planned: Vec<Contact>,
    nodes: Vec<FieldNode>,
    liars: BTreeMap<usize, Liar>,
    ids: Vec<NodeId>,
    seized: Vec<(u64, usize)>,
    /// Nodes that are seized, and those that are hostile from the start.
    gone: BTreeSet<usize>,
    hostile: BTreeSet<usize>,
    faults: Vec<(u64, Fault)>,
    group: Option<usize>,
    open: BTreeMap<ContactKey, Open>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    queue: BinaryHeap<Reverse<Later>>,
    order: u64,
    events: u64,
}

impl World {
    /// A world before anything has happened.
    pub(super) fn new(field: &Field, rules: &Rules, seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x0066_6965_6c64);
        let count = field.trace.nodes();
        let seeds: Vec<[u8; 32]> = (0..count).map(|_| dice.seed()).collect();
        let ids: Vec<NodeId> = seeds.iter().map(|seed| Identity::from_seed(seed).node_id()).collect();
        let plan = FaultPlan::draw(&rules.faults, count, field.trace.end_ms(), &mut dice);
        let contact_plan = contact_plan(field, &ids);
        let mut truth = Truth::new(field.messages.clone(), rules.faults.clone(), dice);
        let mut nodes = Vec::with_capacity(count);
        let mut liars = BTreeMap::new();
        for (index, seed) in seeds.iter().enumerate() {
            let wall_s = (index % 8 != 7).then_some(WALL_S);
            nodes.push(FieldNode::new(index, seed, rules.limits.clone(), contact_plan.clone(), wall_s));
            if let Some(kind) = plan.hostile.get(&index) {
                if rules.faults.hostile_off {
                    continue;
                }
                liars.insert(index, Liar::new(*kind, seed, ids.clone()));
            } else if let Some(node) = nodes.last_mut() {
                node.start(&mut truth);
            }
        }
        let mut seized: Vec<(u64, usize)> =
            field.seized.iter().map(|(node, at_ms)| (*at_ms, *node)).collect();
        seized.sort_unstable();
        Self {
            truth,
            trace: field.trace.clone(),
            planned: field.planned.clone(),
            nodes,
            liars,
            ids,
            seized,
            gone: BTreeSet::new(),
            hostile: plan.hostile.keys().copied().collect(),
            faults: plan.events,
            group: None,
            open: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_connection: 0,
            queue: BinaryHeap::new(),
            order: 0,
            events: 0,
        }
    }

    /// Runs until the end of the trace. `progress` hears of the virtual time now and then.
    pub(super) fn run(&mut self, progress: &mut dyn FnMut(u64)) {
        let trace = self.trace.clone();
        self.play(&trace, progress);
    }

    /// Runs through the contacts of a trace.
    fn play(&mut self, trace: &ContactTrace, progress: &mut dyn FnMut(u64)) {
        let contacts = trace.events();
        let ends: BTreeMap<(usize, usize, usize, u64), u64> =
            trace.contacts().iter().map(|c| ((c.a, c.b, c.link, c.start_ms), c.end_ms)).collect();
        let messages: Vec<u64> = self.truth.messages.iter().map(|message| message.at_ms).collect();
        let faults = core::mem::take(&mut self.faults);
        let seized = core::mem::take(&mut self.seized);
        let begun_ms = self.truth.now_ms;
        let (mut contact, mut fault, mut taken) = (0, 0, 0);
        let mut message = messages.partition_point(|at_ms| *at_ms < begun_ms);
        let mut told_ms = begun_ms;
        loop {
            let next = [
                faults.get(fault).map(|(at_ms, _)| (*at_ms, 0)),
                seized.get(taken).map(|(at_ms, _)| (*at_ms, 1)),
                contacts.get(contact).map(|event| (event.at_ms, 2)),
                messages.get(message).map(|at_ms| (*at_ms, 3)),
                self.queue.peek().map(|Reverse(later)| (later.at_ms, 4)),
            ];
            let Some((at_ms, kind)) = next.into_iter().flatten().min() else { break };
            if at_ms > trace.end_ms() {
                break;
            }
            self.truth.now_ms = self.truth.now_ms.max(at_ms);
            if at_ms >= told_ms + 60_000 {
                told_ms = at_ms;
                progress(at_ms);
            }
            self.events += 1;
            match kind {
                0 => {
                    if let Some((_, event)) = faults.get(fault) {
                        self.go_wrong(*event);
                    }
                    fault += 1;
                }
                1 => {
                    if let Some((_, node)) = seized.get(taken) {
                        self.seize(*node);
                    }
                    taken += 1;
                }
                2 => {
                    if let Some(event) = contacts.get(contact) {
                        let key = (event.a, event.b, event.link);
                        let end_ms = ends.get(&(event.a, event.b, event.link, event.at_ms)).copied();
                        if event.up {
                            self.contact_up(key, end_ms.unwrap_or(at_ms));
                        } else {
                            self.contact_down(key);
                        }
                    }
                    contact += 1;
                }
                3 => {
                    self.send(message);
                    message += 1;
                }
                _ => {
                    if let Some(Reverse(later)) = self.queue.pop() {
                        self.happen(later.what);
                    }
                }
            }
        }
        self.truth.now_ms = self.truth.now_ms.max(trace.end_ms());
        for key in self.open.keys().copied().collect::<Vec<_>>() {
            self.contact_down(key);
        }
    }

    fn later(&mut self, at_ms: u64, what: What) {
        self.order += 1;
        self.queue.push(Reverse(Later { at_ms, order: self.order, what }));
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Arrive { connection, to, bytes } => self.arrive(connection, to, bytes),
            What::Free { connection, side } => {
                if let Some(link) = self.connections.get_mut(&connection) {
                    link.end_mut(side).waits = false;
                    let node = link.end(side).node;
                    if self.liars.contains_key(&node) {
                        self.pump(connection, side);
                    }
                    self.settle(node);
                }
            }
            What::Synced { node, life } => {
                if let Some(here) =
                    self.nodes.get_mut(node).filter(|here| here.life == life && here.engine.is_some())
                {
                    here.synced(&mut self.truth);
                    self.check_bounds(node);
                    self.settle(node);
                }
            }
            What::Tick { node, life } => {
                // An alarm that an earlier one has replaced since is void.
                let now_ms = self.truth.now_ms;
                let due = |here: &&mut FieldNode| here.life == life && here.tick_ms == Some(now_ms);
                if let Some(here) = self.nodes.get_mut(node).filter(due) {
                    here.tick_ms = None;
                    here.handle(&mut self.truth, Event::Tick);
                    self.settle(node);
                }
            }
            What::Restart { node } => self.restart(node),
            What::Again { contact } => self.connect(contact),
        }
    }

    fn send(&mut self, message: usize) {
        let Some(what) = self.truth.messages.get(message).copied() else { return };
        let Some(to) = self.ids.get(what.to).copied() else { return };
        let Some(node) = self.nodes.get_mut(what.from).filter(|_| !self.hostile.contains(&what.from)) else {
            return;
        };
        if !node.send(&mut self.truth, message, &to) {
            node.unsent.push(message);
        }
        self.settle(what.from);
    }

    fn arrive(&mut self, connection: u64, to: usize, bytes: Vec<u8>) {
        let Some(here) = self.connections.get(&connection) else { return };
        let End { node, link, .. } = *here.end(to);
        self.truth.note(node, 1, bytes.len());
        if let Some(liar) = self.liars.get_mut(&node) {
            if liar.hear(&mut self.truth, link, &bytes) {
                self.pump(connection, to);
            } else {
                self.disconnect(connection, true);
            }
            return;
        }
        if let Some(here) = self.nodes.get_mut(node) {
            here.handle(&mut self.truth, Event::Bytes { link, bytes });
        }
        self.settle(node);
    }

    /// After a node was told something: breaks off what it gave up, writes, sends, and sets its alarm.
    fn settle(&mut self, node: usize) {
        loop {
            let Some(here) = self.nodes.get_mut(node) else { return };
            let closed = core::mem::take(&mut here.closed);
            for link in closed {
                if let Some((connection, _)) =
                    self.nodes.get(node).and_then(|here| here.links.get(&link).copied())
                {
                    self.disconnect(connection, true);
                }
            }
            for (connection, side) in self.links_to_pump(node) {
                self.pump(connection, side);
            }
            // What one link gives or settles may be news for another.
            let done = |here: &FieldNode| here.closed.is_empty();
            if self.nodes.get(node).is_none_or(done) && self.links_to_pump(node).is_empty() {
                break;
            }
        }
        let Some(here) = self.nodes.get_mut(node) else { return };
        let life = here.life;
        let now_ms = self.truth.now_ms;
        let sync = here.disk.begin();
        let due = here.engine.as_ref().and_then(Engine::poll_timeout).map(|at| at.as_ms().max(now_ms + 1));
        let tick = due.filter(|due| here.tick_ms.is_none_or(|set| *due < set));
        if tick.is_some() {
            here.tick_ms = tick;
        }
        if sync {
            let slow = self.truth.faults.sync_ms_max;
            let takes_ms = if slow > 20 { self.truth.dice.pick(1..slow) } else { SYNC_MS };
            self.later(now_ms + takes_ms, What::Synced { node, life });
        }
        if let Some(at_ms) = tick {
            self.later(at_ms, What::Tick { node, life });
        }
    }

    /// The links of a node that have something to say and can take it.
    fn links_to_pump(&self, node: usize) -> Vec<(u64, usize)> {
        let Some(here) = self.nodes.get(node) else { return Vec::new() };
        let news = here.engine.iter().flat_map(Engine::links_with_news);
        let places = news.filter_map(|link| here.links.get(&link).copied());
        let is_free = |(connection, side): &(u64, usize)| {
            self.connections.get(connection).is_some_and(|link| !link.end(*side).waits)
        };
        places.filter(is_free).collect()
    }

    /// Puts the next bytes of one end on the link, if it can take them.
    fn pump(&mut self, connection: u64, side: usize) {
        let Some(here) = self.connections.get(&connection) else { return };
        let End { node, link, busy_until_ms, waits, .. } = *here.end(side);
        if self.truth.now_ms < busy_until_ms {
            // It goes on then; nothing happens then if there is nothing to say.
            if let Some(here) = self.connections.get_mut(&connection).filter(|_| !waits) {
                here.end_mut(side).waits = true;
                self.later(busy_until_ms, What::Free { connection, side });
            }
            return;
        }
        let burst_bytes = here.burst_bytes();
        let mut burst = Vec::new();
        while burst.len() < burst_bytes {
            let frame = match self.liars.get_mut(&node) {
                Some(liar) => liar.frame(link),
                None => self.nodes.get_mut(node).and_then(|here| here.frame(&mut self.truth, link)),
            };
            let Some(mut frame) = frame else { break };
            if burst.is_empty() {
                burst = frame;
            } else {
                burst.append(&mut frame);
            }
        }
        if burst.is_empty() {
            return;
        }
        let Some(here) = self.connections.get_mut(&connection) else { return };
        let passage = pass(&here.model, &self.truth.faults, &mut burst, &mut self.truth.dice);
        self.truth.cost.bytes += passage.air_bytes;
        let heard = here.mute != Some(side);
        let free_ms = self.truth.now_ms + passage.busy_ms.max(1);
        let end = here.end_mut(side);
        end.busy_until_ms = free_ms;
        let arrives_ms = free_ms + passage.late_ms;
        let arrives_ms = if passage.overtakes { arrives_ms } else { arrives_ms.max(end.arrives_ms) };
        end.arrives_ms = end.arrives_ms.max(arrives_ms);
        let to = 1 - side;
        if heard {
            if passage.twice {
                self.later(arrives_ms, What::Arrive { connection, to, bytes: burst.clone() });
            }
            self.later(arrives_ms, What::Arrive { connection, to, bytes: burst });
        }
    }

    fn contact_up(&mut self, key: ContactKey, end_ms: u64) {
        let now_ms = self.truth.now_ms;
        let planned = self
            .planned
            .iter()
            .any(|c| (c.a, c.b, c.link) == key && c.start_ms <= now_ms && now_ms < c.end_ms);
        let one_way = self.model(key).one_way || self.truth.dice.percent(self.truth.faults.one_way_percent);
        let mute = one_way.then_some(1);
        self.open.insert(key, Open { connection: None, end_ms, planned, mute, broken: 0 });
        self.connect(key);
    }

    fn contact_down(&mut self, key: ContactKey) {
        if let Some(connection) = self.open.remove(&key).and_then(|open| open.connection) {
            self.disconnect(connection, false);
        }
    }

    fn model(&self, (_, _, link): ContactKey) -> LinkModel {
        self.trace.model(link)
    }

    fn is_up(&self, node: usize) -> bool {
        self.liars.contains_key(&node) || self.nodes.get(node).is_some_and(|here| here.engine.is_some())
    }

    /// Brings a link up over a contact, if there is one and both ends are there.
    fn connect(&mut self, key: ContactKey) {
        let (a, b, _) = key;
        let apart = self.group.is_some_and(|group| !same_side(group, a, b));
        let both = self.is_up(a) && self.is_up(b);
        let model = self.model(key);
        let Some(open) = self.open.get_mut(&key).filter(|open| open.connection.is_none()) else { return };
        if apart || !both {
            return;
        }
        let connection = self.next_connection;
        self.next_connection += 1;
        open.connection = Some(connection);
        let left_ms = open.end_ms.saturating_sub(self.truth.now_ms);
        let expected_ms = open.planned.then_some(left_ms);
        let properties = LinkProperties { mtu: None, rate_bytes_s: Some(model.rate_bytes_s), expected_ms };
        let end = |node, side| End {
            node,
            link: connection * 2 + side,
            busy_until_ms: 0,
            waits: false,
            arrives_ms: 0,
        };
        let mute = open.mute;
        self.connections
            .insert(connection, Connection { contact: key, ends: [end(a, 0), end(b, 1)], model, mute });
        self.truth.cost.meets += 1;
        for (side, node, peer) in [(0, a, b), (1, b, a)] {
            let link = connection * 2 + u64::from(side == 1);
            self.join(node, peer, link, (connection, side), properties);
        }
        for node in [a, b] {
            self.settle(node);
            if self.liars.contains_key(&node) {
                self.pump(connection, usize::from(node == b));
            }
        }
    }

    fn join(
        &mut self,
        node: usize,
        peer: usize,
        link: LinkId,
        place: (u64, usize),
        properties: LinkProperties,
    ) {
        let Some(peer) = self.ids.get(peer).copied() else { return };
        if let Some(liar) = self.liars.get_mut(&node) {
            liar.link_up(&mut self.truth, link);
        } else if let Some(here) = self.nodes.get_mut(node) {
            here.links.insert(link, place);
            here.link_up(&mut self.truth, link, peer, properties);
        }
    }

    /// Takes a link down at both ends; if it broke off, the two meet again while they can.
    fn disconnect(&mut self, connection: u64, broken: bool) {
        let Some(gone) = self.connections.remove(&connection) else { return };
        for end in gone.ends {
            if let Some(liar) = self.liars.get_mut(&end.node) {
                liar.link_down(end.link);
            } else if let Some(here) = self.nodes.get_mut(end.node)
                && here.links.remove(&end.link).is_some()
            {
                here.handle(&mut self.truth, Event::LinkDown { link: end.link });
            }
        }
        if let Some(open) = self.open.get_mut(&gone.contact) {
            open.connection = None;
            open.broken += u32::from(broken);
            let pause_ms = (AGAIN_MS << open.broken.min(7)).min(AGAIN_MS_MAX);
            if broken {
                self.later(self.truth.now_ms + pause_ms, What::Again { contact: gone.contact });
            }
        }
        for end in gone.ends {
            self.settle(end.node);
        }
    }

    fn go_wrong(&mut self, fault: Fault) {
        match fault {
            Fault::Crash { node, down_ms, unsynced_lost } => {
                if self.nodes.get(node).is_some_and(|here| here.engine.is_some()) {
                    self.fall(node, unsynced_lost);
                    self.later(self.truth.now_ms + down_ms, What::Restart { node });
                }
            }
            Fault::DiskFull { node } => {
                if let Some(here) = self.nodes.get_mut(node) {
                    here.disk.full = true;
                }
            }
            Fault::DiskFree { node } => {
                if let Some(here) = self.nodes.get_mut(node) {
                    here.disk.full = false;
                }
                self.send_late(node);
            }
            Fault::ClockJump { node, by_s } => {
                if let Some(here) = self.nodes.get_mut(node) {
                    here.wall_s = here.wall_s.map(|wall_s| wall_s.saturating_add_signed(by_s));
                    here.tell_time(&mut self.truth);
                }
                self.settle(node);
            }
            Fault::Partition { group } => {
                self.group = Some(group);
                let apart = |link: &Connection| !same_side(group, link.contact.0, link.contact.1);
                let cut: Vec<u64> =
                    self.connections.iter().filter(|(_, link)| apart(link)).map(|(id, _)| *id).collect();
                cut.into_iter().for_each(|connection| self.disconnect(connection, false));
            }
            Fault::Healed => {
                self.group = None;
                self.open.keys().copied().collect::<Vec<_>>().into_iter().for_each(|key| self.connect(key));
            }
        }
    }

    /// A node goes down.
    fn fall(&mut self, node: usize, unsynced_lost: bool) {
        let links: Vec<(u64, usize)> =
            self.nodes.get(node).map(|here| here.links.values().copied().collect()).unwrap_or_default();
        if let Some(here) = self.nodes.get_mut(node) {
            here.crash(&mut self.truth, unsynced_lost);
        }
        for (connection, _) in links {
            self.disconnect(connection, false);
        }
    }

    fn restart(&mut self, node: usize) {
        if self.gone.contains(&node) || self.hostile.contains(&node) {
            return;
        }
        let Some(here) = self.nodes.get_mut(node).filter(|here| here.engine.is_none()) else { return };
        here.start(&mut self.truth);
        self.send_late(node);
        let mine = |key: &&ContactKey| key.0 == node || key.1 == node;
        let open: Vec<ContactKey> = self.open.keys().filter(mine).copied().collect();
        open.into_iter().for_each(|key| self.connect(key));
    }

    /// A person tries again what could not be sent.
    fn send_late(&mut self, node: usize) {
        let unsent =
            self.nodes.get_mut(node).map(|here| core::mem::take(&mut here.unsent)).unwrap_or_default();
        unsent.into_iter().for_each(|message| self.send(message));
        self.settle(node);
    }

    fn seize(&mut self, node: usize) {
        self.fall(node, true);
        self.gone.insert(node);
        // Whatever was to come back does not.
        if let Some(here) = self.nodes.get_mut(node) {
            here.life += 1;
        }
        self.liars.remove(&node);
    }
}

/// The timetable of a field as nodes read it.
fn contact_plan(field: &Field, ids: &[NodeId]) -> ContactPlan {
    let both = |contact: &Contact| {
        let model = field.trace.model(contact.link);
        let one = |from: usize, to: usize| {
            Some(PlannedContact {
                from: *ids.get(from)?,
                to: *ids.get(to)?,
                clock: PlanClock::Plan,
                start_s: contact.start_ms / 1_000,
                end_s: contact.end_ms.div_ceil(1_000),
                every_s: None,
                rate_bytes_s: Some(model.rate_bytes_s),
                delay_ms: model.latency_ms,
            })
        };
        [one(contact.a, contact.b), one(contact.b, contact.a)]
    };
    let contacts = field.planned.iter().flat_map(both).flatten().collect();
    // A timetable is small; one that is not is not told.
    ContactPlan::new(contacts).unwrap_or_default().starting_at(cairn_engine::Instant::ZERO)
}
