//! Forgets a node that never comes back: its jobs are given up, its clusters' records removed.
//!
//! It does not know whether the machine is gone: it believes whoever asks, once the node is silent.
use std::time::Duration;

use catalog::{
    Catalog, CatalogError, CatalogExt, Tx, clusters, instances, jobs, node_tasks, nodes,
};
use model::{Told, limits};

use crate::{
    backups::retained::{self, Backups},
    events::kinds::{self, OfCluster},
    jobs::registry::give_up,
};

/// What becomes of the clusters whose files the node had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItsClusters {
    /// With any, the node is not forgotten.
    Keep,
    /// Their records are removed.
    Drop,
}

/// What was forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// ARNs of the clusters whose records were removed.
    pub clusters: Vec<String>,
    /// Jobs that only this node could have done, given up.
    pub jobs_failed: u64,
    /// Jobs that it held, and others go on with.
    pub jobs_released: u64,
}

/// Why a node is not forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// Nothing is of that name.
    #[error("nothing is known of a node {0}")]
    Unknown(String),
    /// Its process lives, or did a moment ago.
    #[error("the node {name} was heard of {} ms ago, at {endpoint}", silent.as_millis())]
    Alive {
        /// Its name.
        name: String,
        /// Where it is reached.
        endpoint: String,
        /// How long it has been silent.
        silent: Duration,
    },
    /// Their files would be given up.
    #[error("the node {name} has the files of {}", .clusters.join(", "))]
    HasClusters {
        /// Its name.
        name: String,
        /// The clusters' ARNs.
        clusters: Vec<String>,
    },
    /// The catalog fails.
    #[error("the catalog cannot be used")]
    Catalog(#[from] CatalogError),
}

/// Forgets a node of a shared catalog, in one transaction.
///
/// # Errors
/// [`ForgetError`]; nothing was changed then.
pub async fn node(
    catalog: &dyn Catalog,
    name: &str,
    its_clusters: ItsClusters,
) -> Result<Forgotten, ForgetError> {
    let name = name.to_owned();
    catalog
        .write(move |tx| forget(tx, &name, its_clusters))
        .await
}

fn forget(
    tx: &mut dyn Tx,
    name: &str,
    its_clusters: ItsClusters,
) -> Result<Forgotten, ForgetError> {
    let known = nodes::get(tx, name)?;
    if let Some(node) = &known {
        let silent = tx.now().since(node.heartbeat_at);
        if node.state != nodes::NodeState::Stopped && silent < limits::NODE_SILENCE {
            return Err(ForgetError::Alive {
                name: name.to_owned(),
                endpoint: node.endpoint.clone(),
                silent,
            });
        }
    }
    let held = instances::on_node(tx, name)?;
    let bound = jobs::bound_to(tx, name)?;
    if known.is_none() && held.is_empty() && bound.is_empty() {
        return Err(ForgetError::Unknown(name.to_owned()));
    }
    let mut arns: Vec<String> = held
        .iter()
        .map(|member| member.cluster.arn().to_string())
        .collect();
    arns.dedup();
    if !held.is_empty() && its_clusters == ItsClusters::Keep {
        return Err(ForgetError::HasClusters {
            name: name.to_owned(),
            clusters: arns,
        });
    }
    let reason = format!("its node {name} was forgotten");
    let told = Told::new("the node that had it was forgotten");
    for job in &bound {
        jobs::fail(tx, job, &reason)?;
        give_up(tx, job, &told)?;
    }
    // Read again: jobs that were given up have changed them.
    for member in instances::on_node(tx, name)? {
        let cluster = member.cluster;
        // With one of its instances go all of them.
        retained::settle(tx, &cluster, Backups::Stay)?;
        if clusters::delete(tx, &cluster.region, &cluster.account, &cluster.name)? {
            kinds::cluster(tx, &cluster, OfCluster::Lost(&told))?;
        }
    }
    let jobs_released = jobs::release_held_by(tx, &format!("{name}/"))?;
    nodes::forget(tx, name)?;
    node_tasks::forget(tx, name)?;
    Ok(Forgotten {
        clusters: arns,
        jobs_failed: bound.len() as u64,
        jobs_released,
    })
}
