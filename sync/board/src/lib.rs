//! Job boards that merge without a server.
