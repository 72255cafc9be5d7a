//! How unkind a world is.

/// Rates of everything that goes wrong by itself, and how slow things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// Longest time that a batch takes to become durable, in milliseconds.
    pub sync_ms_max: u64,
    /// Longest time until a node notices that a link is gone.
    pub notice_ms_max: u64,
    /// Tasks that fail, of a hundred.
    pub task_fail_percent: u64,
    /// Drops that never arrive, of a hundred.
    pub drop_lost_percent: u64,
    /// Files of a drop that are missing, of a hundred.
    pub file_lost_percent: u64,
    /// Files of a drop that are there twice, of a hundred.
    pub file_twice_percent: u64,
    /// Files of a drop that are cut off or have a flipped bit, of a hundred.
    pub file_damaged_percent: u64,
    /// Negative control: nodes are told that a batch is durable before it is. The checks must notice.
    pub believes_too_early: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            sync_ms_max: 3_000,
            notice_ms_max: 10_000,
            task_fail_percent: 15,
            drop_lost_percent: 25,
            file_lost_percent: 10,
            file_twice_percent: 20,
            file_damaged_percent: 10,
            believes_too_early: false,
        }
    }
}

impl Faults {
    /// Nothing goes wrong any more; a liar stays one.
    #[must_use]
    pub fn none(before: &Self) -> Self {
        Self {
            sync_ms_max: 20,
            notice_ms_max: 100,
            task_fail_percent: 0,
            drop_lost_percent: 0,
            file_lost_percent: 0,
            file_twice_percent: 0,
            file_damaged_percent: 0,
            believes_too_early: before.believes_too_early,
        }
    }
}
