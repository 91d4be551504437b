//! A large object of a bucket, read in ranges of which several are on their way at once.
//!
//! It does not know what hash the object should have. Memory: the object's own buffer, in which
//! every range has its place, and what the connections hold.
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{GetOptions, GetRange};

use crate::{
    bucket::Place,
    error::{ObjectId, VaultError},
    format::bytes_max,
    paced::Flow,
    shelf::Held,
    store::Vault,
};

/// One range, bytes: several round trips long on a fast connection. What is no larger is read by
/// one request.
pub(crate) const RANGE_BYTES: u64 = 4 << 20;
/// Ranges of one object on their way at once; a pack has four.
const RANGES: usize = 4;

/// Reads an object of the size that the bucket listed into `buffer`.
pub(crate) async fn read(
    (vault, place): (&Vault, &Place),
    object: ObjectId,
    held: &Held,
    mut buffer: Vec<u8>,
    flow: &Flow<'_>,
) -> Result<Vec<u8>, VaultError> {
    let size = usize::try_from(held.size)
        .ok()
        .filter(|size| *size <= bytes_max(object.kind))
        .ok_or_else(|| VaultError::damaged(object, "it is larger than its kind may be"))?;
    buffer.reserve_exact(size.saturating_sub(buffer.len()));
    buffer.resize(size, 0);
    let ranges = (0..).zip(buffer.chunks_mut(RANGE_BYTES as usize));
    // Each begins when it is first polled.
    let reads: Vec<_> = ranges
        .map(|(number, into)| {
            let start = number * RANGE_BYTES;
            read_one((vault, place), object, held, start, into, flow)
        })
        .collect();
    stream::iter(reads)
        .buffer_unordered(RANGES)
        .try_collect::<()>()
        .await?;
    Ok(buffer)
}

/// Fills `into` with the object's bytes from `start` on.
async fn read_one(
    (vault, place): (&Vault, &Place),
    object: ObjectId,
    held: &Held,
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
