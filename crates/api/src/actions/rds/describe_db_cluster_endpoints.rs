//! `DescribeDBClusterEndpoints`: each Aurora cluster's writer and reader endpoint.
//!
//! Source: API_DescribeDBClusterEndpoints. Custom endpoints there are none, so no row has an
//! identifier of its own.
use catalog::{CatalogError, CatalogExt, clusters};
use model::ClusterStatus;
use serde::{Deserialize, Serialize};

use super::describe_db_clusters::{Found, find};
use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::{ClusterRef, DbCluster, Filter, Page},
};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDbClusterEndpoints {
    #[serde(rename = "DBClusterIdentifier")]
    cluster: Option<String>,
    #[serde(rename = "DBClusterEndpointIdentifier")]
    endpoint: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_records: Option<i64>,
    marker: Option<String>,
}

/// An endpoint in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "DBClusterEndpointList", rename_all = "PascalCase")]
struct Endpoint {
    #[serde(rename = "DBClusterIdentifier")]
    cluster: String,
    endpoint: String,
    status: &'static str,
    endpoint_type: &'static str,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Endpoints {
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    #[serde(rename = "DBClusterEndpoints")]
    endpoints: Vec<Endpoint>,
}

impl Output for Endpoints {
    const LAYOUT: Layout = Layout::Page("DBClusterEndpoints");

    fn label(&self) -> Label {
        Label::Page {
            next: self.marker.clone(),
        }
    }
}

/// Those that API_DescribeDBClusterEndpoints documents.
const FILTERS: &[(&str, &str)] = &[
    ("db-cluster-endpoint-type", "DB Cluster Endpoint Types"),
    (
        "db-cluster-endpoint-custom-type",
        "DB Cluster Endpoint Custom Types",
    ),
    ("db-cluster-endpoint-id", "DB Cluster Endpoint Identifiers"),
    ("db-cluster-endpoint-status", "DB Cluster Endpoint Statuses"),
];

impl Action for DescribeDbClusterEndpoints {
    const NAME: &'static str = "DescribeDBClusterEndpoints";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = Endpoints;

    async fn run(self, cx: &ActionContext) -> Result<Endpoints, Fault> {
        // A cluster's name and the type of an endpoint.
        let page: Page<(String, String)> = Page::read(self.max_records, self.marker.as_deref())?;
        Filter::check(&self.filters, FILTERS)?;
        let found = match &self.cluster {
            Some(given) => {
                let wanted = ClusterRef::asked("DBClusterIdentifier", given, cx)?;
                vec![find(cx, &wanted).await?]
            }
            None => all(cx).await?,
        };
        let key = |one: &Endpoint| (one.cluster.clone(), one.endpoint_type.to_owned());
        let mut endpoints: Vec<Endpoint> = found
            .iter()
            .flat_map(of)
            // None has an identifier.
            .filter(|_| self.endpoint.is_none())
            .filter(|one| matches(one, &self.filters))
            .filter(|one| page.after.as_ref().is_none_or(|after| *after < key(one)))
            .collect();
        let more = page.rows < endpoints.len();
        endpoints.truncate(page.rows);
        let last = endpoints.last().filter(|_| more);
        Ok(Endpoints {
            marker: last.map(|one| Page::marker(&key(one))),
            endpoints,
        })
    }
}

/// The caller's clusters, by name.
async fn all(cx: &ActionContext) -> Result<Vec<Found>, Fault> {
    let (account, region) = (cx.caller.account.clone(), cx.region.clone());
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
    Ok(all)
}

/// A cluster's endpoints; a Multi-AZ DB cluster has none that this action tells.
fn of(found: &Found) -> Vec<Endpoint> {
    let cluster = &found.cluster;
    let status = match cluster.status {
        ClusterStatus::Available => "available",
        ClusterStatus::Creating => "creating",
        ClusterStatus::Deleting => "deleting",
        ClusterStatus::Stopped | ClusterStatus::Failed => "inactive",
        _ => "modifying",
    };
    let shape = DbCluster::of(cluster, found.writer.as_ref()).with_members(&found.members);
    let [writer, reader] = shape.endpoints();
    let both = [("READER", reader), ("WRITER", writer)].into_iter();
    let both = both.filter(|_| cluster.is_aurora());
    let endpoint = |(endpoint_type, host): (&'static str, Option<&str>)| {
        Some(Endpoint {
            cluster: cluster.name.to_string(),
            endpoint: host?.to_owned(),
            status,
            endpoint_type,
        })
    };
    both.filter_map(endpoint).collect()
}

fn matches(endpoint: &Endpoint, filters: &[Filter]) -> bool {
    filters.iter().all(|filter| {
        let mut values = filter.values.iter();
        match filter.name.as_str() {
            "db-cluster-endpoint-type" => {
                values.any(|value| value.eq_ignore_ascii_case(endpoint.endpoint_type))
            }
            "db-cluster-endpoint-status" => values.any(|value| value == endpoint.status),
            // Built-in endpoints have neither an identifier nor a custom type.
            _ => false,
        }
    })
}
