//! Back-pressure on one link: how much each end may still send, as the other has said.

use crate::time::Instant;

/// From so many free bytes on, a peer that was told to stop is told to go on.
const RESUME_BYTES: u64 = 1 << 20;
/// First pause after a peer that has not said how much room it has was full.
const PAUSE_FIRST_MS: u64 = 5_000;
/// Longest pause.
const PAUSE_MS_MAX: u64 = 300_000;
/// Refusals in a row after which the room that a peer announced is not believed.
const REFUSALS_MAX: u8 = 8;

/// Room in both directions of one link; begins anew with every link.
#[derive(Debug)]
pub struct Room {
    resume_bytes: u64,
    /// What the peer believes to have here: what was announced, less what it has sent since. `None` before the first
    /// announcement.
    told: Option<u64>,
    /// What the peer has announced, less what it has taken since. `None` if it has announced nothing.
    theirs: Option<u64>,
    /// Bytes offered and not answered.
    unanswered: u64,
    refusals: u8,
    paused_until: Instant,
    pause_ms: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            resume_bytes: RESUME_BYTES,
            told: None,
            theirs: None,
            unanswered: 0,
            refusals: 0,
            paused_until: Instant::ZERO,
            pause_ms: PAUSE_FIRST_MS,
        }
    }
}

impl Room {
    /// Room on a link whose peer may occupy so many bytes: one that was told to stop goes on when an eighth of them is
    /// free, or 1 MiB.
    #[must_use]
    pub fn for_quota(bytes: u64) -> Self {
        Self { resume_bytes: RESUME_BYTES.min(bytes / 8).max(1), ..Self::default() }
    }

    /// What to announce now that `free` bytes are free for the peer; `None` if it need not be told. It is told at once to
    /// stop, and otherwise when what it believes is more than twice the truth, or less by half of it or by as much as
    /// lets a stopped peer go on.
    pub fn to_announce(&mut self, free: u64) -> Option<u64> {
        let say = match self.told {
            None => true,
            Some(0) => free >= self.resume_bytes,
            Some(told) => {
                free == 0 || free < told / 2 || free.saturating_sub(told) >= told.min(self.resume_bytes)
            }
        };
        if !say {
            return None;
        }
        self.told = Some(free);
        Some(free)
    }

    /// The peer has sent a bundle that was kept: called when that is acknowledged, so that both ends count alike.
    pub fn received(&mut self, bytes: u64) {
        // Only an announcement says zero: a peer that has used up its room may have more by now.
        self.told = self.told.map(|told| if told == 0 { 0 } else { told.saturating_sub(bytes).max(1) });
    }

    /// The peer has announced how many bytes it has room for.
    pub fn heard(&mut self, bytes: u64) {
        self.theirs = Some(bytes);
        self.refusals = 0;
        if bytes > 0 {
            self.paused_until = Instant::ZERO;
        }
    }

    /// Whether so many bytes may be offered now.
    #[must_use]
    pub fn allows(&self, now: Instant, bytes: u64) -> bool {
        now >= self.paused_until
            && self.theirs.is_none_or(|theirs| self.unanswered.saturating_add(bytes) <= theirs)
    }

    /// When offers may go on that wait for time alone; `None` if they need not, or wait for the peer.
    #[must_use]
    pub fn paused_until(&self, now: Instant) -> Option<Instant> {
        (self.paused_until > now && self.theirs != Some(0)).then_some(self.paused_until)
    }

    /// Whether what takes no room may be offered now: a peer without room still takes what is for itself, one that refuses
    /// everything is left alone.
    #[must_use]
    pub fn allows_roomless(&self, now: Instant) -> bool {
        now >= self.paused_until
    }

    /// So many bytes were offered.
    pub const fn offered(&mut self, bytes: u64) {
        self.unanswered = self.unanswered.saturating_add(bytes);
    }

    /// The peer has taken what was offered: it occupies room there.
    pub fn taken(&mut self, bytes: u64) {
        self.withdrawn(bytes);
        self.theirs = self.theirs.map(|theirs| theirs.saturating_sub(bytes));
        self.refusals = 0;
        self.pause_ms = PAUSE_FIRST_MS;
    }

    /// What was offered is of no interest to the peer, or was withdrawn.
    pub const fn withdrawn(&mut self, bytes: u64) {
        self.unanswered = self.unanswered.saturating_sub(bytes);
    }

