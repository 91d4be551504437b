//! `DescribeDBClusters`.
use catalog::{CatalogError, CatalogExt, Tx, clusters, instances};
use model::{Cluster, ClusterStatus, Instance};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::{ClusterRef, DbCluster, Filter, Page, groups},
};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDbClusters {
    #[serde(rename = "DBClusterIdentifier")]
    cluster: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_records: Option<i64>,
    marker: Option<String>,
    #[serde(rename = "IncludeShared")]
    _include_shared: Option<bool>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Clusters {
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    #[serde(rename = "DBClusters")]
    clusters: Vec<DbCluster>,
}

impl Output for Clusters {
    const LAYOUT: Layout = Layout::Page("DBClusters");

    fn label(&self) -> Label {
        Label::Page {
            next: self.marker.clone(),
        }
    }
}

/// Those that API_DescribeDBClusters documents.
const FILTERS: &[(&str, &str)] = &[
    ("clone-group-id", "Clone Group Identifiers"),
    ("db-cluster-id", "DB Cluster Identifiers"),
    ("db-cluster-resource-id", "DB Cluster Resource Identifiers"),
    ("domain", "Domains"),
    ("engine", "Engine Names"),
];

impl Action for DescribeDbClusters {
    const NAME: &'static str = "DescribeDBClusters";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = Clusters;

    async fn run(self, cx: &ActionContext) -> Result<Clusters, Fault> {
        let page: Page<String> = Page::read(self.max_records, self.marker.as_deref())?;
        Filter::check(&self.filters, FILTERS)?;
        if let Some(wanted) = &self.cluster {
            let wanted = ClusterRef::asked("DBClusterIdentifier", wanted, cx)?;
            let found = find(cx, &wanted).await?;
            let clusters = matches(&found.cluster, &self.filters)
                .then(|| shape(cx, &found))
                .into_iter()
                .collect();
            return Ok(Clusters {
                marker: None,
                clusters,
            });
        }
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        // An account has tens of clusters at most (the quota), so filters run here.
        let limit = cx.service.settings.clusters_max + 1;
        let all = cx
            .service
            .catalog
            .read(move |tx| {
                let all = clusters::list(tx, &region, &account, None, limit)?;
                let found = all.into_iter().map(|stored| Found::of(tx, stored.value));
                found.collect::<Result<Vec<Found>, CatalogError>>()
            })
            .await?;
        let mut found: Vec<Found> = all
            .into_iter()
            .filter(|found| matches(&found.cluster, &self.filters))
            .filter(|found| {
                page.after
                    .as_deref()
                    .is_none_or(|after| after < found.cluster.name.as_str())
            })
            .collect();
        let marker = (page.rows < found.len())
            .then(|| Page::marker(&found[page.rows - 1].cluster.name.to_string()));
        found.truncate(page.rows);
        Ok(Clusters {
            marker,
            clusters: found.iter().map(|one| shape(cx, one)).collect(),
        })
    }
}

/// A cluster and its instances.
pub(in crate::actions) struct Found {
    pub(in crate::actions) cluster: Cluster,
    /// None until it has a place.
    pub(super) writer: Option<Instance>,
    /// All of them, the writer first.
    pub(super) members: Vec<Instance>,
    /// Names of those whose servers do not have all parameters, and how they stand to them.
    pub(super) waiting: Vec<(String, &'static str)>,
}

impl Found {
    pub(super) fn of(tx: &mut dyn Tx, cluster: Cluster) -> Result<Self, CatalogError> {
        let members = instances::of_cluster(tx, &cluster.resource_id)?;
        let members: Vec<Instance> = members.into_iter().map(|stored| stored.value).collect();
        Ok(Self {
            waiting: groups::of_instance::waiting(tx, &members)?,
            writer: members.iter().find(|one| one.is_writer()).cloned(),
            members,
            cluster,
        })
    }

    /// Where its writer is, once it has a place.
    pub(in crate::actions) fn place(&self) -> Option<&model::Placement> {
        self.writer.as_ref().map(|writer| &writer.placement)
    }

    /// The port that it listens at, once it has a place.
    pub(super) fn port(&self) -> Option<u16> {
        self.place().map(|place| place.port)
    }

    /// The node that has the writer's files.
    pub(super) fn node(&self) -> Option<String> {
        self.place().map(|place| place.node.clone())
    }
}

/// A record says `available` also while this node's server of the cluster is down, recovers, or
/// does not answer.
fn shape(cx: &ActionContext, found: &Found) -> DbCluster {
    let cluster = &found.cluster;
    let shape = DbCluster::of(cluster, found.writer.as_ref()).with_members(&found.members);
    let shape = shape.with_waiting(&found.waiting);
    let shape = shape.with_window(cx.service.log_windows.of(cluster));
    let here = found.node().as_ref() == Some(&cx.service.settings.node);
    if cluster.status == ClusterStatus::Available
        && here
        && !cx.service.answering.contains(&cluster.resource_id)
    {
        shape.with_status("starting")
    } else {
        shape
    }
}

fn matches(cluster: &Cluster, filters: &[Filter]) -> bool {
    filters.iter().all(|filter| {
        filter
            .values
            .iter()
            .any(|value| match filter.name.as_str() {
                "db-cluster-id" => {
                    ClusterRef::read("Filters", value, &cluster.account, &cluster.region)
                        .is_ok_and(|wanted| wanted.arn() == cluster.arn())
                }
                "db-cluster-resource-id" => value == cluster.resource_id.as_str(),
                "engine" => *value == cluster.engine,
                // Clusters here are of no clone group and in no domain.
                _ => false,
            })
    })
}

/// The caller's cluster in the asked region.
pub(in crate::actions) async fn find(
    cx: &ActionContext,
    wanted: &ClusterRef,
) -> Result<Found, Fault> {
    let (account, region, wanted) = (cx.caller.account.clone(), cx.region.clone(), wanted.clone());
    let found = cx
        .service
        .catalog
        .read(move |tx| {
            let stored = wanted.own(tx, &account, &region)?;
            Ok::<_, Fault>(Found::of(tx, stored.value)?)
        })
        .await?;
    Ok(found)
}
