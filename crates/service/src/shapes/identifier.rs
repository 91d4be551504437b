//! Identifiers as callers spell them: names, ARNs, and what to say when they are neither.
use model::{Account, Arn, ClusterName, NameError, Region, SnapshotName, limits::ECHO_CHARS_MAX};

use crate::fault::Fault;

fn name_fault(parameter: &str, value: &str, error: NameError) -> Fault {
    match error {
        NameError::Blank => Fault::value(format!(
            "The parameter {parameter} must be provided and must not be blank."
        )),
        // Two spaces, as RDS has them.
        NameError::BadStart if parameter.contains("Snapshot") => Fault::value(format!(
            "Invalid snapshot identifier:  {}",
            value.chars().take(ECHO_CHARS_MAX).collect::<String>()
        )),
        NameError::BadStart | NameError::Malformed => Fault::value(format!(
            "The parameter {parameter} is not a valid identifier. Identifiers must begin with a letter; \
             must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or \
             contain two consecutive hyphens."
        )),
    }
}

/// Reads a name for a new cluster.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn cluster_name(parameter: &str, value: &str) -> Result<ClusterName, Fault> {
    ClusterName::parse(value).map_err(|error| name_fault(parameter, value, error))
}

/// Reads a name for a new manual snapshot.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn manual_snapshot(parameter: &str, value: &str) -> Result<SnapshotName, Fault> {
    SnapshotName::parse_manual(value).map_err(|error| name_fault(parameter, value, error))
}

/// Reads a name for a final snapshot.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn final_snapshot(parameter: &str, value: &str) -> Result<SnapshotName, Fault> {
    SnapshotName::parse_final(value).map_err(|error| name_fault(parameter, value, error))
}

/// Reads the name or ARN of a cluster that may exist here.
///
/// # Errors
/// `InvalidParameterValue` for what is neither.
pub fn existing_cluster(parameter: &str, value: &str) -> Result<ClusterName, Fault> {
    let name = match Arn::parse(value) {
        Ok(arn) if arn.service == "rds" => arn.name_of("cluster").map(str::to_owned),
        Ok(_) => None,
        Err(_) => Some(value.to_owned()),
    };
    cluster_name(parameter, name.as_deref().unwrap_or(":"))
}

/// Which snapshot a caller means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRef {
    /// The region it is in.
    pub region: Region,
    /// The account that owns it.
    pub account: Account,
    /// Its name.
    pub name: SnapshotName,
    /// Whether the caller gave an ARN; a foreign snapshot is only found by one.
    pub by_arn: bool,
    /// As the caller spelled it, for faults.
    pub given: String,
}

/// Reads a snapshot's name (the caller's own, in the called region) or ARN.
///
/// # Errors
/// `InvalidParameterValue` for what is neither, or an ARN of another kind.
pub fn snapshot_ref(
    parameter: &str,
    value: &str,
    caller: &Account,
    region: &Region,
) -> Result<SnapshotRef, Fault> {
    let given = value.chars().take(ECHO_CHARS_MAX).collect();
    if !value.to_ascii_lowercase().starts_with("arn:") {
        let name = SnapshotName::parse_existing(value)
            .map_err(|error| name_fault(parameter, value, error))?;
        return Ok(SnapshotRef {
            region: region.clone(),
            account: caller.clone(),
            name,
            by_arn: false,
            given,
        });
    }
    let malformed = || name_fault(parameter, value, NameError::Malformed);
    let arn = Arn::parse(value).map_err(|_| malformed())?;
    let name = (arn.service == "rds")
        .then(|| arn.name_of("cluster-snapshot"))
        .flatten()
        .and_then(|name| SnapshotName::parse_existing(name).ok())
        .ok_or_else(malformed)?;
    Ok(SnapshotRef {
        region: arn.region,
        account: arn.account,
        name,
        by_arn: true,
        given,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_named_by_name_or_arn() {
        let (caller, region): (Account, Region) = (
            "123456789012".parse().expect("digits"),
            "us-west-2".parse().expect("a region"),
        );
        let read = |value| snapshot_ref("P", value, &caller, &region);
        assert_eq!(read("S1").expect("a name").name.as_str(), "s1");
        let foreign =
            read("arn:aws:rds:us-east-1:210987654321:cluster-snapshot:rds:C-2019-06-04-09-16")
                .expect("an ARN");
        assert_eq!(foreign.name.as_str(), "rds:c-2019-06-04-09-16");
        assert_eq!(foreign.region.as_str(), "us-east-1");
        assert!(foreign.by_arn);
        for wrong in [
            "",
            "a:b",
            "arn:aws:rds:us-east-1:210987654321:snapshot:x",
            "arn:aws:kms:us-east-1:210987654321:cluster-snapshot:x",
            "arn:aws:rds:us-east-1:2:cluster-snapshot:x",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
