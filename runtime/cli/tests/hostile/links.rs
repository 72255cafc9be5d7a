//! Live links: peers that speak nonsense, strangers, and twins.

use core::net::SocketAddr;
use core::time::Duration;

use cairn_bundle::{Digest, Identity};
use cairn_link::{FRAME_BYTES_MAX, Frame, Item, Topic, encode_chunk, frame};
use cairn_node::control::api::Status;
use iroh::endpoint::{Connection, ConnectionError, PortmapperConfig, RecvStream, SendStream, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey, TransportAddr};

use super::node::{Node, ON_LOOPBACK, acquaint, meet, until};
use super::person::{Dice, Person};

const ALPN: &[u8] = b"cairn/meet/1";
const PATIENCE: Duration = Duration::from_secs(10);

async fn endpoint(identity: &Identity) -> Endpoint {
    Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(identity.seed()))
        .relay_mode(RelayMode::Disabled)
        .portmapper_config(PortmapperConfig::Disabled)
        .clear_address_lookup()
        .clear_relay_transports()
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0".parse::<SocketAddr>().unwrap())
        .unwrap()
        .bind()
        .await
        .unwrap()
}

fn addr(node: &Node) -> EndpointAddr {
    let id: cairn_bundle::NodeId = node.id().parse().unwrap();
    let id = EndpointId::from_bytes(id.as_bytes()).unwrap();
    EndpointAddr::from_parts(id, [TransportAddr::Ip(node.address().parse().unwrap())])
}

async fn dial(from: &Endpoint, node: &Node) -> (Connection, SendStream, RecvStream) {
    let connection = from.connect(addr(node), ALPN).await.unwrap();
    let (send, recv) = connection.open_bi().await.unwrap();
    (connection, send, recv)
}

fn in_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("in time") })
}

/// Bytes after which a node has to close the link.
fn lies(liar: &Person, other: &Person, node: &Node) -> Vec<(&'static str, Vec<u8>)> {
    let hello = frame::encode_hello(&liar.hello());
    let after = |frames: &[&[u8]]| [&[&hello[..]], frames].concat().concat();
    let item = Item { topic: Topic::Blob, id: Digest([7; 32]) };
    let mut as_other = liar.hello();
    as_other.node = other.id();
    let mut as_node = liar.hello();
    as_node.node = node.id().parse().unwrap();
    let too_long = u32::try_from(FRAME_BYTES_MAX + 1).unwrap();
    let mut dice = Dice::new(3);
    // A length that fits announces noise.
    let noise = [&1_000_u32.to_be_bytes()[..], &dice.bytes(1_000)].concat();
    vec![
        ("noise", [&[0xff], &dice.bytes(70_000)[..]].concat()),
        ("noise in a frame", noise.clone()),
        ("a length of four gigabytes", vec![0xff; 4]),
        ("a frame one byte too long", after(&[&too_long.to_be_bytes()])),
        ("an empty frame", after(&[&[0; 4]])),
        ("no hello", Frame::Bye.encode()),
        ("two hellos", after(&[&hello])),
        ("a hello of somebody else", frame::encode_hello(&as_other)),
        ("a hello of the node itself", frame::encode_hello(&as_node)),
        ("noise after the hello", after(&[&noise])),
        ("a chunk beyond its item", after(&[&encode_chunk(item, 3, 2, b"12345")])),
        ("a chunk at the end of numbers", after(&[&encode_chunk(item, u64::MAX, u64::MAX, b"1")])),
    ]
}

/// Bytes that are allowed, though they lead nowhere.
fn oddities(person: &Person) -> Vec<u8> {
    let hello = frame::encode_hello(&person.hello());
    let ids = [[9; 32]; 500];
    let ids = frame::Ids::new(&ids);
    let mut bytes = hello;
    for topic in [Topic::Ledger, Topic::Bundle, Topic::Board, Topic::Blob] {
        bytes.extend(Frame::Have { topic, ids }.encode());
        bytes.extend(Frame::Want { topic, ids }.encode());
        bytes.extend(Frame::Ack { topic, ids }.encode());
        bytes.extend(encode_chunk(Item { topic, id: Digest([9; 32]) }, 5, 0, b"12345"));
        bytes.extend(encode_chunk(Item { topic, id: Digest([8; 32]) }, u64::MAX, 0, b"12345"));
    }
    bytes
}

