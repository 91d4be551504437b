//! The caller's resources of a region in one order: keys, clusters, snapshots, instances, what is
//! around clusters, and backup vaults, each by name. A place in that order is what a `PaginationToken` holds.
use catalog::{
    CatalogError, CatalogExt, Tx, clusters, instances, keyed, keys,
    snapshots::{self, Selection},
};
use data_encoding::BASE64URL_NOPAD;
use model::{
    Account, Arn, ArnKind, BackupPlan, BackupVault, ClusterName, GroupScope, KeyManager,
    ParameterGroup, Region, SnapshotName, SubnetGroup, Subscription, Tag,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{action::ActionContext, shapes::groups::Named};
use service::fault::{Code, Fault};

/// Rows that are read at once.
const BATCH: usize = 100;
/// A longer text is no token of ours.
const TOKEN_CHARS_MAX: usize = 2_048;

/// A resource and its tags.
#[derive(Debug, Clone)]
pub(crate) struct Tagged {
    pub(crate) arn: Arn,
    pub(crate) tags: Vec<Tag>,
    place: Place,
}

impl Tagged {
    /// Where the walk goes on behind it.
    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }
}

/// Behind the resource of this kind and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    kind: u8,
    after: String,
}

/// The kinds, in the order of the walk.
const KINDS: [ArnKind; 10] = [
    ArnKind::Key,
    ArnKind::Cluster,
    ArnKind::ClusterSnapshot,
    ArnKind::Instance,
    ArnKind::SubnetGroup,
    ArnKind::ClusterParameterGroup,
    ArnKind::ParameterGroup,
    ArnKind::Subscription,
    ArnKind::BackupVault,
    ArnKind::BackupPlan,
];

/// The type that callers filter by.
pub(crate) fn type_of(kind: ArnKind) -> &'static str {
    match kind {
        ArnKind::Key | ArnKind::Alias => "kms:key",
        ArnKind::Cluster => "rds:cluster",
        ArnKind::ClusterSnapshot => "rds:cluster-snapshot",
        ArnKind::Instance => "rds:db",
        ArnKind::SubnetGroup => "rds:subgrp",
        ArnKind::ClusterParameterGroup => "rds:cluster-pg",
        ArnKind::ParameterGroup => "rds:pg",
        ArnKind::Subscription => "rds:es",
        ArnKind::Secret => "secretsmanager:secret",
        ArnKind::BackupVault => "backup:backup-vault",
        ArnKind::BackupPlan => "backup:backup-plan",
    }
}

/// `PaginationToken` of a place; AWS has an empty one at the end.
pub(crate) fn token<T: Serialize>(place: Option<&T>) -> String {
    place.map_or_else(String::new, |place| {
        BASE64URL_NOPAD.encode(&serde_json::to_vec(place).expect("places serialize to JSON"))
    })
}

/// Reads a `PaginationToken`; an empty one is none.
pub(crate) fn read_token<T: DeserializeOwned>(token: Option<&str>) -> Result<Option<T>, Fault> {
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return Ok(None);
    };
    let read = || {
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    (token.len() <= TOKEN_CHARS_MAX)
        .then(read)
        .flatten()
        .map(Some)
        .ok_or_else(|| {
            Fault::new(
                Code::TaggingTokenExpired,
                "The PaginationToken is not one that this action returned.",
            )
        })
}

