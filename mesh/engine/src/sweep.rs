//! A slow round over everything that is carried, which finds what has expired without an index by time.

use alloc::vec::Vec;

use cairn_bundle::Digest;

use crate::record::BundleRecord;
use crate::time::Instant;

/// Records that are read at a time.
pub const SLICE_MAX: usize = 1_000;

/// After a slice the sweep rests a millisecond for so many records, so that reading them takes a few hundredths of the
/// time whatever expires, and a store of a few bundles is looked at to the millisecond.
const RECORDS_PER_MS: u64 = 8;

/// After a round of more than one slice, the sweep rests this many times as long as the round took in rests.
const ROUND_REST: u64 = 3;

/// Where the round is, and when it goes on.
///
/// Knows the earliest expiry of everything that is carried, or an earlier time. So a store that fits one slice is read
/// exactly when something expires in it. In a larger one, a bundle may stay for a while after it has expired: for a
/// million records, about eight minutes.
#[derive(Debug, Default)]
pub struct Sweep {
    /// Nothing expires before this, as far as is known outside the present round; `None` if nothing is carried.
    earliest: Option<Instant>,
    round: Option<Round>,
    /// Not before this, for the sake of the processor.
    rest_until: Instant,
}

#[derive(Debug)]
struct Round {
    /// The next id to read.
    cursor: Digest,
    /// The earliest expiry of what was read, and of what came meanwhile.
    earliest: Option<Instant>,
    /// Milliseconds of rest after the slices so far.
    rested_ms: u64,
    slices: u64,
}

/// What a slice found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SliceOutcome {
    /// Bundles to be forgotten.
    pub expired: Vec<(Digest, BundleRecord)>,
    /// The others: those that may have to give way if room is needed.
    pub candidates: Vec<(Digest, BundleRecord)>,
}

impl Sweep {
    /// Begins a round, if none is under way: at start, when it is not known what expires when, and when candidates for
    /// eviction are needed. It goes on as soon as the last slice has been rested from.
    pub fn begin_round(&mut self) {
        self.round.get_or_insert(Round { cursor: FIRST, earliest: None, rested_ms: 0, slices: 0 });
    }

    /// A bundle is carried from now on, until `expires` at most.
    pub fn note_insert(&mut self, expires: Instant) {
        self.earliest = earlier(self.earliest, expires);
        if let Some(round) = &mut self.round {
            round.earliest = earlier(round.earliest, expires);
        }
    }

    /// Reads the next slice if it is due. `scan` gives up to so many records in order of id, from the first that is not
    /// below an id; see [`SLICE_MAX`].
    pub fn slice(
        &mut self,
        now: Instant,
        scan: impl FnOnce(&Digest, usize) -> Vec<(Digest, BundleRecord)>,
    ) -> SliceOutcome {
        if !self.is_due(now) {
            return SliceOutcome::default();
        }
        self.begin_round();
        let Some(mut round) = self.round.take() else { return SliceOutcome::default() };
        let records = scan(&round.cursor, SLICE_MAX);
        let read = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let next = match records.last() {
            // An id below the cursor would send the round back for ever.
            Some((last, _)) if records.len() >= SLICE_MAX && *last >= round.cursor => last.successor(),
            Some(_) | None => None,
        };
        let (expired, candidates): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|(_, record)| record.expires() <= now);
        for (_, record) in &candidates {
            round.earliest = earlier(round.earliest, record.expires());
        }
        let rest_ms = read.div_ceil(RECORDS_PER_MS);
        self.rest_until = now.plus_ms(rest_ms);
        round.rested_ms = round.rested_ms.saturating_add(rest_ms);
        round.slices = round.slices.saturating_add(1);
        match next {
            Some(cursor) => {
                round.cursor = cursor;
                self.round = Some(round);
            }
            None => {
                self.earliest = round.earliest;
                if round.slices > 1 {
                    self.rest_until = now.plus_ms(round.rested_ms.saturating_mul(ROUND_REST));
                }
            }
        }
        SliceOutcome { expired, candidates }
    }

    /// When the next slice is due; `None` if nothing is carried.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let due = if self.round.is_some() { Some(Instant::ZERO) } else { self.earliest };
        due.map(|due| due.max(self.rest_until))
    }

    /// Whether a slice is due.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.next_due().is_some_and(|due| due <= now)
    }

    /// Where the round goes on, or the lowest id.
    #[must_use]
    pub fn cursor(&self) -> Digest {
        self.round.as_ref().map_or(FIRST, |round| round.cursor)
    }
}

const FIRST: Digest = Digest([0; 32]);

