//! What the servers of a cluster on several nodes prove themselves with to one another: a password for
//! each cluster, made from one secret of the deployment.
//!
//! The secret lies in the catalog, under the master key, so that all nodes have the same one. It does not
//! know who uses the passwords; the engine does.
use std::fmt;

use aws_lc_rs::hmac;
use catalog::{Catalog, CatalogError, CatalogExt, Tx, meta};
use data_encoding::HEXLOWER;
use engine::PeerSecret;
use kms::{MasterKey, OpenError};
use model::ResourceId;
use zeroize::Zeroizing;

/// What the secret is sealed for; its context is its name in the catalog.
const PURPOSE: &str = "cluster-peers";
const SECRET_BYTES: usize = 32;
/// Characters of a mark: enough to tell passwords apart.
const MARK_CHARS: usize = 16;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum PeerKeyError {
    /// The catalog fails.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// It does not open.
    #[error("the secret of clusters on several nodes does not open with the master key")]
    Sealed(#[from] OpenError),
    /// None can be drawn.
    #[error("the system gives no random bytes")]
    NoChance,
}

/// The deployment's secret.
pub struct PeerKey(hmac::Key);

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerKey(..)")
    }
}

impl PeerKey {
    /// The deployment's, made when there is none.
    ///
    /// # Errors
    /// [`PeerKeyError`].
    pub async fn open(catalog: &dyn Catalog, master_key: &MasterKey) -> Result<Self, PeerKeyError> {
        let found = catalog.read(|tx| meta::get(tx, meta::PEER_KEY)).await?;
        let sealed = match found {
            Some(sealed) => sealed,
            None => {
                let mut drawn = Zeroizing::new([0; SECRET_BYTES]);
                kms::fill_random(&mut drawn[..]).map_err(|_| PeerKeyError::NoChance)?;
                // Another node may be first: its secret counts.
                let made = sealed(master_key, &drawn[..]);
                catalog
                    .write(move |tx| meta::get_or_set(tx, meta::PEER_KEY, &made))
                    .await?
            }
        };
        let plain = unsealed(master_key, &sealed)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &plain)))
    }

    /// What the servers of a cluster know that lead, or follow who leads, in that term, and nobody else: who
    /// led before is not followed by mistake, whatever address it has.
    pub fn of(&self, cluster: &ResourceId, term: u64) -> PeerSecret {
        let of = |what: &str| {
            let tag = hmac::sign(
                &self.0,
                format!("{what} {} {term}", cluster.as_str()).as_bytes(),
            );
            HEXLOWER.encode(tag.as_ref())
        };
        let mut mark = of("mark");
        mark.truncate(MARK_CHARS);
        PeerSecret {
            password: Zeroizing::new(of("password")),
            mark,
        }
    }
}

fn sealed(master_key: &MasterKey, plain: &[u8]) -> String {
    HEXLOWER.encode(&master_key.seal(PURPOSE, meta::PEER_KEY, plain))
}

fn unsealed(master_key: &MasterKey, sealed: &str) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    // What is no hexadecimal does not open either.
    let sealed = HEXLOWER.decode(sealed.as_bytes()).unwrap_or_default();
    master_key.open(PURPOSE, meta::PEER_KEY, &sealed)
}

/// Seals the secret anew, if there is one.
///
/// # Errors
/// [`PeerKeyError`].
pub fn reencrypt(tx: &mut dyn Tx, master_key: &MasterKey) -> Result<(), PeerKeyError> {
    if let Some(found) = meta::get(tx, meta::PEER_KEY)? {
        let plain = unsealed(master_key, &found)?;
        meta::set(tx, meta::PEER_KEY, &sealed(master_key, &plain))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catalog::SqliteCatalog;
    use model::SystemClock;

    use super::*;

    #[tokio::test]
    async fn each_cluster_has_a_password_that_a_new_master_key_does_not_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = SqliteCatalog::open(&folder.path().join("catalog"), Arc::new(SystemClock));
        let catalog = catalog.expect("a catalog");
        let old = MasterKey::generate();
        let id = |letter: &str| -> ResourceId {
            let text = format!("cluster-{}", letter.repeat(26));
            text.parse().expect("an id")
        };
        let first = PeerKey::open(&catalog, &old).await.expect("made");
        let secret = first.of(&id("A"), 1);
        assert_ne!(secret, first.of(&id("B"), 1));
        assert_ne!(secret, first.of(&id("A"), 2));
        assert!(!secret.password.contains(&secret.mark));
        assert!(!format!("{secret:?}").contains(secret.password.as_str()));
        let fresh = MasterKey::generate();
        let both = MasterKey::from_bytes(*fresh.expose()).beside(&old);
        let done = catalog.write(move |tx| reencrypt(tx, &both)).await;
        done.expect("sealed anew");
        let again = PeerKey::open(&catalog, &fresh).await.expect("opens");
        assert_eq!(again.of(&id("A"), 1), secret);
        assert!(PeerKey::open(&catalog, &old).await.is_err());
    }
}
