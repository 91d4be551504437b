//! `ReplicateKey`: a multi-Region key's like in another region, of the same id and material.
use model::Region;
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::{
    checks, lookup,
    metadata::KeyMetadata,
    tags::{self, KmsTag, ShownTag},
};
use service::{
    fault::{Code, Fault},
    keys::NewReplica,
    keys::kms_fault,
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ReplicateKey {
    key_id: String,
    replica_region: String,
    policy: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
    description: Option<String>,
    #[serde(default)]
    tags: Vec<KmsTag>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Replicated {
    replica_key_metadata: KeyMetadata,
    replica_policy: String,
    replica_tags: Vec<ShownTag>,
}

impl Output for Replicated {}

impl Action for ReplicateKey {
    const NAME: &'static str = "ReplicateKey";
    const API: Api = Api::Kms;
    type Output = Replicated;

    async fn run(self, cx: &ActionContext) -> Result<Replicated, Fault> {
        let region = region(cx, "replicaRegion", &self.replica_region)?;
        if let Some(policy) = &self.policy {
            checks::policy(policy)?;
        }
        let tags = tags::tags(&self.tags)?;
        let primary = lookup::find_changeable(cx, &self.key_id, "kms:ReplicateKey").await?;
        checks::not_replica(&primary)?;
        let new = NewReplica {
            region,
            description: self.description.unwrap_or_default(),
            policy: self.policy,
            tags,
        };
        if let Some(policy) = &new.policy {
            let draft = model::Key {
                policy: policy.clone(),
                region: new.region.clone(),
                ..primary.clone()
            };
            let bypass = self.bypass_policy_lockout_safety_check;
            checks::not_locked_out(&draft, &cx.caller.account, bypass)?;
        }
        let replica = cx.service.kms.replicate(&primary.arn(), new).await?;
        let family = cx.service.kms.family(&replica).await.map_err(kms_fault)?;
        Ok(Replicated {
            replica_key_metadata: KeyMetadata::of(&replica, &family),
            replica_tags: replica.tags.iter().map(ShownTag::of).collect(),
            replica_policy: replica.policy,
        })
    }
}

/// A region that a multi-Region key can have a like in: one that this deployment hosts, in the
/// partition of the one that is asked.
pub(super) fn region(cx: &ActionContext, member: &str, text: &str) -> Result<Region, Fault> {
    let settings = &cx.service.settings;
    let region = text.parse::<Region>().ok();
    let region = region
        .filter(|region| settings.knows(region))
        .ok_or_else(|| {
            checks::bound(
                text,
                member,
                "satisfy regular expression pattern: ^([a-z]+-){2,3}\\d+$",
            )
        })?;
    if let Some(peer) = settings.peers.get(&region) {
        return Err(Fault::new(
            Code::KmsUnsupported,
            format!(
                "{region} is hosted by another deployment, {}: key material does not leave a \
                 deployment, so a multi-Region key has likes only in regions of its own. Copies \
                 of snapshots to {region} take any key of it.",
                peer.endpoint
            ),
        ));
    }
    if region.partition() != cx.region.partition() {
        return Err(Fault::new(
            Code::KmsUnsupported,
            format!(
                "{region} is in the partition {}, and the key in {}.",
                region.partition(),
                cx.region.partition()
            ),
        ));
    }
    Ok(region)
}
