//! Tells the catalog how this node's tasks fare, for `snapferry node show`.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{CatalogExt, node_tasks};

use super::{Next, Task, TaskError};
use crate::context::ServiceContext;

/// How often, while no task begins to fail or works again. Each time is a commit.
const PERIOD: Duration = Duration::from_secs(60);
/// The second time comes sooner: by then each task has run.
const SOON: Duration = Duration::from_secs(5);

/// The task.
#[derive(Debug, Default)]
pub(crate) struct Report {
    told: bool,
}

#[async_trait]
impl Task for Report {
    fn name(&self) -> String {
        "task_report".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        match self.told {
            true => PERIOD,
            false => SOON,
        }
    }

    async fn woken(&self, context: &ServiceContext) {
        context.tasks.changed.notified().await;
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let all = context.tasks.all();
        self.told = all.values().any(|task| task.last_success.is_some());
        let text = serde_json::to_string(&all).expect("times and texts serialize");
        let node = context.settings.node.clone();
        context
            .catalog
            .write(move |tx| node_tasks::put(tx, &node, &text))
            .await
            .map_err(TaskError::from)?;
        Ok(Next::Period)
    }
}
