//! `DescribeClusterAuthority`: the certificate by which clients check clusters' servers, which RDS's own
//! actions name and do not give. Any caller may have it.
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use service::{clusters::authority, fault::Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct DescribeClusterAuthority {}

/// The answer; empty where the operator gives clusters a certificate that somebody else signed.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Authority {
    /// The authority's certificate as PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_pem: Option<String>,
    /// Until when it is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_till: Option<String>,
}

impl Output for Authority {}

impl Action for DescribeClusterAuthority {
    const NAME: &'static str = "DescribeClusterAuthority";
    const API: Api = Api::Snapferry;
    const READS: bool = true;
    type Output = Authority;

    async fn run(self, cx: &ActionContext) -> Result<Authority, Fault> {
        let catalog = &*cx.service.catalog;
        let internal = |error| Fault::internal(&error);
        if cx.service.settings.cluster_tls.given.is_some() {
            return Ok(Authority {
                certificate_pem: None,
                valid_till: None,
            });
        }
        let facts = authority::facts(catalog).await.map_err(internal)?;
        Ok(Authority {
            certificate_pem: authority::certificate(catalog).await.map_err(internal)?,
            valid_till: facts.map(|facts| facts.till.to_rfc3339_secs()),
        })
    }
}
