//! Rotates the keys whose date has come.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    background::{Next, RunsOn, Task, TaskError},
    context::ServiceContext,
};

/// The task.
#[derive(Debug)]
pub(crate) struct KeyRotation;

#[async_trait]
impl Task for KeyRotation {
    const RUNS_ON: RunsOn = RunsOn::Leader;
    const AT_START: bool = false;

    fn name(&self) -> String {
        "key_rotation".to_owned()
    }

    fn period(&self, context: &ServiceContext) -> Duration {
        context.settings.upkeep_period()
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let rotated = context.kms.rotate_due().await;
        rotated.map_err(|error| TaskError::doing("a key was not rotated", &error))?;
        Ok(Next::Period)
    }
}
