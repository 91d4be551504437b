//! `DescribeDBInstances`.
use catalog::{CatalogExt, Stored, Tx, clusters, instances};
use model::{Account, Cluster, Instance, Region};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::{ClusterRef, DbInstance, Filter, InstanceRef, Page, groups::of_instance},
};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDbInstances {
    #[serde(rename = "DBInstanceIdentifier")]
    instance: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_records: Option<i64>,
    marker: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Instances {
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    #[serde(rename = "DBInstances")]
    instances: Vec<DbInstance>,
}

impl Output for Instances {
    const LAYOUT: Layout = Layout::Page("DBInstances");

    fn label(&self) -> Label {
        Label::Page {
            next: self.marker.clone(),
        }
    }
}

/// Those that API_DescribeDBInstances documents.
const FILTERS: &[(&str, &str)] = &[
    ("db-cluster-id", "DB Cluster Identifiers"),
    ("db-instance-id", "DB Instance Identifiers"),
    ("dbi-resource-id", "DB Instance Resource Identifiers"),
    ("domain", "Domains"),
    ("engine", "Engine Names"),
];

impl Action for DescribeDbInstances {
    const NAME: &'static str = "DescribeDBInstances";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = Instances;

    async fn run(self, cx: &ActionContext) -> Result<Instances, Fault> {
        let page: Page<String> = Page::read(self.max_records, self.marker.as_deref())?;
        Filter::check(&self.filters, FILTERS)?;
        let wanted = self.instance.as_deref();
        let wanted = wanted
            .map(|given| InstanceRef::asked("DBInstanceIdentifier", given, cx))
            .transpose()?;
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let one = wanted.clone();
        let mut found = cx
            .service
            .catalog
            .read(move |tx| match &one {
                Some(wanted) => {
                    let (cluster, instance) = find_in(tx, wanted, &account, &region)?;
                    let status = of_instance::status(tx, &instance)?;
                    Ok(vec![(cluster, instance, status)])
                }
                None => all(tx, &account, &region),
            })
            .await?;
        found.retain(|(cluster, instance, _)| matches(cluster, instance, &self.filters));
        if wanted.is_none() {
            let after = page.after.as_deref();
            found.retain(|(_, one, _)| after.is_none_or(|after| after < one.arn_name()));
        }
        let marker = (page.rows < found.len())
            .then(|| Page::marker(&found[page.rows - 1].1.arn_name().to_owned()));
        found.truncate(page.rows);
        Ok(Instances {
            marker,
            instances: found.iter().map(|one| shape(cx, one)).collect(),
        })
    }
}

/// An instance with its cluster, and how its server stands to its parameters.
type Found = (Cluster, Instance, &'static str);

/// The caller's instances by name; a writer that nobody made by name is none.
fn all(tx: &mut dyn Tx, account: &Account, region: &Region) -> Result<Vec<Found>, Fault> {
    let mut found = Vec::new();
    for stored in instances::list(tx, region, account)? {
        let instance = stored.value;
        if instance.name.is_none() {
            continue;
        }
        if let Some(cluster) = clusters::get_by_resource_id(tx, &instance.cluster)? {
            let status = of_instance::status(tx, &instance)?;
            found.push((cluster.value, instance, status));
        }
    }
    found.sort_by(|(_, a, _), (_, b, _)| a.name.cmp(&b.name));
    Ok(found)
}

/// The caller's instance of that name, with its cluster.
fn find_in(
    tx: &mut dyn Tx,
    wanted: &InstanceRef,
    account: &Account,
    region: &Region,
) -> Result<(Cluster, Instance), Fault> {
    let (cluster, stored) = find_to_change(tx, wanted, account, region)?;
    Ok((cluster, stored.value))
}

/// The same for whoever changes it in this transaction.
pub(super) fn find_to_change(
    tx: &mut dyn Tx,
    wanted: &InstanceRef,
    account: &Account,
    region: &Region,
) -> Result<(Cluster, Stored<Instance>), Fault> {
    let stored = wanted.own(tx, account, region)?;
    let cluster = clusters::get_by_resource_id(tx, &stored.value.cluster)?;
    let cluster = cluster.ok_or_else(|| wanted.not_found())?.value;
    Ok((cluster, stored))
}

fn shape(cx: &ActionContext, (cluster, instance, status): &Found) -> DbInstance {
    let here = instance.placement.node == cx.service.settings.node;
    let answers = here.then(|| cx.service.answering.has(instance));
    DbInstance::of(cluster, instance, answers).with_parameters(status)
}

fn matches(cluster: &Cluster, instance: &Instance, filters: &[Filter]) -> bool {
    let (account, region) = (&cluster.account, &cluster.region);
    filters.iter().all(|filter| {
        filter
            .values
            .iter()
            .any(|value| match filter.name.as_str() {
                "db-cluster-id" => ClusterRef::read("Filters", value, account, region)
                    .is_ok_and(|wanted| wanted.arn() == cluster.arn()),
                "db-instance-id" => InstanceRef::read("Filters", value, account, region)
                    .is_ok_and(|wanted| wanted.arn() == instance.arn()),
                "dbi-resource-id" => value == instance.id.as_str(),
                "engine" => *value == cluster.engine,
                // Clusters here are in no domain.
                _ => false,
            })
    })
}
