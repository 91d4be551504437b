//! What a request is about, by the names of its parameters: for records of requests.
//!
//! It does not know whether any of it exists.
use audit::Resource;
use model::{Account, Arn, Region};
use serde_json::Value;

/// How a name becomes an ARN.
#[derive(Clone, Copy)]
enum Spelling {
    /// `arn:…:rds:…:KIND:NAME`.
    Rds(&'static str),
    /// `arn:…:kms:…:key/ID`, unless it is an alias's name.
    Key,
    /// `arn:…:SERVICE:…:KIND:NAME`.
    Of(&'static str, &'static str),
    /// As it is given.
    AsGiven,
}

const CLUSTER: (&str, Spelling) = ("AWS::RDS::DBCluster", Spelling::Rds("cluster"));
const SNAPSHOT: (&str, Spelling) = (
    "AWS::RDS::DBClusterSnapshot",
    Spelling::Rds("cluster-snapshot"),
);
const KEY: (&str, Spelling) = ("AWS::KMS::Key", Spelling::Key);

/// Members that name a resource, each with its kind.
const MEMBERS: &[(&str, (&str, Spelling))] = &[
    ("DBClusterIdentifier", CLUSTER),
    ("NewDBClusterIdentifier", CLUSTER),
    ("SourceDBClusterIdentifier", CLUSTER),
    ("DBClusterSnapshotIdentifier", SNAPSHOT),
    ("SourceDBClusterSnapshotIdentifier", SNAPSHOT),
    ("TargetDBClusterSnapshotIdentifier", SNAPSHOT),
    ("SnapshotIdentifier", SNAPSHOT),
    ("FinalDBSnapshotIdentifier", SNAPSHOT),
    (
        "DBInstanceIdentifier",
        ("AWS::RDS::DBInstance", Spelling::Rds("db")),
    ),
    (
        "TargetDBInstanceIdentifier",
        ("AWS::RDS::DBInstance", Spelling::Rds("db")),
    ),
    (
        "DBSubnetGroupName",
        ("AWS::RDS::DBSubnetGroup", Spelling::Rds("subgrp")),
    ),
    (
        "DBClusterParameterGroupName",
        (
            "AWS::RDS::DBClusterParameterGroup",
            Spelling::Rds("cluster-pg"),
        ),
    ),
    (
        "DBParameterGroupName",
        ("AWS::RDS::DBParameterGroup", Spelling::Rds("pg")),
    ),
    (
        "SubscriptionName",
        ("AWS::RDS::EventSubscription", Spelling::Rds("es")),
    ),
    ("KeyId", KEY),
    ("KmsKeyId", KEY),
    ("TargetKeyId", KEY),
    ("SourceKeyId", KEY),
    ("DestinationKeyId", KEY),
    ("AliasName", ("AWS::KMS::Alias", Spelling::Key)),
    (
        "SecretId",
        ("AWS::SecretsManager::Secret", Spelling::AsGiven),
    ),
    (
        "BackupVaultName",
        (
            "AWS::Backup::BackupVault",
            Spelling::Of("backup", "backup-vault"),
        ),
    ),
    (
        "BackupPlanId",
        (
            "AWS::Backup::BackupPlan",
            Spelling::Of("backup", "backup-plan"),
        ),
    ),
    (
        "RecoveryPointArn",
        ("AWS::Backup::RecoveryPoint", Spelling::AsGiven),
    ),
    ("RoleArn", ("AWS::IAM::Role", Spelling::AsGiven)),
    ("ResourceName", ("", Spelling::AsGiven)),
    ("ResourceArn", ("", Spelling::AsGiven)),
    ("ResourceARN", ("", Spelling::AsGiven)),
];
/// Members of answers that name what was made.
const MADE: &[(&str, &str)] = &[
    ("Arn", "AWS::KMS::Key"),
    ("BackupPlanArn", "AWS::Backup::BackupPlan"),
    ("RecoveryPointArn", "AWS::Backup::RecoveryPoint"),
];
/// Where answers have them.
const MADE_IN: [&str; 2] = ["KeyMetadata", "ReplicaKeyMetadata"];

/// What parameters name, of an account that asks in a region.
pub(crate) fn of(parameters: &Value, region: &Region, account: &Account) -> Vec<Resource> {
    let named = MEMBERS.iter().filter_map(|(member, (kind, spelling))| {
        let name = parameters
            .get(member)?
            .as_str()
            .filter(|name| !name.is_empty())?;
        let arn = match spelling {
            _ if name.starts_with("arn:") => name.to_owned(),
            Spelling::Rds(of) => Arn::rds(region, account, of, name).to_string(),
            Spelling::Key if name.starts_with("alias/") => {
                Arn::kms(region, account, name).to_string()
            }
            Spelling::Key => Arn::kms(region, account, &format!("key/{name}")).to_string(),
            Spelling::Of(service, of) => {
                let partition = region.partition();
                format!("arn:{partition}:{service}:{region}:{account}:{of}:{name}")
            }
            Spelling::AsGiven => name.to_owned(),
        };
        Some(resource(arn, kind, account))
    });
    named.collect()
}

/// What an answer says was made for an account.
pub(crate) fn made(answer: &Value, account: &Account) -> Vec<Resource> {
    let places = MADE_IN.iter().filter_map(|name| answer.get(name));
    let places = places.chain([answer]);
    let named = places.flat_map(|place| {
        MADE.iter().filter_map(|(member, kind)| {
            let arn = place.get(member)?.as_str()?;
            Some(resource(arn.to_owned(), kind, account))
        })
    });
    named.collect()
}

fn resource(arn: String, kind: &'static str, account: &Account) -> Resource {
    let whose = Arn::parse(&arn).map_or_else(|_| account.clone(), |arn| arn.account);
    Resource {
        account_id: whose.to_string(),
        r#type: match kind {
            "" => kind_of(&arn),
            kind => kind,
        },
        arn,
    }
}

