//! How much goes through a contact with a peer before it breaks.

use alloc::collections::BTreeMap;

use cairn_bundle::NodeId;

use crate::routing::LinkProperties;
use crate::time::Instant;

/// Peers that are remembered; the one that broke off longest ago makes room.
const PEERS_MAX: usize = 256;
/// A second, in which a forecast volume is said to go through.
const SECOND_MS: u64 = 1_000;

#[derive(Debug, Clone, Copy)]
struct Volume {
    bytes: u64,
    broke_at: Instant,
}

/// A contact that breaks after less says nothing: there would be no piece small enough for it, and whoever wants bundles to be
/// cut small must at least take so much.
const BYTES_MIN: u64 = 16 << 10;

/// Forecasts of volume, for peers whose contacts broke while something was under way. A contact that ends in order says
/// nothing of how much would have gone through, except that it was at least what did.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    volumes: BTreeMap<NodeId, Volume>,
}

impl Pace {
    /// A contact broke after so many bytes had been acknowledged, and so many handed to the link: of these, half are counted on.
    pub(crate) fn broke(&mut self, now: Instant, peer: NodeId, acked: u64, sent: u64) {
        if sent < BYTES_MIN {
            return;
        }
        let bytes = acked.max(sent / 2);
        let bytes = self.volumes.get(&peer).map_or(bytes, |known| known.bytes / 2 + bytes / 2);
        self.volumes.insert(peer, Volume { bytes, broke_at: now });
        if self.volumes.len() > PEERS_MAX
            && let Some(oldest) =
                self.volumes.iter().min_by_key(|(_, known)| known.broke_at).map(|(peer, _)| *peer)
        {
            self.volumes.remove(&oldest);
        }
    }

    /// A contact ended in order after so many bytes had been acknowledged.
    pub(crate) fn held(&mut self, peer: &NodeId, bytes: u64) {
        if self.volumes.get(peer).is_some_and(|known| known.bytes < bytes) {
            self.volumes.remove(peer);
        }
    }

    /// What is known of a link, with what past contacts say where nobody knows better.
    pub(crate) fn complete(&self, peer: &NodeId, known: LinkProperties) -> LinkProperties {
        match self.volumes.get(peer) {
            Some(volume) if known.expected_ms.is_none() => LinkProperties {
                rate_bytes_s: Some(volume.bytes.max(1)),
                expected_ms: Some(SECOND_MS),
                ..known
            },
            Some(_) | None => known,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_bundle::Identity;

    fn node(n: u16) -> NodeId {
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&n.to_be_bytes());
        Identity::from_seed(&seed).node_id()
    }

    #[test]
    fn contacts_that_break_say_how_much_goes_through_and_one_that_holds_takes_it_back() {
        let mut pace = Pace::default();
        let unknown = LinkProperties::default();
        assert_eq!(pace.complete(&node(1), unknown), unknown);
        pace.broke(Instant::ZERO, node(1), 0, BYTES_MIN - 1);
        assert_eq!(pace.complete(&node(1), unknown), unknown);
        pace.broke(Instant::ZERO, node(1), 0, 20_000);
        pace.broke(Instant::ZERO, node(1), 30_000, 40_000);
        let known = pace.complete(&node(1), unknown);
        assert_eq!((known.rate_bytes_s, known.expected_ms), (Some(20_000), Some(SECOND_MS)));
        let planned = LinkProperties { expected_ms: Some(60_000), ..unknown };
        assert_eq!(pace.complete(&node(1), planned), planned, "who knows better is believed");
        pace.held(&node(1), 100);
        assert_eq!(pace.complete(&node(1), unknown), known, "little went through, since there was little");
        pace.held(&node(1), 50_000);
        assert_eq!(pace.complete(&node(1), unknown), unknown);
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let mut pace = Pace::default();
        for n in 0..300 {
            pace.broke(Instant::from_ms(u64::from(n)), node(n), 1, BYTES_MIN);
        }
        assert_eq!(pace.volumes.len(), PEERS_MAX);
        assert!(pace.volumes.contains_key(&node(299)) && !pace.volumes.contains_key(&node(0)));
    }
}
