//! Whole objects out of a vault: at the pace that is allowed, from whichever incarnation has the
//! hash. All reading of objects goes through here, and so does all asking again.
//!
//! It does not know where the bytes go.
use std::sync::Arc;

use model::ErrorKind;

use crate::{
    error::{ObjectId, VaultError},
    observer::{Observer, Unobserved},
    store::{
        flow::Flow,
        listing::VolumeListing,
        names::ObjectVersion,
        ranges::{self, Cut},
        stream_reader::{CHUNK_BYTES, Source},
        throttle::Throttle,
        vault::Vault,
    },
};

/// How objects are read.
#[derive(Clone, Copy)]
pub(crate) struct ObjectReader<'a> {
    pub(crate) vault: &'a Vault,
    pub(crate) throttle: Option<&'a Arc<Throttle>>,
    pub(crate) observer: &'a dyn Observer,
}

impl ObjectReader<'_> {
    /// Reads an object of a known size from the first incarnation that has its hash.
    ///
    /// A bucket is asked again for what it answered wrongly, since an answer may be torn or stale
    /// while the object is sound; such bytes count as done only once.
    pub(crate) async fn read(
        &self,
        object: ObjectId,
        size: u64,
        listing: &VolumeListing,
        buffer: Vec<u8>,
    ) -> Result<Vec<u8>, VaultError> {
        let bad = &mut Vec::new();
        self.read_noting(object, Some(size), listing, buffer, bad)
            .await
    }

    /// The same for an object of any size; `bad` becomes the full paths of the incarnations that
    /// were there and do not have its hash, as far as none that has it was found before.
    ///
    /// # Errors
    /// That some incarnation could not be read goes before that others are damaged: it may be
    /// the whole one.
    pub(crate) async fn read_noting(
        &self,
        object: ObjectId,
        size: Option<u64>,
        listing: &VolumeListing,
        mut buffer: Vec<u8>,
        bad: &mut Vec<String>,
    ) -> Result<Vec<u8>, VaultError> {
        let listing = listing.holding(self.vault, object).await?;
        let flow = Flow::new(self.throttle, self.observer);
        let mut round = 0;
        loop {
            bad.clear();
            let mut failure = None;
            for held in listing.find(object) {
                let read = self.read_held(object, held, size, buffer, &flow);
                let error = match read.await {
                    Ok(bytes) => return Ok(bytes),
                    Err(VaultError::Stopped) => return Err(VaultError::Stopped),
                    Err(error) => error,
                };
                if matches!(error, VaultError::Damaged { .. }) {
                    bad.push(held.path.to_string());
                }
                let is_worse = |known: &VaultError| known.kind() == ErrorKind::Repair;
                if failure.as_ref().is_none_or(is_worse) {
                    failure = Some(error);
                }
                buffer = Vec::new();
            }
            match failure {
                Some(_) if self.vault.ask_again(round).await => round += 1,
                failure => return Err(failure.unwrap_or(VaultError::Missing { object })),
            }
        }
    }

    async fn read_held(
        &self,
        object: ObjectId,
        held: &ObjectVersion,
        size: Option<u64>,
        mut buffer: Vec<u8>,
        flow: &Flow<'_>,
    ) -> Result<Vec<u8>, VaultError> {
        buffer.clear();
        flow.begin();
        let wrong_size = || VaultError::damaged(object, "it does not have its size");
        if size.is_some_and(|size| size != held.size) {
            return Err(wrong_size());
        }
        let cut = Cut::at(self.throttle);
        let hash = if let Some(place) = self.vault.place()
            && cut.range_bytes < held.size
        {
            buffer = ranges::read((self.vault, place), object, held, cut, buffer, flow).await?;
            *blake3::hash(&buffer).as_bytes()
        } else {
            let mut source = Source::open(self.vault, object, held).await?;
            if size.is_some_and(|size| size != source.size) {
                return Err(wrong_size());
            }
            let most = match self.throttle {
                Some(throttle) => throttle.chunk_bytes(CHUNK_BYTES),
                None if size.is_some() => CHUNK_BYTES,
                // Nobody waits for its progress.
                None => 4 * CHUNK_BYTES,
            };
            while (buffer.len() as u64) < source.size {
                let from = buffer.len();
                buffer = source.next(buffer, most).await?;
                flow.pass(buffer.len() - from).await?;
            }
            source.hash().0
        };
        if hash != object.hash.0 {
            let why = "its bytes do not have its hash";
            return Err(VaultError::damaged(object, why));
        }
        Ok(buffer)
    }
}

impl Vault {
    /// Reads a whole object into `buffer` and checks its hash, as [`ObjectReader`] does.
    pub(crate) async fn read_whole(
        &self,
        object: ObjectId,
        listing: &VolumeListing,
        buffer: Vec<u8>,
    ) -> Result<Vec<u8>, VaultError> {
        self.read_noting(object, listing, buffer, &mut Vec::new())
            .await
    }

    /// The same, with the paths of the incarnations that do not have the hash.
    pub(crate) async fn read_noting(
        &self,
        object: ObjectId,
        listing: &VolumeListing,
        buffer: Vec<u8>,
        bad: &mut Vec<String>,
    ) -> Result<Vec<u8>, VaultError> {
        let reader = ObjectReader {
            vault: self,
            throttle: None,
            observer: &Unobserved,
        };
        reader.read_noting(object, None, listing, buffer, bad).await
    }
}
