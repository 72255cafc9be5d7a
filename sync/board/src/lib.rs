//! Job boards that merge without a server.

mod cbor;
pub mod job;

pub use job::{
    BlobRef, Bounds, Class, Engine, Items, Job, JobError, Postprocess, Preprocess, Rung, Verify, plain_text,
};
