//! A change of the tags of several resources: each is changed for itself, and what could not be
//! is told by its ARN.
use std::collections::BTreeMap;

use model::{Arn, ArnKind, Tag, limits, tag};
use serde::Serialize;

use crate::{
    action::{ActionContext, Output},
    backup::{plans, vaults},
    keys::lookup as kms,
    shapes::tagged,
};
use service::fault::{Code, Fault};

/// Resources in one request.
const ARNS_MAX: usize = 20;

/// What is to become of the tags.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Add(Vec<Tag>),
    Remove(Vec<String>),
}

impl Change {
    fn apply(&self, tags: &mut Vec<Tag>) -> Result<(), Fault> {
        match self {
            Self::Add(added) => tag::merge(tags, added)
                .map_err(|error| Fault::new(Code::TaggingInvalidParameter, error.to_string())),
            Self::Remove(keys) => {
                tags.retain(|tag| !keys.contains(&tag.key));
                Ok(())
            }
        }
    }

    fn backup_action(&self) -> &'static str {
        match self {
            Self::Add(_) => "backup:TagResource",
            Self::Remove(_) => "backup:UntagResource",
        }
    }

    fn kms_action(&self) -> &'static str {
        match self {
            Self::Add(_) => "kms:TagResource",
            Self::Remove(_) => "kms:UntagResource",
        }
    }
}

/// Why a resource's tags could not be changed.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct FailureInfo {
    status_code: u16,
    error_code: &'static str,
    error_message: String,
}

impl FailureInfo {
    /// The model has one code for what the caller did wrong, and one for what the service did.
    fn of(fault: &Fault) -> Self {
        let ours = 500 <= fault.code.status();
        Self {
            status_code: if ours { 500 } else { 400 },
            error_code: if ours {
                "InternalServiceException"
            } else {
                Code::TaggingInvalidParameter.as_str()
            },
            error_message: fault.message.to_string(),
        }
    }
}

/// The answer: the resources whose tags stayed as they were; empty when all were changed.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Written {
    failed_resources_map: BTreeMap<String, FailureInfo>,
}

impl Output for Written {}

/// Changes the tags of each resource.
pub(crate) async fn each(
    cx: &ActionContext,
    arns: &[String],
    change: &Change,
) -> Result<Written, Fault> {
    if !(1..=ARNS_MAX).contains(&arns.len()) {
        return Err(Fault::new(
            Code::TaggingInvalidParameter,
            format!("ResourceARNList has 1 to {ARNS_MAX} ARNs."),
        ));
    }
    let mut failed_resources_map = BTreeMap::new();
    for arn in arns {
        if let Err(fault) = one(cx, arn, change).await {
            failed_resources_map.insert(arn.clone(), FailureInfo::of(&fault));
        }
    }
    Ok(Written {
        failed_resources_map,
    })
}

async fn one(cx: &ActionContext, text: &str, change: &Change) -> Result<(), Fault> {
    let kind = Arn::parse(text).ok().and_then(|arn| arn.kind());
    match kind {
        Some(
            ArnKind::Cluster
            | ArnKind::ClusterSnapshot
            | ArnKind::Instance
            | ArnKind::SubnetGroup
            | ArnKind::ClusterParameterGroup
            | ArnKind::ParameterGroup
            | ArnKind::Subscription,
        ) => {
            let resource = tagged::ResourceTags::parse(text, cx)?;
            let change = change.clone();
            tagged::change(cx, resource, move |tags| change.apply(tags)).await
        }
        Some(ArnKind::Key) if cx.service.outside_kms.is_some() => Err(Fault::new(
            Code::TaggingInvalidParameter,
            "The keys of this server are held by another KMS, and so are their tags.",
        )),
        Some(ArnKind::Key) => {
            let (action, change) = (change.kms_action(), change.clone());
            let changed = kms::change(cx, text, action, move |key, _| change.apply(&mut key.tags));
            changed.await.map(drop)
        }
        Some(ArnKind::BackupVault) => {
            let (action, change) = (change.backup_action(), change.clone());
            let changed = vaults::retag(cx, text, action, move |tags| change.apply(tags));
            changed.await
        }
        Some(ArnKind::BackupPlan) => {
            let change = change.clone();
            match plans::of_arn(cx, text)? {
                Some(plan) => plans::retag(cx, &plan, move |tags| change.apply(tags)).await,
                None => Err(plans::missing(text)),
            }
        }
        Some(ArnKind::Alias | ArnKind::Secret) | None => {
            let shown: String = limits::echo(text);
            Err(Fault::new(
                Code::TaggingInvalidParameter,
                format!(
                    "{shown} is not the ARN of a resource of RDS, a KMS key or a backup vault that is here."
                ),
            ))
        }
    }
}
