//! Durable before acknowledged: the store of a node, on redb.
