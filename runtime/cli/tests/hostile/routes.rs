//! What a person sees of the bundles that a node carries, and the store that holds them.

use std::fs;

use cairn_node::control::api::{Request, Response, RouteInfo};

use super::node::{Node, OFFLINE, ON_LOOPBACK, acquaint, meet, until};

fn out(node: &Node, args: &[&str]) -> String {
    let output = node.cairn(args);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn err(node: &Node, args: &[&str]) -> String {
    let output = node.cairn(args);
    assert!(!output.status.success(), "{args:?} must fail");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn first_id(node: &Node) -> String {
    let Response::Carrying { bundles } = node.ask(&Request::RouteList { max: 10 }) else { panic!("no list") };
    bundles.first().unwrap().id.clone()
}

fn explained(node: &Node, bundle: &str) -> RouteInfo {
    let ask = Request::RouteExplain { bundle: bundle.to_owned() };
    let Response::Route(info) = node.ask(&ask) else { panic!("no route") };
    info
}

#[test]
fn a_bundle_is_listed_and_its_way_is_explained() {
    let root = tempfile::tempdir().unwrap();
    let [one, two, three] = ["one", "two", "three"].map(|name| Node::new(root.path(), name, ON_LOOPBACK));
    for node in [&one, &two, &three] {
        node.start();
    }
    acquaint(&one, &three);
    three.kill();
    assert_eq!(out(&one, &["route", "list"]), "nothing waits here\n");
    out(&one, &["send", "--class", "bulk", "three", "no hurry"]);
    let list = out(&one, &["route", "list"]);
    assert!(list.contains("bulk") && list.contains("three"), "{list}");
    let id = first_id(&one);

    // Nobody is met: it is held, and says so.
    let alone = explained(&one, &id[..8]);
    assert!(alone.neighbours.is_empty() && alone.verdict.starts_with("It is held"), "{alone:?}");
    assert_eq!(alone.bundle.id, id);

    // A neighbour that is not its destination, then one that is.
    acquaint(&one, &two);
    meet(&one, &two);
    until("the neighbour is weighed", || {
        let info = explained(&one, &id);
        if info.neighbours.iter().any(|hop| hop.name == "two") { Ok(()) } else { Err(format!("{info:?}")) }
    });
    let text = out(&one, &["route", "explain", &id[..10]]);
    assert!(text.contains("two") && text.contains("bulk"), "{text}");

    assert!(err(&one, &["route", "explain", "abc"]).contains("hint: see: cairn route list"));
    assert!(err(&one, &["route", "explain", "aaaaaaaa"]).contains("no bundle here begins with"));
    assert!(err(&one, &["route", "explain", "ÄÖÜ?!#.."]).contains("not the beginning"));
}

#[test]
fn a_contact_plan_is_kept_over_a_restart_and_a_bad_one_is_refused_by_line() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::new(root.path(), "one", OFFLINE);
    let bus = Node::new(root.path(), "bus", OFFLINE);
    node.start();
    bus.start();
    let (me, other) = (node.id(), bus.id());
    assert!(out(&node, &["route", "plan", "show"]).contains("no contact plan"));
    let (good, bad) = (root.path().join("bus.plan"), root.path().join("bad.plan"));
    let plan = format!("# the weekly bus\ncontact {me} {other} +1h +2h every=week\n");
    fs::write(&good, &plan).unwrap();
    fs::write(&bad, format!("{plan}contact {me} nobody +1h +2h\n")).unwrap();
    out(&node, &["route", "plan", "set", good.to_str().unwrap()]);
    let refused = err(&node, &["route", "plan", "set", bad.to_str().unwrap()]);
    assert!(refused.contains('3') && refused.contains("hint"), "the line is named: {refused}");
    assert!(err(&node, &["route", "plan", "set", "/dev/zero"]).contains("has more than"));
    fs::write(&bad, "# nothing yet\n\n").unwrap();
    assert!(err(&node, &["route", "plan", "set", bad.to_str().unwrap()]).contains("cairn route plan clear"));
    node.kill();
    node.start();
    assert_eq!(out(&node, &["route", "plan", "show"]), plan);
    out(&node, &["route", "plan", "clear"]);
    assert!(out(&node, &["route", "plan", "show"]).contains("no contact plan"));
}

#[test]
fn the_store_of_a_stopped_node_is_checked_shrunk_and_copied() {
    let root = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| Node::new(root.path(), name, OFFLINE));
    one.start();
    two.start();
    acquaint(&one, &two);
    for number in 0..5 {
        one.send(&two, &format!("message {number}")).unwrap();
    }
    assert!(err(&one, &["store", "check"]).contains("hint"), "a running node keeps its store to itself");
    one.stop();
    assert!(out(&one, &["store", "check"]).contains("everything is as it was written"));
    assert!(out(&one, &["store", "compact"]).contains("now"));
    let copy = root.path().join("copy");
    assert!(out(&one, &["store", "export", copy.to_str().unwrap()]).contains("copied to"));
    let again = err(&one, &["store", "export", copy.to_str().unwrap()]);
    assert!(again.contains("there is a store") && again.contains("hint: name a directory"), "{again}");

    // The copy is a whole store: the node goes on with it.
    let store = one.home.join("store");
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&copy, &store).unwrap();
    one.start();
    assert_eq!(one.status().bundles, 5);
    let nowhere = Node::new(root.path(), "nowhere", OFFLINE);
    assert!(err(&nowhere, &["store", "check"]).contains("there is no store"));
    fs::remove_dir_all(&nowhere.home).unwrap();
    assert!(err(&nowhere, &["store", "check"]).contains("there is no store"), "not even a folder");
}
