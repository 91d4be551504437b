//! Tells the catalog how this node's tasks fare, for `snapferry node show`.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{CatalogExt, node_tasks};

use super::{Next, Task, TaskError, status::TaskStatus};
use crate::context::ServiceContext;

/// How often, while no task begins to fail or works again. Each time is a commit.
const PERIOD: Duration = Duration::from_secs(60);
/// The second time comes sooner: the first is while the others begin, and by then each has run.
const SOON: Duration = Duration::from_secs(5);

/// The task.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Whether it has told anything.
    begun: bool,
    /// Whether it has told, after its first time, that a task ran.
    told: bool,
}

impl Report {
    fn tells(&mut self, all: &BTreeMap<String, TaskStatus>) {
        self.told = self.begun && all.values().any(|task| task.last_success.is_some());
        self.begun = true;
    }

    fn rests(&self) -> Duration {
        match self.told {
            true => PERIOD,
            false => SOON,
        }
    }
}

#[async_trait]
impl Task for Report {
    fn name(&self) -> String {
        "task_report".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        self.rests()
    }

    async fn woken(&self, context: &ServiceContext) {
        context.tasks.changed.notified().await;
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let all = context.tasks.all();
        self.tells(&all);
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

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    #[test]
    fn tasks_that_begin_after_it_are_told_soon() {
        let mut report = Report::default();
        let quick = TaskStatus {
            last_success: Some(Timestamp(1)),
            ..TaskStatus::default()
        };
        let all = BTreeMap::from([("quick".to_owned(), quick)]);
        report.tells(&all);
        assert_eq!(report.rests(), SOON, "others may not have begun");
        report.tells(&all);
        assert_eq!(report.rests(), PERIOD);
    }

    #[test]
    fn it_is_soon_until_a_task_has_run() {
        let mut report = Report::default();
        for _ in 0..3 {
            report.tells(&BTreeMap::new());
            assert_eq!(report.rests(), SOON);
        }
    }
}
