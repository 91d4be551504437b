//! Drills: recovery points that restore testing plans have restored, looked at and deleted again.
//!
//! A drill's record says how far it is, and is its receipt in the end. Every step is one transaction,
//! and is made again if the process dies before it.
mod due;
mod end;
mod follow;
mod pair;
mod passed;

pub use due::run_now;
pub use pair::validate;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{CatalogExt, restore_testing};
use model::{Drill, Region, restore_testing::Stage};

use crate::{
    background::{Next, RunsOn, Task, TaskError},
    context::ServiceContext,
};

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(3);
/// Drills that are read at once.
const BATCH: usize = 200;
/// Clusters of a region that are restored or read for drills at once: what people ask for needs the
/// machine, too.
const AT_ONCE: usize = 2;

/// The task.
#[derive(Debug)]
pub(crate) struct Drills;

#[async_trait]
impl Task for Drills {
    const RUNS_ON: RunsOn = RunsOn::Leader;

    fn name(&self) -> String {
        "drills".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        PERIOD
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let mut first = Ok(Next::Period);
        for region in context.vaults.regions() {
            for seen in [
                due::run(context, &region).await,
                see_to(context, &region).await,
            ] {
                if let Err(error) = seen {
                    first = first.and(Err(error));
                }
            }
        }
        first
    }
}

/// Goes on with each drill of a region; answers the first error when all had their turn.
async fn see_to(context: &ServiceContext, region: &Region) -> Result<(), TaskError> {
    let (mut after, mut open) = (None, Vec::new());
    loop {
        let (here, from) = (region.clone(), after.clone());
        let batch = context
            .catalog
            .read(move |tx| restore_testing::open(tx, &here, from.as_ref(), BATCH));
        let batch = batch.await?;
        let Some(last) = batch.last() else { break };
        after = Some((last.value.planned_at, last.value.id.clone()));
        open.extend(batch.into_iter().map(|stored| stored.value));
    }
    let busy = |drill: &&Drill| matches!(drill.stage, Stage::Restoring | Stage::Checking);
    let mut free = AT_ONCE.saturating_sub(open.iter().filter(busy).count());
    let mut first = Ok(());
    for drill in open {
        if context.is_stopping() {
            break;
        }
        let waits = drill.stage == Stage::Waiting;
        let may_begin = 0 < free;
        match follow::go_on(context, &drill, may_begin).await {
            Ok(began) if waits && began => free = free.saturating_sub(1),
            Ok(_) => {}
            Err(error) => {
                let told = format!("the drill {} was not seen to", drill.arn());
                first = first.and(Err(TaskError::doing(&told, &error)));
            }
        }
    }
    first
}
