//! Contact plans: which contacts are known in advance.

use alloc::vec::Vec;

use cairn_bundle::NodeId;

use crate::Instant;

/// Most contacts of a plan.
pub const PLAN_CONTACTS_MAX: usize = 10_000;
/// No planned time, period or delay lies further away than this: some 270 years.
const PLAN_S_MAX: u64 = 1 << 33;

/// What the times of a planned contact are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlanClock {
    /// 2020-01-01 UTC. Such a contact means nothing to a node that has no wall clock.
    Wall,
    /// The moment at which the plan was taken up, [`ContactPlan::starting_at`]; no wall clock is needed.
    Plan,
}

/// A contact that will be: one way, from a node to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedContact {
    /// Who sends.
    pub from: NodeId,
    /// Who receives.
    pub to: NodeId,
    /// What the times are counted from.
    pub clock: PlanClock,
    /// When the contact begins, in seconds.
    pub start_s: u64,
    /// When it is over, in seconds; later than `start_s`.
    pub end_s: u64,
    /// After how many seconds it comes again, for ever; at least its length.
    pub every_s: Option<u64>,
    /// Bytes a second; `None` if not known, then any bundle is taken to fit.
    pub rate_bytes_s: Option<u64>,
    /// From the sending of a byte to its arrival, in milliseconds.
    pub delay_ms: u64,
}

/// Why contacts are not a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More than [`PLAN_CONTACTS_MAX`].
    #[error("a plan has at most {PLAN_CONTACTS_MAX} contacts")]
    TooMany,
    /// A contact of a node with itself.
    #[error("a contact is between two nodes")]
    Alone,
    /// It ends before it begins, or at once.
    #[error("the contact ends before it begins")]
    Ends,
    /// It comes again before it is over.
    #[error("the contact comes again before it is over")]
    Period,
    /// A rate of zero.
    #[error("the rate is zero: leave it out if it is not known")]
    Rate,
    /// A time, period or delay beyond 270 years.
    #[error("a time is too far away")]
    Far,
}

/// A checked list of planned contacts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactPlan {
    contacts: Vec<PlannedContact>,
    origin: Instant,
}

impl PlannedContact {
    /// # Errors
    /// [`PlanError`] if no such contact can be.
    pub(crate) fn check(&self) -> Result<(), PlanError> {
        if self.from == self.to {
            return Err(PlanError::Alone);
        }
        let length_s =
            self.end_s.checked_sub(self.start_s).filter(|&length_s| length_s > 0).ok_or(PlanError::Ends)?;
        if self.every_s.is_some_and(|every_s| every_s < length_s) {
            return Err(PlanError::Period);
        }
        if self.rate_bytes_s == Some(0) {
            return Err(PlanError::Rate);
        }
        let far = [self.end_s, self.every_s.unwrap_or(0), self.delay_ms / 1_000];
        if far.iter().any(|&s| s > PLAN_S_MAX) { Err(PlanError::Far) } else { Ok(()) }
    }
}

impl ContactPlan {
    /// A plan of these contacts.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn new(contacts: Vec<PlannedContact>) -> Result<Self, PlanError> {
        if contacts.len() > PLAN_CONTACTS_MAX {
            return Err(PlanError::TooMany);
        }
        contacts.iter().try_for_each(PlannedContact::check)?;
        Ok(Self { contacts, origin: Instant::ZERO })
    }

    /// The same plan, with the times of [`PlanClock::Plan`] counted from `now`.
    #[must_use]
    pub fn starting_at(self, now: Instant) -> Self {
        Self { origin: now, ..self }
    }

    /// The contacts, as they were given.
    #[must_use]
    pub fn contacts(&self) -> &[PlannedContact] {
        &self.contacts
    }

    pub(crate) fn into_contacts(self) -> Vec<PlannedContact> {
        self.contacts
    }

    /// Where [`PlanClock::Plan`] begins.
    #[must_use]
    pub const fn origin(&self) -> Instant {
        self.origin
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use cairn_bundle::Identity;

    fn contact() -> PlannedContact {
        PlannedContact {
            from: Identity::from_seed(&[1; 32]).node_id(),
            to: Identity::from_seed(&[2; 32]).node_id(),
            clock: PlanClock::Wall,
            start_s: 100,
            end_s: 200,
            every_s: Some(100),
            rate_bytes_s: Some(1),
            delay_ms: 0,
        }
    }

    #[test]
    fn a_contact_that_cannot_be_is_refused_with_the_reason() {
        let sound = contact();
        assert!(ContactPlan::new(vec![sound]).is_ok());
        let wrong = [
            (PlannedContact { to: sound.from, ..sound }, PlanError::Alone),
            (PlannedContact { end_s: 100, ..sound }, PlanError::Ends),
            (PlannedContact { end_s: 0, ..sound }, PlanError::Ends),
            (PlannedContact { every_s: Some(99), ..sound }, PlanError::Period),
            (PlannedContact { rate_bytes_s: Some(0), ..sound }, PlanError::Rate),
            (PlannedContact { end_s: u64::MAX, every_s: None, ..sound }, PlanError::Far),
            (PlannedContact { delay_ms: u64::MAX, ..sound }, PlanError::Far),
        ];
        for (contact, error) in wrong {
            assert_eq!(ContactPlan::new(vec![sound, contact]), Err(error), "{contact:?}");
        }
    }

    #[test]
    fn a_plan_has_at_most_plan_contacts_max() {
        let mut contacts = vec![contact(); PLAN_CONTACTS_MAX];
        assert!(ContactPlan::new(contacts.clone()).is_ok());
        contacts.push(contact());
        assert_eq!(ContactPlan::new(contacts), Err(PlanError::TooMany));
    }
}
