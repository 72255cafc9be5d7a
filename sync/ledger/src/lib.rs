//! Credit lines, locks and receipts: a fold over signed facts.
