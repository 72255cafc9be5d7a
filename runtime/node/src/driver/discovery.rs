//! LAN discovery: multicast DNS on every interface, so that neighbours find each other without anything set up.
//!
//! What is announced is the node id and the ports; what is found is only dialled if it is a peer already.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeSet;

use cairn_bundle::NodeId;
use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::sync::mpsc;

use super::DriverEvent;

const SERVICE: &str = "_cairn._udp.local.";
const PROPERTY_NODE: &str = "node";
/// Addresses that are believed of one announcement.
const ADDRESSES_MAX: usize = 16;

/// A running announcement; it ends when dropped.
pub(crate) struct Discovery {
    daemon: ServiceDaemon,
}

impl Drop for Discovery {
    fn drop(&mut self) {
        let _ = self.daemon.shutdown();
    }
}

/// Announces this node at its ports and reports others.
pub(crate) fn start(
    me: NodeId,
    ports: &BTreeSet<u16>,
    events: mpsc::Sender<DriverEvent>,
) -> Result<Discovery, mdns_sd::Error> {
    let daemon = ServiceDaemon::new()?;
    // The instance name must be unique on the network; a label has at most 63 characters.
    let id = me.to_string();
    for port in ports {
        let instance = format!("{id}-{port}");
        let host = format!("{}.local.", me.short());
        let properties = [(PROPERTY_NODE, id.as_str())];
        let info =
            ServiceInfo::new(SERVICE, &instance, &host, (), *port, &properties[..])?.enable_addr_auto();
        daemon.register(info)?;
    }
    let found = daemon.browse(SERVICE)?;
    tokio::spawn(async move {
        while let Ok(event) = found.recv_async().await {
            if let ServiceEvent::ServiceResolved(service) = event
                && let Some((peer, addresses)) = read_announcement(&service, &me)
                && events.send(DriverEvent::Found { peer, addresses }).await.is_err()
            {
                return;
            }
        }
    });
    Ok(Discovery { daemon })
}

/// Who announces itself, and where. An announcement is only a hint: the dial proves the id.
fn read_announcement(service: &ResolvedService, me: &NodeId) -> Option<(NodeId, Vec<SocketAddr>)> {
    let node: NodeId = service.get_property_val_str(PROPERTY_NODE)?.parse().ok()?;
    if node == *me {
        return None;
    }
    let port = service.get_port();
    let plain = service.get_addresses().iter().map(mdns_sd::ScopedIp::to_ip_addr);
    // A link-local address needs a zone that is not known here.
    let usable = plain.filter(|ip| match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    });
    let addresses: BTreeSet<SocketAddr> =
        usable.map(|ip| SocketAddr::new(ip, port)).take(ADDRESSES_MAX).collect();
    (!addresses.is_empty()).then(|| (node, addresses.into_iter().collect()))
}