/// The caller's tagged resources in the asked region behind a place, of some kinds: the next
/// batch, and where the walk goes on; none when it has ended.
pub(crate) async fn batch(
    cx: &ActionContext,
    from: Option<Place>,
    wanted: impl Fn(ArnKind) -> bool,
) -> Result<(Vec<Tagged>, Option<Place>), Fault> {
    let from = from.unwrap_or(Place {
        kind: 0,
        after: String::new(),
    });
    let place = usize::from(from.kind);
    let Some(&kind) = KINDS.get(place) else {
        return Ok((Vec::new(), None));
    };
    let next_kind = (place + 1 < KINDS.len()).then(|| Place {
        kind: from.kind + 1,
        after: String::new(),
    });
    if !wanted(kind) {
        return Ok((Vec::new(), next_kind));
    }
    let (region, account, after) = (cx.region.clone(), cx.caller.account.clone(), from.after);
    let mut found = cx
        .service
        .catalog
        .read(move |tx| {
            Ok::<_, CatalogError>(match kind {
                ArnKind::Cluster => of_clusters(tx, &region, &account, &after)?,
                ArnKind::ClusterSnapshot => of_snapshots(tx, &region, &account, &after)?,
                ArnKind::Instance => of_instances(tx, &region, &account, &after)?,
                ArnKind::SubnetGroup => {
                    of_groups(tx, &region, &[account.as_str()], &after, SubnetGroup::arn)?
                }
                ArnKind::ClusterParameterGroup => {
                    let above = [account.as_str(), GroupScope::Cluster.as_str()];
                    of_groups(tx, &region, &above, &after, ParameterGroup::arn)?
                }
                ArnKind::ParameterGroup => {
                    let above = [account.as_str(), GroupScope::Instance.as_str()];
                    of_groups(tx, &region, &above, &after, ParameterGroup::arn)?
                }
                ArnKind::Subscription => {
                    of_groups(tx, &region, &[account.as_str()], &after, Subscription::arn)?
                }
                // No caller gives a secret tags.
                ArnKind::Secret => Vec::new(),
                ArnKind::BackupVault => {
                    of_groups(tx, &region, &[account.as_str()], &after, BackupVault::arn)?
                }
                // One that was deleted has none.
                ArnKind::BackupPlan => {
                    of_groups(tx, &region, &[account.as_str()], &after, BackupPlan::arn)?
                }
                ArnKind::Key | ArnKind::Alias => of_keys(tx, &region, &account, &after)?,
            })
        })
        .await?;
    let next = match found.last() {
        Some((name, ..)) if found.len() == BATCH => Some(Place {
            kind: from.kind,
            after: name.clone(),
        }),
        _ => next_kind,
    };
    found.retain(|(_, _, tags)| !tags.is_empty());
    let tagged = found.into_iter().map(|(name, arn, tags)| Tagged {
        arn,
        tags,
        place: Place {
            kind: from.kind,
            after: name,
        },
    });
    Ok((tagged.collect(), next))
}

type Row = (String, Arn, Vec<Tag>);

fn of_clusters(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    after: &str,
) -> Result<Vec<Row>, CatalogError> {
    let after = ClusterName::parse(after).ok();
    let rows = clusters::list(tx, region, account, after.as_ref(), BATCH)?;
    let row = |row: catalog::Stored<model::Cluster>| {
        (row.value.name.to_string(), row.value.arn(), row.value.tags)
    };
    Ok(rows.into_iter().map(row).collect())
}

fn of_instances(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    after: &str,
) -> Result<Vec<Row>, CatalogError> {
    let all = instances::list(tx, region, account)?;
    let named = all
        .into_iter()
        .map(|one| one.value)
        .filter(|one| one.name.is_some());
    let mut rows: Vec<Row> = named
        .map(|one| (one.arn_name().to_owned(), one.arn(), one.tags))
        .filter(|(name, ..)| after < name.as_str())
        .collect();
    rows.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    rows.truncate(BATCH);
    Ok(rows)
}

/// Of these an account has few.
fn of_groups<R: Named>(
    tx: &mut dyn Tx,
    region: &Region,
    above: &[&str],
    after: &str,
    arn: fn(&R) -> Arn,
) -> Result<Vec<Row>, CatalogError> {
    let rows = keyed::list::<R>(tx, region, above, usize::MAX)?;
    let behind = rows.into_iter().map(|row| row.value);
    let behind = behind.filter(|one| after < one.name()).take(BATCH);
    Ok(behind
        .map(|mut one| (one.name().to_owned(), arn(&one), std::mem::take(one.tags())))
        .collect())
}

fn of_snapshots(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    after: &str,
) -> Result<Vec<Row>, CatalogError> {
    let own = Selection {
        owned_by: Some(account.clone()),
        ..Selection::default()
    };
    let after = SnapshotName::parse_existing(after).ok();
    let after = after.map(|name| (account.clone(), name));
    let rows = snapshots::page(tx, region, &own, after.as_ref(), BATCH)?;
    let row = |row: catalog::Stored<model::Snapshot>| {
        (row.value.name.to_string(), row.value.arn(), row.value.tags)
    };
    Ok(rows.into_iter().map(row).collect())
}

fn of_keys(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    after: &str,
) -> Result<Vec<Row>, CatalogError> {
    let rows = keys::list(tx, region, account, Some(after), BATCH)?;
    let row = |row: catalog::Stored<model::Key>| {
        let key = row.value;
        // Keys that services manage are not tagged by their users, nor listed among theirs.
        let tags = match key.manager {
            KeyManager::Customer => key.tags.clone(),
            KeyManager::Aws => Vec::new(),
        };
        (key.id.clone(), key.arn(), tags)
    };
    Ok(rows.into_iter().map(row).collect())
}
