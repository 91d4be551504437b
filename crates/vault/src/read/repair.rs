//! A damaged or missing object, fetched again from another vault that holds the same one.
//!
//! It does not know which regions the vaults belong to, and needs no key: an object is the one
//! that was lost when it has its hash.
use bytes::Bytes;
use model::{ErrorKind, VolumeRef};

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    store::{listing::VolumeListing, names::Condemned, vault::Vault},
};

/// Mends objects of one volume. What the vaults hold is listed once, at the beginning.
#[derive(Debug)]
pub struct Repairer {
    vault: Vault,
    volume: VolumeRef,
    listing: VolumeListing,
    others: Vec<(Vault, VolumeListing)>,
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mended {
    /// An incarnation of it has its hash: there is nothing that another vault has better.
    Whole,
    /// It was written anew, durably.
    Written {
        /// The number of the vault it came from, in the order given.
        from: usize,
        /// Full paths of the incarnations that do not have their hash: they are to be condemned.
        bad: Vec<String>,
    },
    /// No vault has it.
    Nowhere,
}

impl Repairer {
    /// Lists a volume in the vault that is to be mended, and in others. Condemned names count as
    /// absent in each.
    ///
    /// # Errors
    /// The stores'.
    pub async fn open(
        vault: &Vault,
        volume: &VolumeRef,
        condemned: &Condemned,
        others: Vec<(Vault, Condemned)>,
    ) -> Result<Self, VaultError> {
        let mut listed = Vec::with_capacity(others.len());
        for (other, condemned) in others {
            let listing = VolumeListing::list(&other, volume, &ObjectKind::ALL, &condemned).await?;
            listed.push((other, listing));
        }
        Ok(Self {
            vault: vault.clone(),
            volume: volume.clone(),
            listing: VolumeListing::list(vault, volume, &ObjectKind::ALL, condemned).await?,
            others: listed,
        })
    }

    /// The numbers of the vaults that list an object of that name, not yet looked into.
    pub fn listed_by(&self, object: ObjectId) -> impl Iterator<Item = usize> {
        let holds = move |(_, (_, listing)): &(usize, &(Vault, VolumeListing))| {
            !listing.find(object).is_empty()
        };
        self.others
            .iter()
            .enumerate()
            .filter(holds)
            .map(|(number, _)| number)
    }

    /// Brings an object back, from the first vault in which it has its hash.
    ///
    /// # Errors
    /// The stores'. What a vault lacks or has damaged is no error.
    pub async fn repair(&self, object: ObjectId) -> Result<Mended, VaultError> {
        let mut bad = Vec::new();
        let own = self
            .vault
            .read_noting(object, &self.listing, Vec::new(), &mut bad)
            .await;
        match own {
            Ok(_) => return Ok(Mended::Whole),
            Err(error) if error.kind() == ErrorKind::Repair => {}
            Err(error) => return Err(error),
        }
        for (from, (other, listing)) in self.others.iter().enumerate() {
            match other.read_whole(object, listing, Vec::new()).await {
                Ok(bytes) => {
                    self.vault
                        .put_new(&self.volume, object, Bytes::from(bytes))
                        .await?;
                    return Ok(Mended::Written { from, bad });
                }
                Err(error) if error.kind() == ErrorKind::Repair => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Mended::Nowhere)
    }
}
