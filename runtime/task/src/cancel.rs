//! A handle that stops a running task from another thread.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Stops a task from another thread. Clones stop the same task.
///
/// A stopped task ends within [`POLL_MS`] milliseconds with
/// [`TaskError::Cancelled`](crate::TaskError::Cancelled).
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

/// How often a running task looks at its handle, in milliseconds.
pub const POLL_MS: u64 = 20;

impl Cancel {
    /// A handle that nobody has used yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the task. A task that starts later with this handle stops at once.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether somebody stopped the task.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
