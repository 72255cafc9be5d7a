//! Neighbours that know nothing of each other but their cards.

use super::node::{Node, OFFLINE, acquaint, meet};
use super::space::Space;

#[test]
fn two_nodes_on_one_network_find_each_other_without_an_address() {
    // Two machines with one cable between them, and nothing else.
    let up = "ip link set lo up";
    let (Some(here), Some(there)) = (Space::new("-n", up), Space::new("-n", up)) else { return };
    let cable = ["ip", "link", "add", "left", "type", "veth", "peer", "name", "right", "netns", there.pid()];
    let ends = [(&here, "left", "192.0.2.1/24"), (&there, "right", "192.0.2.2/24")];
    let plugged = here.runs("-n", &cable)
        && ends.iter().all(|(space, device, address)| {
            space.runs("-n", &["ip", "addr", "add", address, "dev", device])
                && space.runs("-n", &["ip", "link", "set", device, "up"])
        });
    if !plugged {
        eprintln!("skipped: no pair of virtual network devices (it needs root, `ip` and veth)");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let node = |name, space: &Space| Node::new(root.path(), name, OFFLINE).inside(&space.enter("-n"), None);
    let (one, two) = (node("one", &here), node("two", &there));
    // Cards are exchanged while neither has a network, so there is no address on them.
    for node in [&one, &two] {
        node.start();
    }
    acquaint(&one, &two);
    for node in [&one, &two] {
        node.stop();
        node.configure("");
        node.start();
    }
    meet(&one, &two);
    one.send(&two, "over the cable").unwrap();
    two.receives(&["over the cable"]);
}
