//! What authors number, ledger entries and board changes, is compared by heights between whole nodes.

use cairn_link::Topic;
use cairn_link::frame::{Decoded, Frame, decode};
use cairn_node::control::api::{Request, Response};
use cairn_store::{Read, Table};

use crate::host::{DAY, Node, TODAY, meet};

fn ids(node: &Node, table: Table) -> Vec<Vec<u8>> {
    let mut ids = Vec::new();
    node.store.for_each_key(table, &mut |key, _| ids.push(key.to_vec())).unwrap();
    ids
}

/// Grants of a line that are told one by one: so many entries of one stream.
fn grant(node: &mut Node, to: &Node, amounts: core::ops::Range<u64>) {
    for limit in amounts {
        let answer = node.ask(Request::CreditGrant { node: to.id().to_string(), limit });
        assert!(!matches!(answer, Response::Error { .. }), "{answer:?}");
    }
}

/// Members announce their cards on their boards every fourth day.
fn announce(node: &mut Node, times: usize) {
    (0..4 * times).for_each(|_| node.pass(DAY));
}

/// How many heights of a topic were told, and how many bytes of ranges.
fn told(said: &[Vec<u8>], of: Topic) -> (usize, usize) {
    let mut sum = (0, 0);
    for frame in said {
        match decode(&frame[4..]) {
            Ok(Decoded::Frame(Frame::Heights { topic, entries })) if topic == of => {
                sum.0 += entries.iter().count();
            }
            Ok(Decoded::Frame(Frame::Reconcile { topic, message })) if topic == of => sum.1 += message.len(),
            _ => {}
        }
    }
    sum
}

#[test]
fn who_is_behind_in_a_ledger_or_a_board_is_brought_up_to_date_by_heights_also_after_a_restart() {
    for first_writes in [true, false] {
        let (mut a, mut b) = (Node::new(1, Some(TODAY)), Node::new(2, Some(TODAY)));
        a.acquaint(&mut b);
        b.acquaint(&mut a);
        a.ask(Request::BoardCreate { name: "relief".into() });
        let invite = Request::BoardInvite { board: "relief".into(), node: b.id().to_string() };
        let Response::Text { text } = a.ask(invite) else { panic!("no invitation") };
        b.ask(Request::BoardJoin { invitation: text });
        let (mut writer, mut reader) = if first_writes { (a, b) } else { (b, a) };
        grant(&mut writer, &reader, 1..61);
        announce(&mut writer, 52);
        announce(&mut reader, 1);
        // The first meet ends at once, for another with the cards that they announce now.
        for link in 1..3 {
            meet(&mut writer, &mut reader, link);
        }
        assert_eq!(ids(&reader, Table::Ledger).len(), 60);
        assert!(ids(&reader, Table::Changes).len() > 50);
        // A node that was restarted knows the numbers of what it has.
        let (mut writer, mut reader) = (writer.restart(0), reader.restart(0));
        grant(&mut writer, &reader, 61..161);
        announce(&mut writer, 20);
        let said = [meet(&mut writer, &mut reader, 3), meet(&mut writer, &mut reader, 4)].concat();
        for (table, topic) in [(Table::Ledger, Topic::Ledger), (Table::Changes, Topic::Board)] {
            assert!(ids(&writer, table).len() >= 70);
            assert_eq!(ids(&writer, table), ids(&reader, table));
            let (heights, ranges) = told(&said, topic);
            assert!((1..=6).contains(&heights) && ranges <= 200, "{topic:?}: {heights} {ranges}");
        }
        // And then both know that they have the same.
        let said = meet(&mut writer, &mut reader, 5);
        for topic in [Topic::Ledger, Topic::Board] {
            assert_eq!(told(&said, topic).0, 0);
        }
    }
}
