//! Drops: the meet protocol through a directory that is carried.
//!
//! What goes into a drop is a run of meet frames per peer, in ordinary bundles that are signed by this
//! node and sealed to the peer. What comes back acknowledges it.

use cairn_bundle::{Bundle, Digest, NodeId, open};
use cairn_engine::{CloseReason, Event, LinkId};
use cairn_link::{Item, Mode, Topic, parcel, parcel_frames};
use cairn_store::{Read, Table};

use super::clock::Clock;
use super::commit::{Tx, table_of};
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
        if self.engine.has(&Item { topic: Topic::Bundle, id }) {
            return Parcel::Known;
        }
        let opened = match open(&bundle, &self.identity) {
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
        self.clock = clock;
        self.imports.insert(link, Imported { id: Some(id), ..Imported::default() });
        self.link_up(link, opened.source, Mode::Carried);
        self.handle(clock, Input::Bytes { link, bytes: frames }, disk);
        Parcel::Mine(link)
    }

    /// Whether an import is over: everything it brought is durable or refused. `None` while it goes on.
    pub fn import_state(&mut self, link: LinkId) -> Option<Imported> {
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
            tx.put(Table::Seen, *id.as_bytes(), []);
            self.commits.own(tx);
            self.engine(Event::Seen { id });
            self.after_input();
        }
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
    ) -> Result<(Vec<ParcelFile>, u64), CannotSend> {
        self.clock = clock;
        let link = self.drop_link();
        self.link_up(link, *peer, Mode::Carried);
        for item in self.owed_acks.remove(peer).unwrap_or_default() {
            self.engine(Event::Acknowledge { link, item });
            self.note_peer_item(*peer, item, false);
        }
        let mut payloads = Vec::new();
        let mut items: u64 = 0;
        let mut read = |item: Item, offset, len| {
            items += u64::from(offset == 0);
            disk.read_range(table_of(item.topic), item.id.as_bytes(), offset, len).ok().flatten()
        };
        self.engine.pump_carried(link, &mut read, &mut |payload| payloads.push(payload));
        self.engine(Event::LinkDown { link });
        let mut files = Vec::new();
        for payload in payloads {
            let bytes = self.write_bundle(peer, SERVICE_MEET, &payload)?.encode();
            files.push(ParcelFile { name: parcel::file_name(&Digest::of(&bytes)), bytes });
        }
        self.after_input();
        Ok((files, items))
    }
}
