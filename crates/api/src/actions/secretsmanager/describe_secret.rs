//! `DescribeSecret`: all of a secret but its value.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    secrets::{
        lookup,
        shape::{SecretShape, stages},
    },
};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSecret {
    secret_id: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Described {
    #[serde(flatten)]
    secret: SecretShape,
    version_ids_to_stages: BTreeMap<String, Vec<&'static str>>,
}

impl Output for Described {}

impl Action for DescribeSecret {
    const NAME: &'static str = "DescribeSecret";
    const API: Api = Api::SecretsManager;
    const READS: bool = true;
    type Output = Described;

    async fn run(self, cx: &ActionContext) -> Result<Described, Fault> {
        let found = lookup::find(cx, &self.secret_id, Self::NAME).await?;
        Ok(Described {
            secret: SecretShape::of(&found),
            version_ids_to_stages: stages(&found),
        })
    }
}
