//! This process as one of the nodes that share a catalog: its name, its heartbeat, its drain.
//!
//! It does not know which catalogs are shared: the settings say so. A catalog in the data folder
//! has one node, whose lock on the folder says all there is to say.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{
    CatalogError, CatalogExt, jobs,
    nodes::{self, Entry, NodeState, Taken},
};
use model::limits;

use crate::{
    background::{Next, Task, TaskError},
    clusters::{authority::AuthorityError, peer_key::PeerKeyError},
    context::ServiceContext,
    fault::chain,
    receipts::ReceiptKeyError,
    record_log::owner::OwnerError,
};

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the name, or had it and its clusters.
    #[error("the node name {name} is taken: {}", because(.taken))]
    NameTaken {
        /// The name.
        name: String,
        /// By whom.
        taken: Taken,
    },
    /// A vault is not this catalog's.
    #[error(transparent)]
    Owner(OwnerError),
    /// The catalog does not answer.
    #[error("the catalog cannot be used")]
    Catalog(#[from] CatalogError),
    /// Clusters have no certificates.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Clusters on several nodes have no secret.
    #[error(transparent)]
    PeerKey(#[from] PeerKeyError),
    /// Receipts of drills cannot be signed.
    #[error(transparent)]
    ReceiptKey(#[from] ReceiptKeyError),
}

fn because(taken: &Taken) -> String {
    match taken {
        Taken::Alive { endpoint, silent } => format!(
            "a node of that name serves {endpoint}, and was heard of {} ms ago",
            silent.as_millis()
        ),
        Taken::Clusters(count) => {
            format!("{count} clusters of that name lie in another data folder")
        }
    }
}

/// Makes sure that the vaults that are there are this catalog's. One that does not answer is asked
/// again before anything is logged or swept there.
///
/// # Errors
/// When one is another's.
pub(crate) async fn check_vaults(context: &ServiceContext) -> Result<(), StartError> {
    let regions = context.vaults.regions();
    let claims = regions.iter().map(|region| context.vaults.owned(region));
    for (region, claim) in regions
        .iter()
        .zip(futures_util::future::join_all(claims).await)
    {
        match claim {
            Ok(_) => {}
            Err(error) if error.is_certain() => return Err(StartError::Owner(error)),
            Err(error) => {
                tracing::warn!(%region, cause = %chain(&error), "the vault does not say whose it is");
            }
        }
    }
    Ok(())
}

/// Takes the node's name, and back what its earlier processes held when they died.
///
/// # Errors
/// `NameTaken`, or the catalog's.
pub(crate) async fn enter(context: &ServiceContext, incarnation: &str) -> Result<(), StartError> {
    let name = context.settings.node.clone();
    let entry = context.settings.membership.as_ref().map(|member| Entry {
        name: name.clone(),
        home: member.home.clone(),
        incarnation: incarnation.to_owned(),
        endpoint: member.endpoint.clone(),
        build: member.build.clone(),
        zone: member.zone.clone(),
    });
    let prefix = format!("{name}/");
    let entered = context
        .catalog
        .write(move |tx| {
            if let Some(entry) = &entry
                && let Err(taken) = nodes::enter(tx, entry, limits::NODE_SILENCE)?
            {
                return Ok(Err(taken));
            }
            // No other process of this name lives, so its leases need not run out first.
            jobs::release_held_by(tx, &prefix)?;
            Ok::<_, CatalogError>(Ok(()))
        })
        .await?;
    entered.map_err(|taken| StartError::NameTaken { name, taken })
}

/// Tells the others that this node lives, and hears what it is to do.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    incarnation: String,
}

impl Heartbeat {
    /// Of the process of that name.
    pub(crate) fn of(incarnation: &str) -> Self {
        Self {
            incarnation: incarnation.to_owned(),
        }
    }
}

#[async_trait]
impl Task for Heartbeat {
    const AT_START: bool = false;

    fn name(&self) -> String {
        "node_heartbeat".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        limits::NODE_HEARTBEAT
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let (name, own) = (context.settings.node.clone(), self.incarnation.clone());
        let beat = context
            .catalog
            .write(move |tx| nodes::beat(tx, &name, &own));
        let state = beat.await.map_err(|error: CatalogError| {
            TaskError::doing("the others were not told that this node lives", &error)
        })?;
        let Some(state) = state else {
            return Err(TaskError::Fatal(format!(
                "another process has this node's name {} now",
                context.settings.node
            )));
        };
        note(context, state == NodeState::Draining);
        Ok(Next::Period)
    }
}

fn note(context: &ServiceContext, draining: bool) {
    if context.set_draining(draining) != draining {
        tracing::info!(
            draining,
            "this node takes on {} work",
            match draining {
                true => "no more",
                false => "new",
            }
        );
        context.work.notify_one();
    }
}

/// Says that this process ends in order.
pub(crate) async fn leave(context: &ServiceContext, incarnation: &str, patience: Duration) {
    if context.settings.membership.is_none() {
        return;
    }
    let (name, own) = (context.settings.node.clone(), incarnation.to_owned());
    let left = context
        .catalog
        .write(move |tx| nodes::leave(tx, &name, &own));
    match tokio::time::timeout(patience, left).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(cause = %chain(&error), "the others were not told that this node ends");
        }
        Err(_) => tracing::warn!("the others could not be told in time that this node ends"),
    }
}
