//! `DescribeDBClusterSnapshots`.
//!
//! Source: API_DescribeDBClusterSnapshots. Rows come in the order of account and name, so
//! that pages neither repeat nor skip rows when others come or go between them.
use catalog::{
    CatalogExt,
    snapshots::{self, After, NameFilter, Selection},
};
use model::{Account, ClusterName, Snapshot, SnapshotKind, SnapshotName};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::{ClusterRef, DbClusterSnapshot, Filter, Page, Ref, ResourceName, SnapshotRef},
};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDbClusterSnapshots {
    #[serde(rename = "DBClusterIdentifier")]
    cluster: Option<String>,
    #[serde(rename = "DBClusterSnapshotIdentifier")]
    snapshot: Option<String>,
    snapshot_type: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_records: Option<i64>,
    marker: Option<String>,
    include_shared: Option<bool>,
    include_public: Option<bool>,
    db_cluster_resource_id: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Snapshots {
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    #[serde(rename = "DBClusterSnapshots")]
    snapshots: Vec<DbClusterSnapshot>,
}

impl Output for Snapshots {
    const LAYOUT: Layout = Layout::Page("DBClusterSnapshots");

    fn label(&self) -> Label {
        Label::Page {
            next: self.marker.clone(),
        }
    }
}

const FILTERS: &[(&str, &str)] = &[
    ("db-cluster-id", "DB Cluster Identifiers"),
    ("db-cluster-snapshot-id", "DB Cluster Snapshot Identifiers"),
    ("snapshot-type", "Snapshot Types"),
    ("engine", "Engine Names"),
];

impl Action for DescribeDbClusterSnapshots {
    const NAME: &'static str = "DescribeDBClusterSnapshots";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = Snapshots;

    async fn run(self, cx: &ActionContext) -> Result<Snapshots, Fault> {
        let page: Page<After> = Page::read(self.max_records, self.marker.as_deref())?;
        Filter::check(&self.filters, FILTERS)?;
        if let Some(given) = &self.snapshot {
            return self.one(cx, given).await;
        }
        let Some(selection) = self.selection(cx)? else {
            return Ok(Snapshots {
                marker: None,
                snapshots: Vec::new(),
            });
        };
        let (region, rows) = (cx.region.clone(), page.rows);
        let mut found = cx
            .service
            .catalog
            .read(move |tx| snapshots::page(tx, &region, &selection, page.after.as_ref(), rows + 1))
            .await?;
        let marker = (rows < found.len()).then(|| {
            let last = &found[rows - 1].value;
            Page::<After>::marker(&(last.account.clone(), last.name.clone()))
        });
        found.truncate(rows);
        let public = self.snapshot_type.as_deref() == Some("public");
        let snapshots = found
            .iter()
            .map(|row| self.shape(cx, &row.value, public))
            .collect();
        Ok(Snapshots { marker, snapshots })
    }
}

impl DescribeDbClusterSnapshots {
    /// An owner who asks for public snapshots sees the own ones among them as such.
    fn shape(&self, cx: &ActionContext, snapshot: &Snapshot, public: bool) -> DbClusterSnapshot {
        let shape = DbClusterSnapshot::seen_by(snapshot, &cx.caller.account);
        if public { shape.among_public() } else { shape }
    }

    /// The one snapshot that is named: the caller's, or one shared with it by its ARN.
    async fn one(&self, cx: &ActionContext, given: &str) -> Result<Snapshots, Fault> {
        let wanted = SnapshotRef::asked("DBClusterSnapshotIdentifier", given, cx)?;
        let (caller, region) = (cx.caller.account.clone(), cx.region.clone());
        let missing = wanted.not_found();
        let found = cx
            .service
            .catalog
            .point_read(move |tx| wanted.get(tx))
            .await?
            .map(|stored| stored.value)
            .filter(|snapshot| snapshot.region == region && snapshot.is_open_to(&caller));
        let snapshot = found.ok_or(missing)?;
        // The other parameters narrow it further.
        let selection = self.selection(cx)?;
        let shown = selection.is_some_and(|selection| {
            self.in_scope(&snapshot, &caller) && passes(&snapshot, &selection)
        });
        let public = self.snapshot_type.as_deref() == Some("public");
        let snapshots = shown
            .then(|| self.shape(cx, &snapshot, public))
            .into_iter()
            .collect();
        Ok(Snapshots {
            marker: None,
            snapshots,
        })
    }

    /// Whether a snapshot that the caller may see is of the type asked for. One that is named
    /// by its ARN needs no Include flag.
    fn in_scope(&self, snapshot: &Snapshot, caller: &Account) -> bool {
        let is_to = |grantee: &str| snapshot.shared_with.iter().any(|to| to == grantee);
        let mine = snapshot.account == *caller;
        match self.snapshot_type.as_deref() {
            None => true,
            Some("shared") => !mine && is_to(caller.as_str()),
            Some("public") => is_to("all"),
            // The kind itself is among the selection's filters.
            Some(_) => mine,
        }
    }

    /// What is asked for; none when nothing can match.
    fn selection(&self, cx: &ActionContext) -> Result<Option<Selection>, Fault> {
        let account = &cx.caller.account;
        let (shared, public) = (
            self.include_shared.unwrap_or(false),
            self.include_public.unwrap_or(false),
        );
        let mut selection = Selection::default();
        match self.snapshot_type.as_deref() {
            None => {
                selection.owned_by = Some(account.clone());
                selection.shared_with = shared.then(|| account.clone());
                selection.public = public;
            }
            Some("manual") => {
                selection.owned_by = Some(account.clone());
                selection.kinds = vec![SnapshotKind::Manual];
            }
            Some("automated") => {
                selection.owned_by = Some(account.clone());
                selection.kinds = vec![SnapshotKind::Automated];
            }
            Some("awsbackup") => {
                selection.owned_by = Some(account.clone());
                selection.kinds = vec![SnapshotKind::Backup];
            }
            Some("shared") => selection.shared_with = Some(account.clone()),
            Some("public") => selection.public = true,
            // RDS answers nonsense with nothing.
            Some(_) => return Ok(None),
        }
        if let Some(cluster) = &self.cluster {
            match ClusterRef::asked("DBClusterIdentifier", cluster, cx)?.filter(&cx.region) {
                Some(wanted) => selection.clusters = vec![wanted],
                None => return Ok(None),
            }
        }
        if let Some(id) = &self.db_cluster_resource_id {
            match id.parse() {
                Ok(id) => selection.resource_id = Some(id),
                Err(_) => return Ok(None),
            }
        }
        for filter in &self.filters {
            if !narrow(&mut selection, filter, cx) {
                return Ok(None);
            }
        }
        Ok(Some(selection))
    }
}

/// Lays one filter over the selection; false when nothing can match any more.
fn narrow(selection: &mut Selection, filter: &Filter, cx: &ActionContext) -> bool {
    match filter.name.as_str() {
        "db-cluster-id" => meet(&mut selection.clusters, wanted::<ClusterName>(filter, cx)),
        "db-cluster-snapshot-id" => meet(&mut selection.names, wanted::<SnapshotName>(filter, cx)),
        "engine" => {
            let values = &filter.values;
            match selection.engines.is_empty() {
                true => selection.engines.clone_from(values),
                false => selection.engines.retain(|have| values.contains(have)),
            }
            !selection.engines.is_empty()
        }
        _ => {
            let asked =
                |kind: &SnapshotKind| filter.values.iter().any(|value| value == kind.as_str());
            let have = match selection.kinds.is_empty() {
                true => SnapshotKind::ALL.to_vec(),
                false => selection.kinds.clone(),
            };
            selection.kinds = have.into_iter().filter(asked).collect();
            !selection.kinds.is_empty()
        }
    }
}

/// What a filter's values name in the called region; what can be no name there is nothing.
fn wanted<N: ResourceName>(filter: &Filter, cx: &ActionContext) -> Vec<NameFilter> {
    let read = |value: &String| {
        Ref::<N>::asked("Filters", value, cx)
            .ok()?
            .filter(&cx.region)
    };
    filter.values.iter().filter_map(read).collect()
}

/// Leaves what passes both lists; false when nothing does.
fn meet(have: &mut Vec<NameFilter>, values: Vec<NameFilter>) -> bool {
    *have = match have.as_slice() {
        [] => values,
        before => before
            .iter()
            .flat_map(|one| values.iter().filter_map(|other| one.and(other)))
            .collect(),
    };
    !have.is_empty()
}

fn passes(snapshot: &Snapshot, selection: &Selection) -> bool {
    let among = |values: &[NameFilter], value: &str| {
        values.is_empty()
            || values
                .iter()
                .any(|one| one.passes(&snapshot.account, value))
    };
    let engines = &selection.engines;
    (selection.kinds.is_empty() || selection.kinds.contains(&snapshot.kind))
        && selection
            .resource_id
            .as_ref()
            .is_none_or(|id| *id == snapshot.cluster_resource_id)
        && among(&selection.names, snapshot.name.as_str())
        && among(&selection.clusters, snapshot.cluster_name.as_str())
        && (engines.is_empty() || engines.contains(&snapshot.engine))
}
