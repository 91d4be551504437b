//! `ModifyDBClusterSnapshotAttribute`: shares a manual snapshot, or takes that back.
//!
//! Source: API_ModifyDBClusterSnapshotAttribute and "Sharing a DB cluster snapshot".
use catalog::{CatalogExt, keys, snapshots};
use model::{Account, KeyManager, Snapshot, SnapshotKind, SnapshotStatus, limits};
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    shapes::{AttributesOutput, RESTORE, SnapshotRef},
};
use service::fault::{Code, Fault};

/// The grantee that stands for every account.
const ALL: &str = "all";

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyDbClusterSnapshotAttribute {
    #[serde(rename = "DBClusterSnapshotIdentifier")]
    snapshot: String,
    attribute_name: String,
    #[serde(default)]
    values_to_add: Vec<String>,
    #[serde(default)]
    values_to_remove: Vec<String>,
}

impl Action for ModifyDbClusterSnapshotAttribute {
    const NAME: &'static str = "ModifyDBClusterSnapshotAttribute";
    const API: Api = Api::Rds;
    type Output = AttributesOutput;

    async fn run(self, cx: &ActionContext) -> Result<AttributesOutput, Fault> {
        let wanted = SnapshotRef::asked("DBClusterSnapshotIdentifier", &self.snapshot, cx)?;
        self.check()?;
        let (caller, region) = (cx.caller.account.clone(), cx.region.clone());
        let changed = cx
            .service
            .catalog
            .write(move |tx| {
                let mut stored = wanted.own(tx, &caller, &region)?;
                let default_key = match &stored.value.kms_key {
                    Some(arn) => is_default_key(tx, arn)?,
                    None => false,
                };
                self.apply(&mut stored.value, default_key)?;
                let stored = snapshots::update(tx, stored)?;
                Ok::<_, Fault>(stored.value)
            })
            .await?;
        Ok(AttributesOutput::of(&changed))
    }
}

/// Whether a snapshot's key is its account's `alias/aws/rds`, which no other account can use.
fn is_default_key(tx: &mut dyn catalog::Tx, arn: &model::Arn) -> Result<bool, Fault> {
    let key = keys::get_by_arn(tx, arn)?;
    Ok(key.is_some_and(|key| key.value.manager == KeyManager::Aws))
}

impl ModifyDbClusterSnapshotAttribute {
    fn check(&self) -> Result<(), Fault> {
        if self.attribute_name != RESTORE {
            return Err(Fault::value(format!(
                "Invalid snapshot attribute {}",
                self.attribute_name
            )));
        }
        if let Some(both) = self
            .values_to_add
            .iter()
            .find(|value| self.values_to_remove.contains(value))
        {
            return Err(Fault::combination(format!(
                "A value may not appear in both the add list and remove list. [{both}]"
            )));
        }
        let wrong = self
            .values_to_add
            .iter()
            .chain(&self.values_to_remove)
            .find(|value| *value != ALL && value.parse::<Account>().is_err());
        match wrong {
            None => Ok(()),
            Some(value) => Err(Fault::value(format!(
                "Invalid account id {value}: the attribute restore takes account ids of 12 digits, or all."
            ))),
        }
    }

    /// Adding who is there already, and removing who is not, change nothing.
    fn apply(&self, snapshot: &mut Snapshot, default_key: bool) -> Result<(), Fault> {
        if snapshot.kind != SnapshotKind::Manual {
            return Err(Fault::new(
                Code::InvalidDbClusterSnapshotState,
                "automated snapshots cannot be modified.",
            ));
        }
        if snapshot.status != SnapshotStatus::Available {
            return Err(Fault::not_available("modify", snapshot));
        }
        if !self.values_to_add.is_empty() && default_key {
            return Err(Fault::value(
                "Sharing snapshots encrypted with the default service key for RDS is currently not supported.",
            ));
        }
        if snapshot.storage_encrypted && self.values_to_add.iter().any(|value| value == ALL) {
            return Err(Fault::value(
                "An encrypted DB cluster snapshot cannot be made public: share it with account ids.",
            ));
        }
        let mut shared = snapshot.shared_with.clone();
        shared.retain(|have| !self.values_to_remove.contains(have));
        for value in &self.values_to_add {
            if !shared.contains(value) {
                shared.push(value.clone());
            }
        }
        if limits::SHARED_ACCOUNTS_MAX < shared.iter().filter(|value| *value != ALL).count() {
            return Err(Fault::new(
                Code::SharedSnapshotQuotaExceeded,
                format!(
                    "A snapshot cannot be shared with more than {} accounts.",
                    limits::SHARED_ACCOUNTS_MAX
                ),
            ));
        }
        snapshot.shared_with = shared;
        Ok(())
    }
}