/// The kind of what an ARN names; empty where it is none of ours.
fn kind_of(arn: &str) -> &'static str {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, resource) = (parts.next(), parts.nth(2));
    let (Some(service), Some(resource)) = (service, resource) else {
        return "";
    };
    let kind = resource.split([':', '/']).next();
    let spelled = MEMBERS.iter().find(|(_, (_, spelling))| match spelling {
        Spelling::Rds(of) => service == "rds" && kind == Some(of),
        Spelling::Key => service == "kms" && kind == Some("key"),
        Spelling::Of(by, of) => service == *by && kind == Some(of),
        Spelling::AsGiven => false,
    });
    spelled.map_or("", |(_, (kind, _))| kind)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_arns_are_told_with_their_kind() {
        let region: Region = "eu-west-1".parse().expect("a region");
        let account: Account = "111122223333".parse().expect("an account");
        let told = |parameters: Value| {
            let all = of(&parameters, &region, &account);
            let each = all
                .into_iter()
                .map(|one| (one.arn, one.account_id, one.r#type));
            each.collect::<Vec<_>>()
        };
        let other = "arn:aws:rds:eu-west-1:444455556666:cluster-snapshot:theirs";
        let mine = "arn:aws:rds:eu-west-1:111122223333:cluster-snapshot:mine";
        let parameters = json!({
            "SourceDBClusterSnapshotIdentifier": other,
            "TargetDBClusterSnapshotIdentifier": "mine",
            "KmsKeyId": "",
        });
        let kind = "AWS::RDS::DBClusterSnapshot";
        assert_eq!(
            told(parameters),
            [
                (other.to_owned(), "444455556666".to_owned(), kind),
                (mine.to_owned(), "111122223333".to_owned(), kind),
            ]
        );
        let tagged = told(json!({ "ResourceName": other }));
        assert_eq!(tagged[0].2, kind);
        let made = made(
            &json!({"KeyMetadata": {"Arn": "arn:aws:kms:eu-west-1:111122223333:key/k"}}),
            &account,
        );
        assert_eq!(made[0].r#type, "AWS::KMS::Key");
    }
}
