//! Asks the vaults again and again whose they are: another catalog may have taken one over.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use model::Region;
use vault::Vault;

use crate::{
    background::{Next, RunsOn, Task, TaskError},
    context::ServiceContext,
    fault::chain,
};

/// The task.
#[derive(Debug)]
pub(crate) struct VaultOwnership;

#[async_trait]
impl Task for VaultOwnership {
    const RUNS_ON: RunsOn = RunsOn::Leader;
    const AT_START: bool = false;

    fn name(&self) -> String {
        "vault_ownership".to_owned()
    }

    fn period(&self, context: &ServiceContext) -> Duration {
        context.settings.upkeep_period()
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let mut failed = None;
        for region in context.vaults.regions() {
            if let Err(error) = confirmed(context, &region).await {
                if let TaskError::Fatal(_) = error {
                    return Err(error);
                }
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(Next::Period), Err)
    }
}

/// A region's vault, which has just said that it is this catalog's.
///
/// # Errors
/// `Fatal` when it is another's.
pub(crate) async fn confirmed(
    context: &ServiceContext,
    region: &Region,
) -> Result<Vault, TaskError> {
    context
        .vaults
        .confirmed(region)
        .await
        .map_err(|error| match error.is_certain() {
            true => TaskError::Fatal(format!(
                "{}: nothing of another catalog's may be removed",
                chain(&error)
            )),
            false => TaskError::doing(&format!("the vault of {region}"), &error),
        })
}
