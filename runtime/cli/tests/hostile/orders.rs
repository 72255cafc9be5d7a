//! Orders as people give them: in an unlucky sequence, twice, under a used key, to a node that is full.

use cairn_node::control::api::{BoardInfo, Request, Response, Urgency};

use super::node::{Node, ON_LOOPBACK, acquaint, meet, until};

fn board(node: &Node) -> Option<BoardInfo> {
    match node.ask(&Request::BoardList) {
        Response::Boards { boards } => boards.into_iter().next(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_board_that_is_joined_in_the_middle_of_a_meet_is_shared_at_once() {
    let root = tempfile::tempdir().unwrap();
    let [host, guest] = ["host", "guest"].map(|name| Node::new(root.path(), name, ON_LOOPBACK));
    host.start();
    guest.start();
    acquaint(&host, &guest);
    meet(&host, &guest);
    host.ask(&Request::BoardCreate { name: "relief".into() });
    let invite = Request::BoardInvite { board: "relief".into(), node: guest.name.into() };
    let Response::Text { text } = host.ask(&invite) else { panic!("no invitation") };
    // The host offers the board before the guest has it, and is refused.
    until("the board is offered too early", || {
        let refused = guest.counter("board changes refused: not valid on any board here");
        if refused > 0 { Ok(()) } else { Err("not yet".to_owned()) }
    });
    guest.ask(&Request::BoardJoin { invitation: text });
    until("both see the same board with both members", || match (board(&host), board(&guest)) {
        (Some(one), Some(two)) if one.view == two.view && two.members == 2 => Ok(()),
        views => Err(format!("{views:?}")),
    });
}

#[test]
fn a_key_stands_for_one_order_only() {
    let root = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| Node::new(root.path(), name, ON_LOOPBACK));
    one.start();
    two.start();
    acquaint(&one, &two);
    let order = |text: &str| Request::Send {
        to: two.name.into(),
        text: text.into(),
        file: None,
        key: "k".into(),
        class: Urgency::Normal,
    };
    let first = one.ask(&order("first"));
    assert_eq!(one.ask(&order("first")), first);
    let (message, hint) = one.refuses(&order("second"));
    assert!(message.contains("another order") && hint.is_some(), "{message}");
    // After a restart as well.
    one.kill();
    one.start();
    assert_eq!(one.ask(&order("first")), first);
    one.refuses(&order("second"));
    two.receives(&["first"]);
}

#[test]
fn a_node_whose_store_takes_nothing_can_be_ended() {
    let root = tempfile::tempdir().unwrap();
    let full = Node::new(root.path(), "full", &format!("{ON_LOOPBACK}[store]\nsize_max = \"1 B\"\n"));
    full.start();
    until("the store refuses", || {
        let warnings = full.status().warnings;
        if warnings.is_empty() { Err("no warning".to_owned()) } else { Ok(()) }
    });
    full.stop();
}
