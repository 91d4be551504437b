//! `CreateBackupVault`.
use catalog::{CatalogExt, keyed};
use model::{
    Arn, ArnKind, BackupVault, backup_vault::DEFAULT, limits::BACKUP_VAULTS_MAX as VAULTS_MAX,
};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    backup::{
        faults,
        tags::{self, TagMap},
        vaults,
    },
    keys::metadata::seconds,
};
use service::{
    events::{self, backup::Change},
    fault::{Code, Fault},
    keys::RdsUse,
};

/// What a CreatorRequestId has at most (the model).
const REQUEST_ID_CHARS_MAX: usize = 50;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateBackupVault {
    backup_vault_name: String,
    #[serde(default)]
    backup_vault_tags: TagMap,
    encryption_key_arn: Option<String>,
    creator_request_id: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Created {
    backup_vault_name: String,
    backup_vault_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_date: Option<f64>,
}

impl Output for Created {}

impl Action for CreateBackupVault {
    const NAME: &'static str = "CreateBackupVault";
    const API: Api = Api::Backup;
    type Output = Created;

    async fn run(self, cx: &ActionContext) -> Result<Created, Fault> {
        let name = vaults::name(&self.backup_vault_name)?;
        request_id(self.creator_request_id.as_deref())?;
        let new = BackupVault {
            region: cx.region.clone(),
            account: cx.caller.account.clone(),
            name,
            created_at: Some(cx.service.now()),
            kms_key: Some(key(cx, self.encryption_key_arn.as_deref()).await?),
            creator_request_id: self.creator_request_id,
            policy: None,
            lock: None,
            tags: tags::records(&self.backup_vault_tags)?,
        };
        let kept = cx.service.catalog.write(move |tx| {
            let (region, account) = (&new.region, &new.account);
            let all = keyed::list::<BackupVault>(tx, region, &[account.as_str()], usize::MAX)?;
            let mut all = all.into_iter().map(|stored| stored.value);
            let count = all.len();
            if let Some(there) = all.find(|one| one.name == new.name) {
                return again(there, &new);
            }
            if new.name.as_str() == DEFAULT {
                return again(BackupVault::default_of(region, account), &new);
            }
            if VAULTS_MAX <= count {
                return Err(faults::limit(
                    new.name.as_str(),
                    format!("An account has at most {VAULTS_MAX} backup vaults in a region."),
                ));
            }
            let made = keyed::insert(tx, new.clone())?.value;
            events::backup::vault(tx, &made, Change::Created)?;
            Ok(made)
        });
        let kept = kept.await?;
        Ok(Created {
            backup_vault_name: kept.name.to_string(),
            backup_vault_arn: kept.arn().to_string(),
            creation_date: kept.created_at.map(seconds),
        })
    }
}

/// A request that was made before is answered as it was then; another one of its name is refused.
fn again(there: BackupVault, new: &BackupVault) -> Result<BackupVault, Fault> {
    let same = new.creator_request_id.is_some()
        && there.creator_request_id == new.creator_request_id
        && there.kms_key == new.kms_key;
    match same {
        true => Ok(there),
        false => Err(faults::exists(
            &there.arn().to_string(),
            there.creator_request_id.as_deref(),
            there.name.as_str(),
        )),
    }
}

fn request_id(given: Option<&str>) -> Result<(), Fault> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match given {
        Some(id) if REQUEST_ID_CHARS_MAX < id.len() || !id.chars().all(legal) => {
            Err(faults::invalid(
                "CreatorRequestId",
                "CreatorRequestId has 1 to 50 letters, digits, hyphens, underscores and periods.",
            ))
        }
        _ => Ok(()),
    }
}

/// The key of what is copied into the vault: the one that is named, else the account's default one.
async fn key(cx: &ActionContext, given: Option<&str>) -> Result<Arn, Fault> {
    let user = RdsUse::new(&*cx.service.keys, &cx.caller.account, &cx.region);
    let found = match given {
        None => user.default_key().await,
        Some(given) => {
            let arn = Arn::parse(given).ok();
            let located = arn.as_ref().and_then(|arn| arn.locate(ArnKind::Key));
            if located.is_none_or(|key| *key.region != cx.region) {
                return Err(faults::invalid(
                    given,
                    format!(
                        "EncryptionKeyArn must be the ARN of a KMS key in {}, not {}.",
                        cx.region,
                        faults::shown(given)
                    ),
                ));
            }
            user.target(given).await
        }
    };
    found
        .map(|key| key.arn())
        .map_err(|fault| match fault.code {
            Code::KmsKeyNotAccessible | Code::InvalidParameterCombination => faults::invalid(
                "EncryptionKeyArn",
                fault.message.replace("KmsKeyId", "EncryptionKeyArn"),
            ),
            _ => fault,
        })
}