fn counted(status: &Status) -> u64 {
    status.counters.values().sum()
}

/// Two nodes that have met, and a third person that the second one takes for a peer.
fn stage(root: &std::path::Path, liar: &Person) -> (Node, Node) {
    let [one, two] = ["one", "two"].map(|name| Node::new(root, name, ON_LOOPBACK));
    one.start();
    two.start();
    acquaint(&one, &two);
    two.befriend(&liar.card(), &liar.id().to_string(), Vec::new());
    meet(&one, &two);
    (one, two)
}

#[test]
fn a_peer_that_lies_is_hung_up_on_and_counted_while_a_good_one_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let (liar, other) = (Person::new("liar", 66), Person::new("other", 67));
    let (one, two) = stage(root.path(), &liar);
    for (what, bytes) in lies(&liar, &other, &two) {
        let before = counted(&two.status());
        in_time(async {
            let from = endpoint(&liar.identity).await;
            let (connection, mut send, _recv) = dial(&from, &two).await;
            // The node may hang up while this is still being written.
            let _ = send.write_all(&bytes).await;
            let reason = connection.closed().await;
            assert!(matches!(reason, ConnectionError::ApplicationClosed(_)), "{what}: {reason:?}");
            from.close().await;
        });
        let status = until("the lie is counted", || {
            let status = two.status();
            if counted(&status) > before { Ok(status) } else { Err(format!("{what}: {:?}", status.counters)) }
        });
        assert!(status.links.iter().any(|link| link.name == "one"), "{what}: the good peer keeps its link");
    }
    one.send(&two, "all the same").unwrap();
    two.receives(&["all the same"]);
}

#[test]
fn half_a_frame_and_silence_hold_nobody_up() {
    let root = tempfile::tempdir().unwrap();
    let liar = Person::new("liar", 66);
    let (one, two) = stage(root.path(), &liar);
    let hello = frame::encode_hello(&liar.hello());
    for bytes in [Vec::new(), vec![0], hello[..hello.len() / 2].to_vec(), hello.clone(), oddities(&liar)] {
        in_time(async {
            let from = endpoint(&liar.identity).await;
            let (connection, mut send, mut recv) = dial(&from, &two).await;
            send.write_all(&bytes).await.unwrap();
            if !bytes.is_empty() {
                // The node says its own Hello, and waits for the rest.
                recv.read(&mut [0; 16]).await.unwrap();
                assert!(connection.close_reason().is_none());
            }
            one.send(&two, &format!("beside {} bytes", bytes.len())).unwrap();
            until("a good peer is heard", || {
                let texts = two.texts();
                let text = format!("beside {} bytes", bytes.len());
                if texts.contains(&text) { Ok(()) } else { Err(format!("{texts:?}\n{}", two.log())) }
            });
            connection.close(0_u32.into(), b"");
            from.close().await;
        });
    }
}

#[test]
fn a_stranger_is_turned_away_after_the_handshake() {
    let root = tempfile::tempdir().unwrap();
    let (liar, stranger) = (Person::new("liar", 66), Person::new("stranger", 68));
    let (one, two) = stage(root.path(), &liar);
    in_time(async {
        let from = endpoint(&stranger.identity).await;
        for _ in 0..20 {
            let connection = from.connect(addr(&two), ALPN).await.unwrap();
            let ConnectionError::ApplicationClosed(close) = connection.closed().await else {
                panic!("turned away with a reason")
            };
            assert_eq!(&close.reason[..], b"not a peer");
        }
        // Another protocol is not spoken.
        assert!(from.connect(addr(&two), b"h3").await.is_err());
        from.close().await;
    });
    assert_eq!(two.counter("strangers turned away"), 20);
    assert_eq!(two.status().links.len(), 1);
    one.send(&two, "all the same").unwrap();
    two.receives(&["all the same"]);
}
