//! A large object of a bucket, read in ranges of which several are on their way at once.
//!
//! It does not know what hash the object should have. Memory: the object's own buffer, in which
//! every range has its place, and what the connections hold.
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{GetOptions, GetRange};

use crate::{
    error::{ObjectId, VaultError},
    format::head::bytes_max,
    store::{
        bucket_place::Place, flow::Flow, names::ObjectVersion, throttle::Throttle, vault::Vault,
    },
};

/// One range at most, bytes: several round trips long on a fast connection.
const RANGE_BYTES: u64 = 4 << 20;
/// Ranges of one object on their way at once; a pack has four.
const RANGES: usize = 4;

/// How objects are cut: what is no larger than one range is read by one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) range_bytes: u64,
    at_once: usize,
}

impl Cut {
    /// Below a slow limit one range comes after the other, and each within a second or so.
    pub(crate) fn at(throttle: Option<&Arc<Throttle>>) -> Self {
        match throttle {
            Some(throttle) if throttle.is_slow() => Self {
                range_bytes: throttle.request_bytes(RANGE_BYTES),
                at_once: 1,
            },
            _ => Self {
                range_bytes: RANGE_BYTES,
                at_once: RANGES,
            },
        }
    }
}

/// Reads an object of the size that the bucket listed into `buffer`.
pub(crate) async fn read(
    (vault, place): (&Vault, &Place),
    object: ObjectId,
    held: &ObjectVersion,
    cut: Cut,
    mut buffer: Vec<u8>,
    flow: &Flow<'_>,
) -> Result<Vec<u8>, VaultError> {
    let size = usize::try_from(held.size)
        .ok()
        .filter(|size| *size <= bytes_max(object.kind))
        .ok_or_else(|| VaultError::damaged(object, "it is larger than its kind may be"))?;
    buffer.reserve_exact(size.saturating_sub(buffer.len()));
    buffer.resize(size, 0);
    let range_bytes = usize::try_from(cut.range_bytes).expect("a range is small");
    let ranges = (0..).zip(buffer.chunks_mut(range_bytes));
    // Each begins when it is first polled.
    let reads: Vec<_> = ranges
        .map(|(number, into)| {
            let start = number * cut.range_bytes;
            read_one((vault, place), object, held, start, into, flow)
        })
        .collect();
    stream::iter(reads)
        .buffer_unordered(cut.at_once)
        .try_collect::<()>()
        .await?;
    Ok(buffer)
}

/// Fills `into` with the object's bytes from `start` on.
async fn read_one(
    (vault, place): (&Vault, &Place),
    object: ObjectId,
    held: &ObjectVersion,
    start: u64,
    into: &mut [u8],
    flow: &Flow<'_>,
) -> Result<(), VaultError> {
    let _lane = place.lane().await;
    let failed = |source| match source {
        object_store::Error::NotFound { .. } => VaultError::Missing { object },
        source => VaultError::store("read", &held.path, source),
    };
    let options = GetOptions {
        range: Some(GetRange::Bounded(start..start + into.len() as u64)),
        ..GetOptions::default()
    };
    let asked = vault.store().get_opts(&held.path, options).await;
    let found = asked.map_err(failed)?;
    let wrong_size = || VaultError::damaged(object, "it does not have its size");
    if found.meta.size != held.size {
        return Err(wrong_size());
    }
    let mut rest = into;
    let mut arriving = found.into_stream();
    while let Some(bytes) = arriving.try_next().await.map_err(failed)? {
        let (here, behind) = rest
            .split_at_mut_checked(bytes.len())
            .ok_or_else(wrong_size)?;
        here.copy_from_slice(&bytes);
        rest = behind;
        flow.pass(bytes.len()).await?;
    }
    match rest {
        [] => Ok(()),
        _ => Err(wrong_size()),
    }
}
