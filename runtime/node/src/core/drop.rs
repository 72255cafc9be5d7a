//! Drops: the meet protocol through a directory that is carried.
//!
//! What goes into a drop is a run of meet frames per peer, in ordinary bundles that are signed by this
//! node and sealed to the peer. What comes back acknowledges it.

use std::collections::BTreeSet;

use cairn_bundle::{Bundle, Class, Digest, NodeId, open};
use cairn_engine::{CloseReason, Event, LinkId};
use cairn_link::{Hello, Item, Mode, ParcelWriter, Topic, Transmit, encode_chunk, parcel, parcel_frames};
use cairn_store::Read;

use super::catalogue::DiskIndex;
use super::clock::Clock;
use super::commit::Tx;
use super::outbound::CannotSend;
use super::wire::SERVICE_MEET;
use super::{Core, DROP_LINKS, Input};

/// How far the import of one parcel came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Set if the parcel broke the protocol.
    pub broken: Option<CloseReason>,
    /// Items of the parcel that this node did not take; some may be wanted after other parcels.
    pub refused: u64,
    /// Content id of the parcel's bundle.
    id: Option<Digest>,
}

/// What a file in a drop is to this node.
#[derive(Debug)]
pub enum Parcel {
    /// Frames from a peer, on a link that is now up; import is over when the link is idle.
    Mine(LinkId),
    /// Taken in before.
    Known,
    /// Addressed to somebody else.
    ForOthers,
    /// Damaged, forged, or from somebody this node does not meet.
    Refused(String),
}

/// A bundle file to be written into a drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParcelFile {
    /// Name of the file in the drop.
    pub name: String,
    /// The bundle.
    pub bytes: Vec<u8>,
}

/// What was packed for one peer.
#[derive(Debug, Default)]
pub struct Exported {
    /// The files to be written.
    pub files: Vec<ParcelFile>,
    /// What is in them: items (`true`) and acknowledgements of items (`false`).
    pub contents: BTreeSet<(bool, Item)>,
}

impl Core {
    fn drop_link(&mut self) -> LinkId {
        self.next_link = self.next_link.wrapping_add(1);
        DROP_LINKS | self.next_link
    }

    /// Reads one file of a drop. What it brings is checked, stored and counted like everything else;
    /// drain [`Core::poll`] and wait for [`Core::import_state`].
    pub fn import_parcel(&mut self, clock: Clock, bytes: &[u8], disk: &dyn Read) -> Parcel {
        let bundle = match Bundle::decode(bytes, &self.settings.engine.bundle) {
            Ok(bundle) => bundle,
            Err(error) => return Parcel::Refused(format!("not a bundle: {error}")),
        };
        if bundle.destination().node_id() != Some(self.me) {
            return Parcel::ForOthers;
        }
        let id = bundle.content_id();
        if self.engine.has(&Item { topic: Topic::Bundle, id }, &self.unwritten.over(DiskIndex(disk))) {
            return Parcel::Known;
        }
        let opened = match open(&bundle, &self.identity, &self.keys.prekeys) {
            Ok(opened) => opened,
            Err(error) => return Parcel::Refused(error.to_string()),
        };
        if !self.contacts.is_peer(&opened.source) {
            let who = opened.source;
            return Parcel::Refused(format!("from {who}, which is no peer; hint: cairn peer add {who}"));
        }
        if opened.destination_service != SERVICE_MEET {
            return Parcel::Refused("a bundle for another service than meet".to_owned());
        }
        let frames = match parcel_frames(&opened.payload) {
            Ok(frames) => frames.to_vec(),
            Err(error) => return Parcel::Refused(error.to_string()),
        };
        let link = self.drop_link();
        self.set_clock(clock);
        self.imports.insert(link, Imported { id: Some(id), ..Imported::default() });
        self.link_up(link, opened.source, Mode::Carried);
        self.handle(clock, Input::Bytes { link, bytes: frames }, disk);
        Parcel::Mine(link)
    }

    /// Whether an import is over: everything it brought is durable or refused. `None` while it goes on.
    pub fn import_state(&mut self, link: LinkId, disk: &dyn Read) -> Option<Imported> {
        let import = self.imports.get(&link)?;
        if import.broken.is_none() && !self.engine.has_taken_all(link) {
            return None;
        }
        let mut import = self.imports.remove(&link)?;
        import.refused = self.engine.refused(link);
        self.engine(Event::LinkDown { link });
        if import.broken.is_none()
            && import.refused == 0
            && let Some(id) = import.id
        {
            // Nothing in it is news any more: the next look at this drop can pass it over.
            let mut tx = Tx::default();
            self.past.note_gone(&mut tx, &id);
            self.commits.own(tx);
            self.engine(Event::Seen { id });
        }
        self.after_input(disk);
        Some(import)
    }

    /// Writes what a peer lacks, and the acknowledgements that it is owed, as sealed bundles.
    ///
    /// # Errors
    /// [`CannotSend`] if the peer's card is missing or a parcel cannot be sealed.
    pub fn export_parcels(
        &mut self,
        clock: Clock,
        peer: &NodeId,
        disk: &dyn Read,
    ) -> Result<Exported, CannotSend> {
        self.set_clock(clock);
        let link = self.drop_link();
        let hello = self.hello_for(peer);
        self.link_up(link, *peer, Mode::Carried);
        self.run_engine(disk);
        let mut exported = Exported::default();
        for item in self.owed_acks.remove(peer).unwrap_or_default() {
            self.engine(Event::Acknowledge { link, item });
            self.note_peer_item(*peer, item, false);
            exported.contents.insert((false, item));
        }
        self.run_engine(disk);
        for payload in self.fill_parcels(link, &hello, disk, &mut exported) {
            let bytes = self.write_bundle(peer, SERVICE_MEET, Class::Normal, &payload)?.0.encode();
            exported.files.push(ParcelFile { name: parcel::file_name(&Digest::of(&bytes)), bytes });
        }
        self.engine(Event::LinkDown { link });
        self.after_input(disk);
        Ok(exported)
    }

    /// Drains a carried link into payloads of parcels; an item never splits over two of them.
    fn fill_parcels(
        &mut self,
        link: LinkId,
        hello: &Hello,
        disk: &dyn Read,
        exported: &mut Exported,
    ) -> Vec<Vec<u8>> {
        let mut writer = ParcelWriter::new(hello, parcel::PARCEL_BYTES_MAX);
        let mut payloads = Vec::new();
        // The first frame is the hello, with which the writer begins every parcel by itself.
        let _hello = self.engine_transmit(link, disk);
        let mut whole = Vec::new();
        while let Some(transmit) = self.engine_transmit(link, disk) {
            let full = match transmit {
                Transmit::Frame(frame) => writer.push(&frame),
                Transmit::Chunk { item, total, offset, len } => {
                    let Some(bytes) = self.read_item(link, item, offset, len, disk) else {
                        self.count("items that could not be read back");
                        self.engine(Event::Withdraw { link, item });
                        self.run_engine(disk);
                        whole.clear();
                        continue;
                    };
                    whole.extend_from_slice(&encode_chunk(item, total, offset, &bytes));
                    if offset.saturating_add(len) < total {
                        continue;
                    }
                    exported.contents.insert((true, item));
                    writer.push(&core::mem::take(&mut whole))
                }
            };
            payloads.extend(full);
        }
        payloads.extend(writer.finish());
        payloads
    }
}
