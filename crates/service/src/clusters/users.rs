//! The OS users of this node's clusters: claimed for the whole machine, each for one cluster.
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    path::Path,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use catalog::{
    Catalog, CatalogError, CatalogExt,
    instances::{self, Member},
    uids,
};
use engine::{Eviction, EvictionError, Evictor, OsUsers, OsUsersError, SharedUser};

use crate::fault::{Code, Fault, chain};

/// Where all deployments of a machine claim the numbers of their clusters' users.
const CLAIMS: &str = "/var/lib/snapferry-os-users";

/// What this node knows of its clusters' users.
#[derive(Debug)]
pub struct Users {
    claims: Option<OsUsers>,
    evictor: Evictor,
    known: Mutex<Known>,
}

#[derive(Debug)]
enum Known {
    /// Whether any is shared could not be told.
    Nothing,
    /// These are; no other is.
    Shared(HashSet<u32>),
}

impl Users {
    /// With or without users of the clusters' own.
    pub fn new(own: bool) -> Self {
        Self {
            claims: own.then(|| OsUsers::at(CLAIMS)),
            evictor: Evictor::default(),
            known: Mutex::new(Known::Nothing),
        }
    }

    /// Whether another cluster may have that user too.
    pub fn may_be_shared(&self, uid: u32) -> bool {
        match &*self.known.lock().unwrap_or_else(PoisonError::into_inner) {
            Known::Nothing => true,
            Known::Shared(shared) => shared.contains(&uid),
        }
    }

    /// Ends what clusters' users run at an address that is a cluster's with the user `own`, and with folders
    /// of the name `cluster`.
    ///
    /// # Errors
    /// When it cannot be told who has it, or they do not end.
    pub async fn evict(
        &self,
        own: Option<u32>,
        cluster: &str,
        address: SocketAddr,
    ) -> Result<Eviction, EvictionError> {
        match &self.claims {
            Some(claims) => self.evictor.evict(claims, own, cluster, address).await,
            // All clusters have this process's own user: nobody can be told from the operator.
            None => Ok(Eviction::Nobody),
        }
    }

    /// The folders of the clusters that have a user, for the log.
    pub async fn clusters_of(&self, uid: u32) -> Vec<PathBuf> {
        let Some(claims) = self.claims.clone() else {
            return Vec::new();
        };
        let found = blocking(move || claims.clusters_of(uid)).await;
        found.unwrap_or_else(|error| {
            tracing::warn!(uid, cause = %chain(&error), "it is not known whose user this is");
            Vec::new()
        })
    }

    /// Whether some cluster of this machine has, or may have, a user.
    pub async fn has_cluster(&self, uid: u32) -> bool {
        let Some(claims) = self.claims.clone() else {
            return true;
        };
        let found = blocking(move || claims.clusters_of(uid)).await;
        found.map_or(true, |folders| !folders.is_empty())
    }

    fn learn(&self, shared: HashSet<u32>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Known::Shared(shared);
    }

    /// Makes this node's clusters known on the machine, and says which of them share a user.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn enter(
        &self,
        catalog: &dyn Catalog,
        node: &str,
        data_dir: &Path,
    ) -> Result<(), CatalogError> {
        let Some(claims) = self.claims.clone() else {
            return Ok(());
        };
        let node = node.to_owned();
        let (clusters, last) = catalog
            .read(move |tx| {
                Ok::<_, CatalogError>((instances::on_node(tx, &node)?, uids::last(tx)?))
            })
            .await?;
        let folder = data_dir.join("clusters");
        let numbers: Vec<u32> = clusters.iter().filter_map(user_of).chain(last).collect();
        let entered = blocking(move || claims.enter(&folder, &numbers)).await;
        match entered {
            Ok(shared) => {
                let twice = of_several(&clusters);
                for one in &shared {
                    warn_of(one);
                }
                for (uid, names) in &twice {
                    tracing::warn!(uid, clusters = ?names, "{SHARED}");
                }
                let all = shared.iter().map(|one| one.uid).chain(twice.into_keys());
                self.learn(all.collect());
            }
            Err(error) => tracing::warn!(
                cause = %chain(&error),
                "clusters cannot be given OS users, so none can be made or restored, until {CLAIMS} can be written (StateDirectory=snapferry-os-users in a systemd unit, a volume in a container)"
            ),
        }
        Ok(())
    }

    /// Claims a user for a new cluster; none where clusters have no users of their own.
    ///
    /// # Errors
    /// When none can be claimed. What the machine says is in the log alone.
    pub async fn claim(&self, catalog: &dyn Catalog) -> Result<Option<u32>, Fault> {
        let Some(claims) = self.claims.clone() else {
            return Ok(None);
        };
        let last = catalog.read(|tx| uids::last(tx)).await?;
        match blocking(move || claims.claim(last)).await {
            Ok(uid) => Ok(Some(uid)),
            Err(error) => {
                tracing::error!(cause = %chain(&error), "no OS user could be claimed for a new cluster");
                Err(Fault::new(
                    Code::InsufficientStorageClusterCapacity,
                    "This node has no OS user for another cluster; its log says why.",
                ))
            }
        }
    }
}

/// What sharing a user means, and what ends it.
const SHARED: &str = "clusters share an OS user: who runs programs in one reads and ends the other's; \
     take a snapshot of all but one of them, restore it under a new name, which gets a user of its own, and delete the old one";

fn warn_of(shared: &SharedUser) {
    tracing::warn!(uid = shared.uid, folders = ?shared.folders, "{SHARED}");
}

fn user_of(member: &Member) -> Option<u32> {
    member.instance.placement.os_uid
}

/// Users that several of these clusters have, with the clusters.
fn of_several(members: &[Member]) -> HashMap<u32, Vec<String>> {
    let mut found: HashMap<u32, Vec<String>> = HashMap::new();
    for member in members {
        if let Some(uid) = user_of(member) {
            let names = found.entry(uid).or_default();
            let name = member.cluster.arn().to_string();
            // A cluster's own instances share its user.
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    found.retain(|_, names| 1 < names.len());
    found
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OsUsersError> + Send + 'static,
) -> Result<T, OsUsersError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