fn earlier(known: Option<Instant>, new: Instant) -> Option<Instant> {
    Some(known.map_or(new, |known| known.min(new)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    type Store = BTreeMap<Digest, BundleRecord>;

    fn scan(store: &Store, start: &Digest, max: usize) -> Vec<(Digest, BundleRecord)> {
        store.range(*start..).take(max).map(|(id, record)| (*id, record.clone())).collect()
    }

    fn expiring(at_ms: u64) -> BundleRecord {
        BundleRecord { kept_since: Instant::ZERO, remaining_ms: at_ms, ..record() }
    }

    fn id(n: u64) -> Digest {
        Digest::of(&n.to_be_bytes())
    }

    fn add(store: &mut Store, sweep: &mut Sweep, id: Digest, expires_ms: u64) {
        store.insert(id, expiring(expires_ms));
        sweep.note_insert(Instant::from_ms(expires_ms));
    }

    /// Runs to a time as a host does, slice by slice when due: when each bundle was forgotten, and how many slices.
    fn run(sweep: &mut Sweep, store: &mut Store, until_ms: u64) -> (BTreeMap<Digest, u64>, u64) {
        let (mut forgotten, mut slices, mut last) = (BTreeMap::new(), 0, Instant::ZERO);
        while let Some(due) = sweep.next_due().filter(|due| due.as_ms() <= until_ms) {
            let now = due.max(last);
            assert!(slices < 100_000, "it does not end");
            let outcome = sweep.slice(now, |start, max| scan(store, start, max));
            slices += 1;
            for (id, _) in outcome.expired {
                store.remove(&id);
                assert!(forgotten.insert(id, now.as_ms()).is_none());
            }
            last = now;
        }
        (forgotten, slices)
    }

    #[test]
    fn a_small_store_expires_exactly_in_time() {
        let (mut sweep, mut store) = (Sweep::default(), Store::new());
        assert_eq!(sweep.next_due(), None);
        for n in 0..7 {
            add(&mut store, &mut sweep, id(n), 1_000 + 10 * n);
        }
        assert_eq!(sweep.next_due(), Some(Instant::from_ms(1_000)));
        assert!(!sweep.is_due(Instant::from_ms(999)));
        assert_eq!(sweep.slice(Instant::from_ms(999), |_, _| panic!("not due")), SliceOutcome::default());
        let (forgotten, slices) = run(&mut sweep, &mut store, 5_000);
        assert_eq!(forgotten, (0..7).map(|n| (id(n), 1_000 + 10 * n)).collect());
        assert_eq!((slices, sweep.next_due()), (7, None));
    }

    #[test]
    fn a_large_store_takes_little_of_the_time_and_forgets_everything_in_the_end() {
        let (mut sweep, mut store) = (Sweep::default(), Store::new());
        for n in 0..5_500 {
            add(&mut store, &mut sweep, id(n), n);
        }
        let (forgotten, slices) = run(&mut sweep, &mut store, 60_000);
        assert!(store.is_empty() && sweep.next_due().is_none());
        // A round over 5,500 records rests 688 ms, and three times as long after it.
        for n in 0..5_500 {
            assert!(
                forgotten[&id(n)] >= n && forgotten[&id(n)] <= n + 2 * 4 * 700,
                "{n}: {}",
                forgotten[&id(n)]
            );
        }
        assert!(slices <= 40, "{slices}");
    }

    #[test]
    fn a_store_read_back_at_start_is_swept_once() {
        let (mut sweep, mut store) = (Sweep::default(), Store::new());
        for n in 0..3_000 {
            store.insert(id(n), expiring(1_000_000 + n));
        }
        sweep.begin_round();
        let (forgotten, slices) = run(&mut sweep, &mut store, 900_000);
        // Three full slices and an empty one.
        assert_eq!((forgotten.len(), slices, sweep.next_due()), (0, 4, Some(Instant::from_ms(1_000_000))));
    }

    #[test]
    fn what_comes_behind_the_cursor_is_found_by_the_next_round() {
        let (mut sweep, mut store) = (Sweep::default(), Store::new());
        for n in 0..2_500 {
            add(&mut store, &mut sweep, id(n), 1_000_000);
        }
        sweep.begin_round();
        sweep.slice(Instant::ZERO, |start, max| scan(&store, start, max));
        assert!(sweep.cursor() > FIRST);
        add(&mut store, &mut sweep, FIRST, 2_000);
        let (forgotten, _) = run(&mut sweep, &mut store, 10_000);
        assert_eq!(forgotten, [(FIRST, 2_000)].into());
    }

    #[test]
    fn a_round_ends_though_the_catalogue_lies() {
        let mut sweep = Sweep::default();
        sweep.begin_round();
        let many: Vec<_> = (0..SLICE_MAX).map(|_| (Digest([5; 32]), expiring(9_000))).collect();
        let mut now = Instant::ZERO;
        for _ in 0..2 {
            sweep.slice(now, |_, _| many.clone());
            now = sweep.next_due().unwrap();
        }
        assert!(sweep.round.is_none());
        assert_eq!(Digest([255; 32]).successor(), None);
        let mut low = FIRST;
        low.0[31] = 255;
        assert_eq!(low.successor().unwrap().0[30..], [1, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nothing_is_forgotten_too_early_or_never(
            bundles in proptest::collection::vec((0_u64..5_000, 1_u64..5_000, any::<bool>()), 0..60),
            bulk in 0_u64..2_500,
        ) {
            let (mut sweep, mut store) = (Sweep::default(), Store::new());
            for n in 0..bulk {
                add(&mut store, &mut sweep, id(1_000_000 + n), 1_000 + n % 3_000);
            }
            let mut expiry: BTreeMap<Digest, u64> = store.iter().map(|(id, r)| (*id, r.remaining_ms)).collect();
            let mut bundles = bundles;
            bundles.sort_unstable();
            let mut forgotten = BTreeMap::new();
            for (n, (at, life, removed)) in bundles.into_iter().enumerate() {
                forgotten.extend(run(&mut sweep, &mut store, at).0);
                let id = id(u64::try_from(n).unwrap());
                add(&mut store, &mut sweep, id, at + life);
                if removed {
                    store.remove(&id);
                } else {
                    expiry.insert(id, at + life);
                }
            }
            forgotten.extend(run(&mut sweep, &mut store, 60_000).0);
            prop_assert!(store.is_empty());
            prop_assert_eq!(forgotten.len(), expiry.len());
            // Two rounds of 2,560 records at most, with the rest between them; or the rest after one slice.
            let late_max = if bulk == 0 { 60_u64.div_ceil(RECORDS_PER_MS) } else { 2 * 4 * 330 };
            for (id, at) in forgotten {
                prop_assert!(at >= expiry[&id] && at <= expiry[&id] + late_max, "{} for {}", at, expiry[&id]);
            }
            prop_assert_eq!(sweep.next_due(), None);
        }
    }
}
