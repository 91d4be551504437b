//! `DescribeCertificates`: the deployment's own authority, by which clusters' certificates are signed.
//! Empty where the operator gives clusters a certificate.
//!
//! Source: API_DescribeCertificates.
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::{Filter, Page},
};
use service::{
    clusters::authority::{self, Facts},
    fault::{Code, Fault},
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeCertificates {
    certificate_identifier: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_records: Option<i64>,
    marker: Option<String>,
}

/// A certificate in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Certificate {
    certificate_identifier: &'static str,
    certificate_type: &'static str,
    thumbprint: String,
    valid_from: String,
    valid_till: String,
    certificate_arn: String,
    customer_override: bool,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Certificates {
    #[serde(skip_serializing_if = "Option::is_none")]
    default_certificate_for_new_launches: Option<&'static str>,
    certificates: Vec<Certificate>,
}

impl Output for Certificates {
    const LAYOUT: Layout = Layout::Page("Certificates");

    fn label(&self) -> Label {
        Label::Page { next: None }
    }
}

impl Action for DescribeCertificates {
    const NAME: &'static str = "DescribeCertificates";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = Certificates;

    async fn run(self, cx: &ActionContext) -> Result<Certificates, Fault> {
        Page::<String>::read(self.max_records, self.marker.as_deref())?;
        Filter::check(&self.filters, &[])?;
        let facts = match cx.service.settings.cluster_tls.given {
            Some(_) => None,
            None => authority::facts(&*cx.service.catalog)
                .await
                .map_err(|error| Fault::internal(&error))?,
        };
        let asked = self.certificate_identifier.as_deref();
        let fits = |_: &Facts| asked.is_none_or(|asked| asked == authority::IDENTIFIER);
        let shown = facts.filter(fits);
        if let Some(asked) = asked.filter(|_| shown.is_none()) {
            let asked: String = model::limits::echo(asked);
            return Err(Fault::new(
                Code::CertificateNotFound,
                format!("Certificate not found: {asked}"),
            ));
        }
        Ok(Certificates {
            default_certificate_for_new_launches: shown.as_ref().map(|_| authority::IDENTIFIER),
            certificates: shown.iter().map(|facts| shape(cx, facts)).collect(),
        })
    }
}

fn shape(cx: &ActionContext, facts: &Facts) -> Certificate {
    Certificate {
        certificate_identifier: authority::IDENTIFIER,
        certificate_type: "CA",
        thumbprint: facts.thumbprint.clone(),
        valid_from: facts.from.to_rfc3339_secs(),
        valid_till: facts.till.to_rfc3339_secs(),
        // Of nobody's account, as in RDS.
        certificate_arn: format!(
            "arn:{}:rds:{}::cert:{}",
            cx.region.partition(),
            cx.region,
            authority::IDENTIFIER
        ),
        customer_override: false,
    }
}