    /// The peer has no room for what was offered. One that announces its room means this bundle, or its source, unless it
    /// refuses one after the other; otherwise nothing is offered for 5 s, and for twice as long each time after, up to
    /// 5 minutes.
    pub fn refused_full(&mut self, now: Instant, bytes: u64) {
        self.withdrawn(bytes);
        self.refusals = self.refusals.saturating_add(1);
        let trusted = self.theirs.is_some() && self.refusals < REFUSALS_MAX;
        // What was under way when the pause began is refused as well, and tells nothing new.
        if trusted || now < self.paused_until {
            return;
        }
        self.refusals = 0;
        self.paused_until = now.plus_ms(self.pause_ms);
        self.pause_ms = self.pause_ms.saturating_mul(2).min(PAUSE_MS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn at(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    #[test]
    fn a_peer_is_told_to_stop_at_once_and_to_go_on_when_it_is_worth_it() {
        let mut room = Room::for_quota(64 * MIB);
        assert_eq!(room.to_announce(8 * MIB), Some(8 * MIB));
        assert_eq!(room.to_announce(9 * MIB - 1), None);
        assert_eq!(room.to_announce(9 * MIB), Some(9 * MIB));
        assert_eq!(room.to_announce(5 * MIB), None);
        assert_eq!(room.to_announce(4 * MIB), Some(4 * MIB), "others have used it");
        assert_eq!(room.to_announce(0), Some(0));
        assert_eq!(room.to_announce(0), None);
        assert_eq!(room.to_announce(MIB - 1), None);
        assert_eq!(room.to_announce(MIB), Some(MIB));
        // In a small store, an eighth is enough.
        let mut small = Room::for_quota(8_000);
        assert_eq!((small.to_announce(0), small.to_announce(999)), (Some(0), None));
        assert_eq!(small.to_announce(1_000), Some(1_000));
    }

    #[test]
    fn a_peer_that_has_used_its_room_hears_of_what_is_still_free() {
        let mut room = Room::default();
        assert_eq!(room.to_announce(10 * MIB), Some(10 * MIB));
        room.received(MIB / 2);
        assert_eq!(room.to_announce(10 * MIB), None);
        room.received(MIB / 2);
        assert_eq!(room.to_announce(10 * MIB), Some(10 * MIB));
        room.received(20 * MIB);
        assert_eq!(room.to_announce(500), Some(500), "it believes to have nothing, and was not told to stop");
        assert_eq!(room.to_announce(900), None);
        assert_eq!(room.to_announce(1_000), Some(1_000));
        assert_eq!(room.to_announce(0), Some(0));
    }

    #[test]
    fn no_more_is_offered_than_the_peer_has_room_for() {
        let mut room = Room::default();
        assert!(room.allows(at(0), u64::MAX));
        room.heard(100);
        room.offered(60);
        assert!(room.allows(at(0), 40) && !room.allows(at(0), 41));
        room.taken(60);
        assert!(room.allows(at(0), 40) && !room.allows(at(0), 41));
        room.offered(40);
        room.withdrawn(40);
        assert!(room.allows(at(0), 40));
        room.heard(0);
        assert!(!room.allows(at(0), 1) && room.paused_until(at(0)).is_none());
        room.heard(1_000);
        assert!(room.allows(at(0), 1_000));
    }

    #[test]
    fn a_full_peer_that_announces_nothing_is_left_alone_for_longer_each_time() {
        let mut room = Room::default();
        let mut now = at(1_000);
        let mut pauses = alloc::vec::Vec::new();
        for _ in 0..9 {
            for _ in 0..20 {
                room.offered(1);
                room.refused_full(now, 1);
            }
            assert!(!room.allows(now, 1));
            let until = room.paused_until(now).unwrap();
            pauses.push((until - now) / 1_000);
            now = until;
            assert!(room.allows(now, 1) && room.paused_until(now).is_none());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        room.taken(0);
        room.refused_full(now, 0);
        assert_eq!(room.paused_until(now), Some(now.plus_ms(5_000)));
        room.heard(50);
        assert!(room.allows(now, 50));
    }

    #[test]
    fn a_peer_that_announces_room_may_refuse_some_bundles_but_not_all() {
        let mut room = Room::default();
        room.heard(1_000);
        for _ in 1..REFUSALS_MAX {
            room.refused_full(at(5), 10);
            assert!(room.allows(at(5), 10));
        }
        room.refused_full(at(5), 10);
        assert!(!room.allows(at(5), 10) && room.paused_until(at(5)).is_some());
        assert!(!room.allows_roomless(at(5)) && room.allows_roomless(at(6_000)));
    }

    proptest! {
        /// Two ends with a store between them: what is offered always finds room, and nothing stops for good.
        #[test]
        fn two_ends_never_overrun_each_other(
            quota in 1_u64..10_000,
            steps in proptest::collection::vec((0_u8..3, 1_u64..2_000), 0..200),
        ) {
            let (mut giver, mut taker) = (Room::default(), Room::for_quota(quota));
            let (mut used, mut under_way) = (0_u64, alloc::collections::VecDeque::new());
            giver.heard(taker.to_announce(quota).unwrap());
            for (kind, bytes) in steps {
                match kind {
                    0 if giver.allows(at(0), bytes) => {
                        giver.offered(bytes);
                        under_way.push_back(bytes);
                    }
                    1 => {
                        if let Some(bytes) = under_way.pop_front() {
                            used += bytes;
                            prop_assert!(used <= quota);
                            taker.received(bytes);
                            giver.taken(bytes);
                        }
                    }
                    _ => used = used.saturating_sub(bytes),
                }
                if let Some(room) = taker.to_announce(quota - used) {
                    giver.heard(room);
                }
            }
            for bytes in under_way.drain(..) {
                taker.received(bytes);
                giver.taken(bytes);
            }
            if let Some(room) = taker.to_announce(quota) {
                giver.heard(room);
            }
            prop_assert!(giver.allows(at(0), quota / 2), "an empty store takes at least half of what fits");
        }
    }
}
