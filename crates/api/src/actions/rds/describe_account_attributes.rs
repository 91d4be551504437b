//! `DescribeAccountAttributes`: the quotas that hold here, and how much of each is used.
//!
//! Source: API_DescribeAccountAttributes. Only quotas that Snapferry has are listed.
use catalog::{CatalogExt, Tx, clusters, snapshots};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Label, Layout, Output};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct DescribeAccountAttributes {}

/// One quota.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct AccountQuota {
    account_quota_name: &'static str,
    used: u64,
    max: u64,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Quotas {
    account_quotas: Vec<AccountQuota>,
}

impl Output for Quotas {
    const LAYOUT: Layout = Layout::Page("AccountQuotas");

    fn label(&self) -> Label {
        Label::Page { next: None }
    }
}

impl Action for DescribeAccountAttributes {
    const NAME: &'static str = "DescribeAccountAttributes";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = Quotas;

    async fn run(self, cx: &ActionContext) -> Result<Quotas, Fault> {
        let (region, account) = (cx.region.clone(), cx.caller.account.clone());
        let (clusters_used, snapshots_used) = cx
            .service
            .catalog
            .read(move |tx: &mut dyn Tx| {
                Ok::<_, Fault>((
                    clusters::count(tx, &region, &account)?,
                    snapshots::count_manual(tx, &region, &account)?,
                ))
            })
            .await?;
        let settings = &cx.service.settings;
        Ok(Quotas {
            account_quotas: vec![
                AccountQuota {
                    account_quota_name: "DBClusters",
                    used: clusters_used,
                    max: settings.clusters_max as u64,
                },
                AccountQuota {
                    account_quota_name: "ManualClusterSnapshots",
                    used: snapshots_used,
                    max: settings.manual_snapshots_max as u64,
                },
            ],
        })
    }
}
