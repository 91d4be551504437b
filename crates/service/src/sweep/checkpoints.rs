//! Writes the record log of each region anew when it has outgrown its last checkpoint.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::ownership::confirmed;
use crate::{
    background::{Next, RunsOn, Task, TaskError},
    context::ServiceContext,
    record_log::checkpoint,
};

/// The task.
#[derive(Debug)]
pub(crate) struct Checkpoints;

#[async_trait]
impl Task for Checkpoints {
    const RUNS_ON: RunsOn = RunsOn::Leader;
    const AT_START: bool = false;

    fn name(&self) -> String {
        "record_log_checkpoint".to_owned()
    }

    fn period(&self, context: &ServiceContext) -> Duration {
        context.settings.upkeep_period()
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let mut failed = None;
        for region in context.vaults.regions() {
            let global = region == context.settings.default_region;
            let made = match confirmed(context, &region).await {
                Ok(vault) => checkpoint::when_due(
                    &context.vaults.record_log,
                    &vault,
                    &region,
                    global,
                    context.now(),
                )
                .await
                .map_err(|error| {
                    let what = format!("the record log in {region}");
                    TaskError::doing(&what, &error)
                }),
                Err(error @ TaskError::Fatal(_)) => return Err(error),
                Err(error) => Err(error),
            };
            if let Err(error) = made {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(Next::Period), Err)
    }
}
