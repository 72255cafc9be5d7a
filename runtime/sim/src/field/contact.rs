//! Contacts: who can talk to whom, from when to when, and how well.

/// What a link can do while a contact lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkModel {
    /// Bytes a second in each direction; at least 1.
    pub rate_bytes_s: u64,
    /// Milliseconds from the last byte sent to the last byte heard.
    pub latency_ms: u64,
    /// Frames lost on the way, of a hundred. The link itself repeats them, which costs time and bytes on the air.
    pub loss_percent: u8,
    /// Only the contact's first node can be heard.
    pub one_way: bool,
}

impl LinkModel {
    /// Two phones or small boards on Wi-Fi, some tens of metres apart.
    pub const WIFI: Self = Self::two_way(500_000, 10, 0);
    /// A cable or a home network.
    pub const LAN: Self = Self::two_way(10_000_000, 1, 0);
    /// A directed radio link to a drone or a bus that stands still.
    pub const DIRECTED: Self = Self::two_way(1_000_000, 20, 2);
    /// A satellite in low orbit, store and forward.
    pub const SATELLITE: Self = Self::two_way(16_000, 30, 5);
    /// A poor radio hop: 30 of a hundred frames do not arrive.
    pub const LOSSY: Self = Self::two_way(100_000, 50, 30);

    const fn two_way(rate_bytes_s: u64, latency_ms: u64, loss_percent: u8) -> Self {
        Self { rate_bytes_s, latency_ms, loss_percent, one_way: false }
    }
}

/// A time span in which two nodes can talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    /// When it begins, in milliseconds from the start of the run.
    pub start_ms: u64,
    /// When it is over; later than `start_ms`.
    pub end_ms: u64,
    /// One node; on a one-way link the one that can be heard.
    pub a: usize,
    /// The other node.
    pub b: usize,
    /// Index into [`ContactTrace::links`].
    pub link: usize,
}

/// A contact begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceEvent {
    /// When, in milliseconds from the start of the run.
    pub at_ms: u64,
    /// Whether the link comes up; of two events at one moment, the link that goes down is first.
    pub up: bool,
    /// One node.
    pub a: usize,
    /// The other node.
    pub b: usize,
    /// Index into [`ContactTrace::links`].
    pub link: usize,
}

/// All contacts of a run, in the order in which they begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactTrace {
    nodes: usize,
    end_ms: u64,
    links: Vec<LinkModel>,
    contacts: Vec<Contact>,
}

impl ContactTrace {
    /// A trace of `nodes` nodes that ends at `end_ms`. Contacts are cut off at the end, those of one pair over one
    /// kind of link that touch or overlap become one, and what cannot be (a node with itself, a node or link that
    /// does not exist, no duration) is left out.
    #[must_use]
    pub fn new(nodes: usize, end_ms: u64, links: Vec<LinkModel>, contacts: Vec<Contact>) -> Self {
        let mut valid: Vec<Contact> =
            contacts.into_iter().filter_map(|contact| tidied(contact, nodes, end_ms, &links)).collect();
        valid.sort_unstable_by_key(|contact| (contact.a, contact.b, contact.link, contact.start_ms));
        let mut merged: Vec<Contact> = Vec::with_capacity(valid.len());
        for contact in valid {
            match merged.last_mut() {
                Some(last)
                    if (last.a, last.b, last.link) == (contact.a, contact.b, contact.link)
                        && contact.start_ms <= last.end_ms =>
                {
                    last.end_ms = last.end_ms.max(contact.end_ms);
                }
                _ => merged.push(contact),
            }
        }
        merged.sort_unstable();
        Self { nodes, end_ms, links, contacts: merged }
    }

    /// How many nodes there are; they are named from 0.
    #[must_use]
    pub const fn nodes(&self) -> usize {
        self.nodes
    }

    /// When the trace ends, in milliseconds.
    #[must_use]
    pub const fn end_ms(&self) -> u64 {
        self.end_ms
    }

    /// The kinds of link that occur.
    #[must_use]
    pub fn links(&self) -> &[LinkModel] {
        &self.links
    }

