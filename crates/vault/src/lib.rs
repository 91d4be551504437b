//! What is kept: blocks in sealed, immutable packs, and what describes and moves them.
//!
//! It does not know what a cluster is, whose a snapshot is, or where wrapped keys are kept.
//! The bytes are described in docs/reference/vault-format.md.
#[doc(hidden)]
pub mod bench_hooks;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod format;
mod gc;
mod index;
mod log;
mod observer;
mod read;
mod store;
mod transfer;
mod write;

pub use error::{ObjectId, ObjectKind, VaultError};
pub use format::{
    chunk::{Chunk, ChunkHead},
    head::CHUNK_LOG_BYTES,
    seal::{DataKey, Sealing},
};
pub use gc::{
    inventory::{Headers, Survey, Usage, survey, usage},
    retain::retain,
    sweep::{ObjectEntry, delete, manifests, objects, volumes},
};
pub use index::header::{Header, read_header};
pub use log::{
    chain::{Chain, ChainError},
    chunks::{
        ChunkEntry, bring_chunk, check_chunk, chunk_owners, chunks, delete_chunk, read_chunk,
        write_chunk,
    },
    join::{CHUNKS_JOINED, join, joinable, superseded},
};
pub use observer::{Observer, Unobserved};
pub use read::{
    Check, Checked, Damage, DamagedBytes, FileDiff, Passed, Restored, Side, check, diff, in_sample,
    repair::{Mended, Repairer},
    restore,
};
pub use store::{
    bucket::Bucket,
    bucket_place::{BucketOptions, PART_BYTES_MIN},
    names::Condemned,
    records,
    remote_reader::{Origin, PIECE_BYTES_MAX},
    retention::{Keeping, Retained, Retention},
    throttle::Throttle,
    unfinished::remove_unfinished,
    vault::{Intake, Vault},
};
pub use transfer::{
    copy::{Copied, CopyJob, copy},
    reach::Reach,
    read_from::ReadFrom,
    reencrypt::{
        Extent, Record, Reencrypt, ReencryptKeys, Resealed, reencrypt, volume_reencrypted,
    },
};
pub use write::{Base, SnapshotWriter, WriteOptions, Written};
