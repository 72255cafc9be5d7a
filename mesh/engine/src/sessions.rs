//! The links that are up, and which of them may have something to say.

use alloc::collections::{BTreeMap, BTreeSet, btree_map};

use crate::event::LinkId;
use crate::session::Session;

/// Sessions by link. Whoever takes one to change it leaves news on it, unless it says that there are none, so that a
/// link is polled once too often rather than once too little. News are bounded by the links that are up.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    links: BTreeMap<LinkId, Session>,
    news: BTreeSet<LinkId>,
}

impl Sessions {
    pub(crate) fn insert(&mut self, link: LinkId, session: Session) {
        self.links.insert(link, session);
        self.news.insert(link);
    }

    pub(crate) fn remove(&mut self, link: &LinkId) -> Option<Session> {
        self.news.remove(link);
        self.links.remove(link)
    }

    pub(crate) fn get(&self, link: &LinkId) -> Option<&Session> {
        self.links.get(link)
    }

    /// A session in which something may change that its peer is to hear of.
    pub(crate) fn change(&mut self, link: &LinkId) -> Option<&mut Session> {
        let session = self.links.get_mut(link)?;
        self.news.insert(*link);
        Some(session)
    }

    /// A session in which nothing changes that its peer is to hear of; whoever finds out otherwise [notes](Self::note) it.
    pub(crate) fn quietly(&mut self, link: &LinkId) -> Option<&mut Session> {
        self.links.get_mut(link)
    }

    /// All sessions; `change` says whether it left news on one.
    pub(crate) fn change_each(&mut self, mut change: impl FnMut(LinkId, &mut Session) -> bool) {
        for (link, session) in &mut self.links {
            if change(*link, session) {
                self.news.insert(*link);
            }
        }
    }

    /// There may be something to say on a link.
    pub(crate) fn note(&mut self, link: LinkId) {
        if self.links.contains_key(&link) {
            self.news.insert(link);
        }
    }

    /// What there was to say on a link is about to be said.
    pub(crate) fn read(&mut self, link: LinkId) {
        self.news.remove(&link);
    }

    pub(crate) fn has_news(&self, link: LinkId) -> bool {
        self.news.contains(&link)
    }

    pub(crate) fn news(&self) -> impl Iterator<Item = LinkId> + '_ {
        self.news.iter().copied()
    }

    pub(crate) fn iter(&self) -> btree_map::Iter<'_, LinkId, Session> {
        self.links.iter()
    }

    pub(crate) fn keys(&self) -> btree_map::Keys<'_, LinkId, Session> {
        self.links.keys()
    }

    pub(crate) fn values(&self) -> btree_map::Values<'_, LinkId, Session> {
        self.links.values()
    }
}
