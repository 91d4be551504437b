//! Copying a snapshot, within a region or to another one.
//!
//! It does not know how the copy is waited for.
use serde_json::json;

use super::{
    rows::{parameters, text},
    wait::{Waiting, wait},
};
use crate::{
    client::Api,
    commands::{arguments::Format, failure::Failure},
};

/// What is to be copied, and how.
pub(super) struct Copy {
    pub(super) source: String,
    pub(super) target: String,
    pub(super) to: Option<String>,
    pub(super) kms_key_id: Option<String>,
    pub(super) copy_tags: bool,
}

/// The region of an ARN.
pub(super) fn region_of(arn: &str) -> Option<&str> {
    let region = arn.strip_prefix("arn:")?.split(':').nth(2)?;
    (!region.is_empty()).then_some(region)
}

pub(super) async fn copy(api: &Api, asked: Copy, waiting: &Waiting) -> Result<(), Failure> {
    let from = region_of(&asked.source).unwrap_or(api.region()).to_owned();
    let to = match (&asked.to, region_of(&asked.source)) {
        (Some(to), _) => to.clone(),
        // An ARN may be of another region than the one that the caller works in, and is copied into that.
        (None, Some(_)) => api.region().to_owned(),
        (None, None) => from.clone(),
    };
    let mut source = asked.source.clone();
    let mut presigned = None;
    if from != to {
        if region_of(&source).is_none() {
            let id = parameters([("DBClusterSnapshotIdentifier", json!(source))]);
            let found = api.call(&from, "DescribeDBClusterSnapshots", id).await?;
            source = text(&found["items"][0], "DBClusterSnapshotArn").to_owned();
        }
        let mut signed = vec![
            ("SourceDBClusterSnapshotIdentifier", source.as_str()),
            ("TargetDBClusterSnapshotIdentifier", asked.target.as_str()),
            ("DestinationRegion", to.as_str()),
        ];
        if let Some(key) = &asked.kms_key_id {
            signed.push(("KmsKeyId", key));
        }
        presigned = Some(api.presigned(&from, "CopyDBClusterSnapshot", &signed)?);
    }
    let made = parameters([
        ("SourceDBClusterSnapshotIdentifier", json!(source)),
        ("TargetDBClusterSnapshotIdentifier", json!(asked.target)),
        ("KmsKeyId", json!(asked.kms_key_id)),
        ("CopyTags", json!(asked.copy_tags.then_some(true))),
        ("PreSignedUrl", json!(presigned)),
    ]);
    let copy = api.call(&to, "CopyDBClusterSnapshot", made).await?;
    if waiting.format == Format::Text {
        let key = match text(&copy, "KmsKeyId") {
            "" => "unencrypted".to_owned(),
            key => format!("under {key}"),
        };
        eprintln!("copying {source} to {to}, {key}");
    }
    wait(api, &to, &asked.target, waiting).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_read_of_an_arn_alone() {
        let arn = "arn:aws:rds:eu-west-1:123456789012:cluster-snapshot:x";
        assert_eq!(region_of(arn), Some("eu-west-1"));
        assert_eq!(region_of("arn:aws:rds::1:cluster-snapshot:x"), None);
        assert_eq!(region_of("rds:cluster-2026-01-01-00-00"), None);
    }
}
