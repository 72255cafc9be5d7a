//! What to keep, whom to give it, when to forget.
