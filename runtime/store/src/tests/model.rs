//! The store, the disk in memory and a plain map do the same.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::disk::FaultyDisk;
use super::open;
use crate::{Limits, MemoryDisk, Op, Options, Priority, Read, Table, Usage};

type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Op>, bool),
    Restart,
    /// With one bit for each change that was not synced.
    PowerCut(u64),
}

const LIMITS: Limits = Limits { size_max: 600_000, reserve: 200_000 };

fn op() -> impl Strategy<Value = Op> {
    let table = prop::sample::select(vec![Table::Meta, Table::Blobs, Table::Ledger]);
    let key = prop_oneof![8 => vec(0_u8..3, 0..3), 1 => vec(any::<u8>(), 1020..1028)];
    let len = prop_oneof![6 => 0_usize..50, 1 => 8190_usize..8196, 1 => 60_000_usize..70_000, 1 => 262_140_usize..262_150];
    let value = (any::<u8>(), len).prop_map(|(byte, len)| vec![byte; len]);
    (table, key, prop::option::weighted(0.7, value)).prop_map(|(table, key, value)| match value {
        Some(value) => Op::Put { table, key, value },
        None => Op::Delete { table, key },
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (vec(op(), 0..5), any::<bool>()).prop_map(|(batch, high)| Step::Commit(batch, high)),
        1 => Just(Step::Restart),
        2 => any::<u64>().prop_map(Step::PowerCut),
    ]
}

fn apply(model: &mut Model, batch: &[Op]) {
    for op in batch {
        match op {
            Op::Put { table, key, value } => model.insert((*table, key.clone()), value.clone()),
            Op::Delete { table, key } => model.remove(&(*table, key.clone())),
        };
    }
}

fn compare(found: &impl Read, usage: Usage, model: &Model) {
    let mut bytes = 0;
    for table in Table::ALL {
        let expected: Vec<_> = model
            .iter()
            .filter(|((t, _), _)| *t == table)
            .map(|((_, k), v)| (k.clone(), v.clone()))
            .collect();
        let mut rows = Vec::new();
        found.for_each(table, &mut |key, value| rows.push((key.to_vec(), value.to_vec()))).unwrap();
        assert!(rows == expected, "table {table} differs");
        let mut lens = Vec::new();
        found
            .for_each_key(table, &mut |key, len| lens.push((key.to_vec(), usize::try_from(len).unwrap())))
            .unwrap();
        assert_eq!(found.last_key(table).unwrap(), expected.last().map(|(key, _)| key.clone()));
        assert_eq!(lens, expected.iter().map(|(k, v)| (k.clone(), v.len())).collect::<Vec<_>>());
        let mut prefixed = 0;
        found.for_prefix(table, &[1], &mut |_, _| prefixed += 1).unwrap();
        assert_eq!(prefixed, expected.iter().filter(|(k, _)| k.starts_with(&[1])).count());
        for (key, value) in &expected {
            let part = found.read_range(table, key, 3, 65_500).unwrap().unwrap();
            assert!(part == value.iter().copied().skip(3).take(65_500).collect::<Vec<_>>());
            assert_eq!(found.read_range(table, key, u64::MAX, u64::MAX), Ok(Some(Vec::new())));
            assert!(found.get(table, key).unwrap().as_ref() == Some(value));
            assert_eq!(found.len_of(table, key), Ok(Some(u64::try_from(value.len()).unwrap())));
            bytes += key.len() + value.len();
        }
        assert_eq!(usage.of(table).entries, u64::try_from(expected.len()).unwrap());
    }
    assert_eq!(usage.bytes(), u64::try_from(bytes).unwrap());
    assert_eq!(found.get(Table::Cards, b"none"), Ok(None));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_a_map_that_survives(steps in vec(step(), 1..25)) {
        let options =
            Options { cache_bytes: 32 * 1024, size_max: LIMITS.size_max, reserve: LIMITS.reserve };
        let mut disk = FaultyDisk::default();
        let mut store = open(&disk, options).unwrap();
        let mut memory = MemoryDisk::new(LIMITS);
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Commit(batch, high) => {
                    let priority = if high { Priority::High } else { Priority::Normal };
                    memory.commit_with(batch.clone(), priority);
                    let result = store.commit_with(batch.clone(), priority);
                    prop_assert_eq!(memory.sync(), vec![result]);
                    if result.is_ok() {
                        apply(&mut model, &batch);
                    }
                }
                Step::Restart => {
                    drop(store);
                    store = open(&disk, options).unwrap();
                }
                Step::PowerCut(mut bits) => {
                    disk.power_off();
                    memory.commit(vec![Op::put(Table::Seen, *b"lost", *b"")]);
                    prop_assert_eq!(memory.crash(), 1);
                    prop_assert!(store.commit(vec![Op::put(Table::Seen, *b"lost", *b"")]).is_err());
                    drop(store);
                    disk = FaultyDisk::with(disk.image(|| {
                        bits = bits.rotate_left(1);
                        bits & 1 == 1
                    }));
                    store = open(&disk, options).unwrap();
                }
            }
        }
        compare(&memory, memory.usage(), &model);
        compare(&store, store.usage(), &model);
        prop_assert!(!store.check().unwrap().wrong_usage);
    }
}
