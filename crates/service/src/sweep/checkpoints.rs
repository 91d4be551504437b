//! Writes the record log of each region anew when it has outgrown its last checkpoint.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::ownership::confirmed;
use crate::{
    background::{Next, RunsOn, Task, TaskError},
    core::Core,
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

    fn period(&self, core: &Core) -> Duration {
        core.settings.upkeep_period()
    }

    async fn run(&mut self, core: &Arc<Core>) -> Result<Next, TaskError> {
        let mut failed = None;
        for region in core.vaults.regions() {
            let global = region == core.settings.default_region;
            let made = match confirmed(core, &region).await {
                Ok(vault) => checkpoint::when_due(
                    &core.vaults.record_log,
                    &vault,
                    &region,
                    global,
                    core.now(),
                )
                .await
                .map_err(|error| {
                    let what = format!("the mirror of the records in {region}");
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
