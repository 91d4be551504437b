//! `DescribeDBClusterAutomatedBackups`: of clusters that are there, and of deleted ones that left
//! theirs behind.
//!
//! Source: API_DescribeDBClusterAutomatedBackups.
use catalog::{CatalogError, CatalogExt, Tx, clusters, instances, keyed};
use model::{Account, Cluster, Region, RestoreWindow, RetainedBackup};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::{ClusterRef, DbClusterAutomatedBackup, Filter, Page, Standing},
};
use service::{
    context::ServiceContext,
    fault::{Code, Fault},
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDbClusterAutomatedBackups {
    db_cluster_resource_id: Option<String>,
    #[serde(rename = "DBClusterIdentifier")]
    cluster: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_records: Option<i64>,
    marker: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AutomatedBackups {
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    #[serde(rename = "DBClusterAutomatedBackups")]
    backups: Vec<DbClusterAutomatedBackup>,
}

impl Output for AutomatedBackups {
    const LAYOUT: Layout = Layout::Page("DBClusterAutomatedBackups");

    fn label(&self) -> Label {
        Label::Page {
            next: self.marker.clone(),
        }
    }
}

const FILTERS: &[(&str, &str)] = &[
    ("status", "Statuses"),
    ("db-cluster-id", "DB Cluster Identifiers"),
    ("db-cluster-resource-id", "DB Cluster Resource Identifiers"),
];

impl Action for DescribeDbClusterAutomatedBackups {
    const NAME: &'static str = "DescribeDBClusterAutomatedBackups";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = AutomatedBackups;

    async fn run(self, cx: &ActionContext) -> Result<AutomatedBackups, Fault> {
        let page: Page<(String, usize)> = Page::read(self.max_records, self.marker.as_deref())?;
        Filter::check(&self.filters, FILTERS)?;
        let named = self.cluster.as_deref();
        let named = named.map(|name| ClusterRef::asked("DBClusterIdentifier", name, cx));
        let named = named.transpose()?;
        let (region, account) = (cx.region.clone(), cx.caller.account.clone());
        // An account has tens of clusters at most (the quota), and as many that left theirs behind.
        let limit = cx.service.settings.clusters_max + 1;
        let read = move |tx: &mut dyn Tx| all(tx, &region, &account, limit);
        let mut found = cx.service.catalog.read(read).await?;
        found.retain(|one| {
            let id = self.db_cluster_resource_id.as_deref();
            id.is_none_or(|id| one.is_of(id))
                && named.as_ref().is_none_or(|named| one.is_named(named))
        });
        if found.is_empty()
            && let Some(given) = self
                .db_cluster_resource_id
                .as_ref()
                .or(self.cluster.as_ref())
        {
            return Err(missing(given));
        }
        found.retain(|one| self.filters.iter().all(|filter| one.passes(filter)));
        let (found, marker) = page.cut(found, |one| one.cluster().resource_id.to_string());
        Ok(AutomatedBackups {
            marker,
            backups: found
                .iter()
                .map(|one| one.shape().with_window(one.window(&cx.service)))
                .collect(),
        })
    }
}

/// What RDS says of automated backups that are not there.
pub(super) fn missing(given: &str) -> Fault {
    let shown: String = model::limits::echo(given);
    Fault::new(
        Code::DbClusterAutomatedBackupNotFound,
        format!("DBClusterAutomatedBackup {shown} not found."),
    )
}

/// A cluster's automated backups.
pub(super) enum Found {
    /// Its own, and its port once it has a place.
    Active(Box<Cluster>, Option<u16>),
    /// Those it left behind.
    Retained(Box<RetainedBackup>),
}

impl Found {
    fn cluster(&self) -> &Cluster {
        match self {
            Self::Active(cluster, _) => cluster,
            Self::Retained(backup) => &backup.cluster,
        }
    }

    fn standing(&self) -> Standing {
        match self {
            Self::Active(..) => Standing::Active,
            Self::Retained(backup) => Standing::of(backup),
        }
    }

    /// The moments that it restores.
    fn window(&self, context: &ServiceContext) -> Option<RestoreWindow> {
        match self {
            Self::Active(cluster, _) => context.log_windows.of(cluster),
            Self::Retained(backup) => context.brought_windows.of(&backup.cluster),
        }
    }

    pub(super) fn shape(&self) -> DbClusterAutomatedBackup {
        match self {
            Self::Active(cluster, port) => DbClusterAutomatedBackup::active(cluster, *port),
            Self::Retained(backup) => DbClusterAutomatedBackup::retained(backup),
        }
    }

    /// Whether it is meant by its cluster's name for life, in any case, or by its own ARN.
    pub(super) fn is_of(&self, given: &str) -> bool {
        let cluster = self.cluster();
        let arn =
            model::retained_backup::arn(&cluster.region, &cluster.account, &cluster.resource_id);
        cluster.resource_id.as_str().eq_ignore_ascii_case(given) || arn.to_string() == given
    }

    fn is_named(&self, wanted: &ClusterRef) -> bool {
        wanted.arn() == self.cluster().arn()
    }

    fn passes(&self, filter: &Filter) -> bool {
        let cluster = self.cluster();
        filter
            .values
            .iter()
            .any(|value| match filter.name.as_str() {
                "status" => value == self.standing().as_str(),
                "db-cluster-id" => {
                    ClusterRef::read("Filters", value, &cluster.account, &cluster.region)
                        .is_ok_and(|wanted| self.is_named(&wanted))
                }
                _ => self.is_of(value) || *value == cluster.arn().to_string(),
            })
    }
}

/// All of an account's in a region, by the clusters' names for life.
pub(super) fn all(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    limit: usize,
) -> Result<Vec<Found>, CatalogError> {
    let mut found = Vec::new();
    for stored in clusters::list(tx, region, account, None, limit)? {
        let writer = instances::writer(tx, &stored.value.resource_id)?;
        let port = writer.map(|writer| writer.value.placement.port);
        found.push(Found::Active(Box::new(stored.value), port));
    }
    for stored in keyed::list::<RetainedBackup>(tx, region, &[account.as_str()], limit)? {
        found.push(Found::Retained(Box::new(stored.value)));
    }
    found.sort_by(|one, other| one.cluster().resource_id.cmp(&other.cluster().resource_id));
    Ok(found)
}
