//! Which peers to dial, when, and which of two connections to keep.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use cairn_bundle::NodeId;
use cairn_engine::LinkId;
use iroh::endpoint::{Connection, RecvStream, SendStream};

use super::links::{self, Dialler};
use super::{Driver, Input};

/// The first pause after a failed dial; it doubles up to [`PAUSE_MAX`] and never ends.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Two connections of one pair that come up further apart than this were not dialled at the same time.
const CROSSED_MAX: Duration = Duration::from_secs(5);
/// Addresses that are tried for one peer.
const ADDRESSES_MAX: usize = 32;

#[derive(Debug, Default)]
struct Dial {
    under_way: bool,
    failures: u32,
    next: Option<Instant>,
    found: BTreeSet<SocketAddr>,
}

/// The state of dialling, by peer.
#[derive(Debug, Default)]
pub(crate) struct Dials {
    by_peer: BTreeMap<NodeId, Dial>,
}

impl Dials {
    pub(crate) fn failed(&mut self, peer: NodeId, now: Instant) {
        let dial = self.by_peer.entry(peer).or_default();
        dial.under_way = false;
        dial.failures = dial.failures.saturating_add(1);
        let doubled = PAUSE_MIN.saturating_mul(1 << dial.failures.min(10).saturating_sub(1));
        dial.next = now.checked_add(doubled.min(PAUSE_MAX));
    }

    fn succeeded(&mut self, peer: NodeId) {
        let dial = self.by_peer.entry(peer).or_default();
        dial.under_way = false;
        dial.failures = 0;
        dial.next = None;
    }

    /// A peer was seen on the local network: dial it soon, whatever failed before.
    pub(crate) fn found(&mut self, peer: NodeId, addresses: Vec<SocketAddr>) {
        let dial = self.by_peer.entry(peer).or_default();
        for address in addresses {
            if dial.found.len() < ADDRESSES_MAX && dial.found.insert(address) {
                dial.next = None;
            }
        }
    }

    fn is_due(&self, peer: &NodeId, now: Instant) -> bool {
        self.by_peer.get(peer).is_none_or(|dial| !dial.under_way && dial.next.is_none_or(|next| next <= now))
    }
}

impl Driver {
    /// Dials every peer that has an address and no link.
    pub(super) fn dial_peers(&mut self) {
        let Some(endpoint) = self.endpoint.clone() else { return };
        let now = Instant::now();
        let linked: BTreeSet<NodeId> = self.links.values().map(|open| open.peer).collect();
        let peers = self.core.contacts().peers().filter(|(peer, _)| !linked.contains(peer));
        let mut due = Vec::new();
        for (peer, contact) in peers.filter(|(peer, _)| self.dials.is_due(peer, now)) {
            let known = contact.dial_addresses().filter_map(|address| address.parse().ok());
            let found = self.dials.by_peer.get(peer).map(|dial| dial.found.iter().copied());
            let addresses: BTreeSet<SocketAddr> =
                known.chain(found.into_iter().flatten()).take(ADDRESSES_MAX).collect();
            if !addresses.is_empty() {
                due.push((*peer, addresses));
            }
        }
        for (peer, addresses) in due {
            self.dials.by_peer.entry(peer).or_default().under_way = true;
            let addresses = addresses.into_iter().collect();
            tokio::spawn(links::dial(endpoint.clone(), peer, addresses, self.events.clone()));
        }
    }

    pub(super) fn connected(
        &mut self,
        peer: NodeId,
        dialler: Dialler,
        connection: Connection,
        send: SendStream,
        recv: RecvStream,
    ) {
        self.dials.succeeded(peer);
        if !self.core.contacts().is_peer(&peer) {
            connection.close(1_u32.into(), b"not a peer");
            return;
        }
        let old = self.links.iter().find(|(_, open)| open.peer == peer).map(|(link, _)| *link);
        if let Some(old) = old {
            if !self.newer_wins(old, dialler) {
                connection.close(0_u32.into(), b"met already");
                return;
            }
            if dialler == Dialler::Them && !self.has_crossed(old, dialler) {
                self.core.count("links replaced by a newer one of the same peer");
                if let Some(open) = self.links.get(&old) {
                    open.replace();
                }
            }
            self.drop_link(old);
        }
        self.next_link += 1;
        let link = self.next_link;
        let open = links::run(link, peer, dialler, connection, send, recv, &self.events);
        self.links.insert(link, open);
        self.input(Input::LinkUp { link, peer });
    }

    /// Whoever dials has no link: it has started again, or its old one is dead, and the newer one lives.
    /// Unless both have dialled at the same time: then both keep the one that the smaller node id opened.
    fn newer_wins(&self, old: LinkId, new: Dialler) -> bool {
        let Some(open) = self.links.get(&old) else { return true };
        let smaller = if self.core.node_id() < open.peer { Dialler::Me } else { Dialler::Them };
        new == smaller || !self.has_crossed(old, new)
    }

    /// Whether two connections of one pair were dialled at the same time, from both sides.
    fn has_crossed(&self, old: LinkId, new: Dialler) -> bool {
        let old = self.links.get(&old);
        old.is_some_and(|open| open.dialler != new && open.since.elapsed() < CROSSED_MAX)
    }

    pub(super) fn drop_link(&mut self, link: LinkId) {
        if let Some(open) = self.links.remove(&link) {
            open.close();
            self.input(Input::LinkDown { link });
        }
    }
}
