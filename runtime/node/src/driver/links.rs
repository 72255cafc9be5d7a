//! Links over iroh: QUIC by node id, direct addresses only, no lookup that needs an uplink.

use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use cairn_bundle::{Identity, NodeId};
use cairn_engine::LinkId;
use iroh::endpoint::{
    Connection, ConnectionError, PortmapperConfig, QuicTransportConfig, RecvStream, SendStream, presets,
};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey, TransportAddr};
use tokio::sync::mpsc;

use super::{DriverEvent, NodeError};

/// The protocol that Cairn nodes speak over QUIC: one bidirectional stream of meet frames.
const ALPN: &[u8] = b"cairn/meet/1";
/// Packets that are read from a stream at a time, of some 1,400 bytes each.
const READ_PACKETS: usize = 48;
/// Writes that may wait between the node and a socket.
const FRAMES_WAITING_MAX: usize = 4;
/// A silent connection is given up after this time.
const IDLE: Duration = Duration::from_secs(15);
/// A dial that has not succeeded by then is given up, and tried again later.
const DIAL: Duration = Duration::from_secs(10);
/// A peer that has connected but opens no stream is dropped after this time.
const GREET: Duration = Duration::from_secs(5);

/// Code of a close by a node that has met the same identity again.
const REPLACED: u32 = 2;

/// Who opened a connection; decides which one stays when two nodes dial each other at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialler {
    Me,
    Them,
}

/// How a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// In any ordinary way.
    Ordinary,
    /// The peer has another connection with this node's identity, which this node has not opened.
    Replaced,
}

/// A link that is up, as the driver sees it.
#[derive(Debug)]
pub(crate) struct OpenLink {
    pub(crate) peer: NodeId,
    pub(crate) dialler: Dialler,
    pub(crate) frames: mpsc::Sender<Vec<u8>>,
    pub(crate) since: Instant,
    /// Bytes of frames, each way.
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    connection: Connection,
}

impl OpenLink {
    pub(crate) fn close(&self) {
        self.connection.close(0_u32.into(), b"");
    }

    /// Closes it because the peer has opened a newer one. A peer that has started again never hears of it;
    /// one that does has a twin.
    pub(crate) fn replace(&self) {
        self.connection.close(REPLACED.into(), b"met again elsewhere");
    }
}

/// Binds the QUIC sockets. Nothing here asks or tells the internet anything.
///
/// Without an address to listen on there is no endpoint: such a node meets others through drops only.
pub(crate) async fn bind(identity: &Identity, listen: &[SocketAddr]) -> Result<Option<Endpoint>, NodeError> {
    if listen.is_empty() {
        return Ok(None);
    }
    let idle = IDLE.try_into().expect("15 s fit a QUIC idle timeout");
    let transport =
        QuicTransportConfig::builder().max_idle_timeout(Some(idle)).keep_alive_interval(IDLE / 3).build();
    let mut builder = Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(identity.seed()))
        .alpns(vec![ALPN.to_vec()])
        .relay_mode(RelayMode::Disabled)
        .portmapper_config(PortmapperConfig::Disabled)
        .transport_config(transport)
        .clear_address_lookup()
        .clear_relay_transports()
        .clear_ip_transports();
    for address in listen {
        builder = builder.bind_addr(*address).map_err(|error| NodeError::Listen(error.to_string()))?;
    }
    builder.bind().await.map(Some).map_err(|error| NodeError::Listen(format!("{error:#}")))
}

/// Accepts connections for as long as the endpoint lives.
pub(crate) async fn accept(endpoint: Endpoint, events: mpsc::Sender<DriverEvent>) {
    while let Some(incoming) = endpoint.accept().await {
        let events = events.clone();
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            let Ok(peer) = NodeId::from_bytes(*connection.remote_id().as_bytes()) else { return };
            let (answer, allowed) = tokio::sync::oneshot::channel();
            // Asked before a stream is taken, so that a stranger costs no more than a handshake.
            if events.send(DriverEvent::MayMeet { peer, answer }).await.is_err() || allowed.await != Ok(true)
            {
                connection.close(1_u32.into(), b"not a peer");
                return;
            }
            if let Ok(Ok((send, recv))) = tokio::time::timeout(GREET, connection.accept_bi()).await {
                let _ = events
                    .send(DriverEvent::Connected { peer, dialler: Dialler::Them, connection, send, recv })
                    .await;
            }
        });
    }
}

/// Dials a peer at its direct addresses.
pub(crate) async fn dial(
    endpoint: Endpoint,
    peer: NodeId,
    addresses: Vec<SocketAddr>,
    events: mpsc::Sender<DriverEvent>,
) {
    let connected = async {
        let id = EndpointId::from_bytes(peer.as_bytes()).ok()?;
        let addr = EndpointAddr::from_parts(id, addresses.into_iter().map(TransportAddr::Ip));
        let connection = endpoint.connect(addr, ALPN).await.ok()?;
        let (send, recv) = connection.open_bi().await.ok()?;
        Some((connection, send, recv))
    };
    let event = match tokio::time::timeout(DIAL, connected).await {
        Ok(Some((connection, send, recv))) => {
            DriverEvent::Connected { peer, dialler: Dialler::Me, connection, send, recv }
        }
        Ok(None) | Err(_) => DriverEvent::DialFailed { peer },
    };
    let _ = events.send(event).await;
}

/// Starts the two tasks that move bytes for one link.
pub(crate) fn run(
    link: LinkId,
    peer: NodeId,
    dialler: Dialler,
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    events: &mpsc::Sender<DriverEvent>,
) -> OpenLink {
    let (frames, waiting) = mpsc::channel(FRAMES_WAITING_MAX);
    tokio::spawn(write(link, send, waiting, events.clone()));
    tokio::spawn(read(link, recv, connection.clone(), events.clone()));
    OpenLink { peer, dialler, frames, since: Instant::now(), sent_bytes: 0, received_bytes: 0, connection }
}

async fn write(
    link: LinkId,
    mut send: SendStream,
    mut frames: mpsc::Receiver<Vec<u8>>,
    events: mpsc::Sender<DriverEvent>,
) {
    while let Some(frame) = frames.recv().await {
        if send.write_chunk(Bytes::from(frame)).await.is_err() {
            let _ = events.send(DriverEvent::Lost { link, end: End::Ordinary }).await;
            return;
        }
        if events.send(DriverEvent::Ready).await.is_err() {
            return;
        }
    }
    let _ = send.finish();
}

async fn read(link: LinkId, mut recv: RecvStream, connection: Connection, events: mpsc::Sender<DriverEvent>) {
    let mut packets = vec![Bytes::new(); READ_PACKETS];
    while let Ok(Some(count)) = recv.read_many_chunks(&mut packets).await {
        let Some(some) = packets.get(..count) else { break };
        let bytes = some.concat();
        if events.send(DriverEvent::Bytes { link, bytes }).await.is_err() {
            return;
        }
    }
    let end = match connection.close_reason() {
        Some(ConnectionError::ApplicationClosed(close)) if close.error_code == REPLACED.into() => {
            End::Replaced
        }
        Some(_) | None => End::Ordinary,
    };
    connection.close(0_u32.into(), b"");
    let _ = events.send(DriverEvent::Lost { link, end }).await;
}
