//! `RunRestoreTestingPlan`: what a restore testing plan tests is tested now, as if it were due.
use model::Drill;
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    backup::testing,
};
use service::{backup_jobs::drills::run_now, fault::Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RunRestoreTestingPlan {
    /// The plan's name.
    restore_testing_plan_name: String,
}

/// The answer: a drill of each resource that is selected and has a recovery point.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Begun {
    drills: Vec<BegunDrill>,
}

impl Output for Begun {}

/// A drill that waits.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct BegunDrill {
    /// The id of its restore job.
    drill_identifier: String,
    source_resource_arn: String,
    recovery_point_arn: String,
}

impl BegunDrill {
    fn of(drill: Drill) -> Self {
        Self {
            source_resource_arn: drill.resource.to_string(),
            recovery_point_arn: drill.point.to_string(),
            drill_identifier: drill.id,
        }
    }
}

impl Action for RunRestoreTestingPlan {
    const NAME: &'static str = "RunRestoreTestingPlan";
    const API: Api = Api::Snapferry;
    type Output = Begun;

    async fn run(self, cx: &ActionContext) -> Result<Begun, Fault> {
        let plan = testing::find(cx, &self.restore_testing_plan_name).await?;
        let drills = run_now(&cx.service, &plan).await?;
        Ok(Begun {
            drills: drills.into_iter().map(BegunDrill::of).collect(),
        })
    }
}