    /// The contacts, in the order in which they begin.
    #[must_use]
    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }

    /// What the link of a contact can do.
    #[must_use]
    pub fn model(&self, link: usize) -> LinkModel {
        self.links.get(link).copied().unwrap_or(LinkModel::WIFI)
    }

    /// The same contacts as events, in order of time.
    #[must_use]
    pub fn events(&self) -> Vec<TraceEvent> {
        let both = |contact: &Contact| {
            let Contact { start_ms, end_ms, a, b, link } = *contact;
            [
                TraceEvent { at_ms: start_ms, up: true, a, b, link },
                TraceEvent { at_ms: end_ms, up: false, a, b, link },
            ]
        };
        let mut events: Vec<TraceEvent> = self.contacts.iter().flat_map(both).collect();
        events.sort_unstable();
        events
    }

    /// The trace with each contact replaced by what `change` makes of it: shorter, over another kind of link, or
    /// gone.
    #[must_use]
    pub fn changed(&self, mut change: impl FnMut(&Contact) -> Option<Contact>) -> Self {
        let contacts = self.contacts.iter().filter_map(&mut change).collect();
        Self::new(self.nodes, self.end_ms, self.links.clone(), contacts)
    }

    /// The trace with one more kind of link; says which index it has.
    #[must_use]
    pub fn with_link(mut self, model: LinkModel) -> (Self, usize) {
        if let Some(known) = self.links.iter().position(|link| *link == model) {
            return (self, known);
        }
        self.links.push(model);
        let index = self.links.len() - 1;
        (self, index)
    }

    /// Both traces over the same nodes, until the later end.
    #[must_use]
    pub fn joined(self, other: &Self) -> Self {
        let nodes = self.nodes.max(other.nodes);
        let end_ms = self.end_ms.max(other.end_ms);
        let mut whole = self;
        let mut contacts = core::mem::take(&mut whole.contacts);
        for contact in &other.contacts {
            let (with, link) = whole.with_link(other.model(contact.link));
            whole = with;
            contacts.push(Contact { link, ..*contact });
        }
        Self::new(nodes, end_ms, whole.links, contacts)
    }
}

/// The contact with its lower node first (unless its direction matters) and within the run; `None` if it cannot be.
fn tidied(contact: Contact, nodes: usize, end_ms: u64, links: &[LinkModel]) -> Option<Contact> {
    let model = links.get(contact.link)?;
    let end = contact.end_ms.min(end_ms);
    let possible = contact.a != contact.b && contact.a < nodes && contact.b < nodes && contact.start_ms < end;
    let (a, b) = if model.one_way {
        (contact.a, contact.b)
    } else {
        (contact.a.min(contact.b), contact.a.max(contact.b))
    };
    possible.then_some(Contact { a, b, end_ms: end, ..contact })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn contact(start_ms: u64, end_ms: u64, a: usize, b: usize) -> Contact {
        Contact { start_ms, end_ms, a, b, link: 0 }
    }

    #[test]
    fn what_cannot_be_is_left_out_and_what_touches_becomes_one() {
        let wild = vec![
            contact(50, 90, 1, 0),
            contact(10, 20, 0, 1),
            contact(20, 30, 1, 0),
            contact(95, 200, 0, 2),
            contact(5, 9, 1, 1),
            contact(5, 9, 1, 3),
            contact(9, 9, 1, 2),
            contact(100, 150, 1, 2),
            Contact { link: 1, ..contact(1, 2, 0, 1) },
        ];
        let trace = ContactTrace::new(3, 100, vec![LinkModel::WIFI], wild);
        assert_eq!(trace.contacts(), [contact(10, 30, 0, 1), contact(50, 90, 0, 1), contact(95, 100, 0, 2)]);
    }

    #[test]
    fn at_one_moment_links_go_down_before_others_come_up() {
        let trace = ContactTrace::new(
            3,
            100,
            vec![LinkModel::WIFI],
            vec![contact(10, 20, 0, 1), contact(20, 30, 0, 2)],
        );
        let said: Vec<_> = trace.events().iter().map(|event| (event.at_ms, event.up, event.b)).collect();
        assert_eq!(said, [(10, true, 1), (20, false, 1), (20, true, 2), (30, false, 2)]);
    }

    #[test]
    fn a_one_way_link_keeps_its_direction() {
        let model = LinkModel { one_way: true, ..LinkModel::WIFI };
        let trace = ContactTrace::new(2, 100, vec![model], vec![contact(1, 2, 1, 0)]);
        assert_eq!(trace.contacts(), [contact(1, 2, 1, 0)]);
    }

    #[test]
    fn joined_traces_keep_their_links() {
        let one = ContactTrace::new(2, 50, vec![LinkModel::WIFI], vec![contact(1, 2, 0, 1)]);
        let other = ContactTrace::new(3, 90, vec![LinkModel::LAN], vec![contact(60, 70, 1, 2)]);
        let both = one.joined(&other);
        assert_eq!((both.nodes(), both.end_ms(), both.contacts().len()), (3, 90, 2));
        let models: Vec<_> = both.contacts().iter().map(|contact| both.model(contact.link)).collect();
        assert_eq!(models, [LinkModel::WIFI, LinkModel::LAN]);
    }
}
