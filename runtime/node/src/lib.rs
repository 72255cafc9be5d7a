//! The node: sockets, discovery, supervision around the pure core.
