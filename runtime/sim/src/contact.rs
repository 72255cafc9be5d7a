//! A contact: a stream in each direction that delays, splits, and breaks off at any byte.

use cairn_engine::LinkId;

/// Frames that a direction takes before it must deliver some.
pub(crate) const WINDOW: usize = 8;

/// One end of a contact.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) link: LinkId,
    /// Frames on their way from this end.
    pub(crate) in_flight: usize,
    /// When the last byte from this end arrives: a stream keeps its order.
    pub(crate) arrives: u64,
}

/// A contact of two nodes.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    pub(crate) ends: [End; 2],
    /// Bytes that still get through, in both directions together.
    pub(crate) budget: usize,
    pub(crate) alive: bool,
    pub(crate) latency_ms: u64,
}

impl Contact {
    pub(crate) const fn end(&self, side: usize) -> &End {
        let [first, second] = &self.ends;
        if side == 0 { first } else { second }
    }

    pub(crate) const fn end_mut(&mut self, side: usize) -> &mut End {
        let [first, second] = &mut self.ends;
        if side == 0 { first } else { second }
    }

    /// Takes what still fits into the budget; the contact is over when something does not.
    pub(crate) fn admit(&mut self, mut bytes: Vec<u8>) -> (Vec<u8>, bool) {
        let fits = bytes.len() <= self.budget;
        bytes.truncate(self.budget);
        self.budget -= bytes.len();
        (bytes, fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_breaks_off_in_the_middle_of_a_frame() {
        let end = End { node: 0, life: 0, link: 1, in_flight: 0, arrives: 0 };
        let mut contact = Contact { ends: [end.clone(), end], budget: 5, alive: true, latency_ms: 1 };
        assert_eq!(contact.admit(vec![1, 2, 3]), (vec![1, 2, 3], true));
        assert_eq!(contact.admit(vec![4, 5, 6]), (vec![4, 5], false));
        assert_eq!(contact.admit(vec![7]), (vec![], false));
    }
}
