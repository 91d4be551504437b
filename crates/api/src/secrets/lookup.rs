//! Which secret a caller means.
//!
//! Source: API_GetSecretValue, and "Permissions to AWS Secrets Manager secrets for users in a
//! different account". Here no secret has a resource policy, so other accounts get none.
use catalog::{CatalogError, CatalogExt, clusters};
use model::{Arn, ArnKind, Cluster, MasterSecret, limits::echo};

use crate::action::ActionContext;
use service::fault::{Code, Fault};

/// More clusters than any account has in a region.
const ALL: usize = 10_000;

/// A cluster that has a secret, and that secret.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) cluster: Cluster,
    pub(crate) secret: MasterSecret,
}

impl Found {
    /// The secret of a cluster, if it has one.
    pub(crate) fn of(cluster: Cluster) -> Option<Self> {
        let secret = MasterSecret::clone(cluster.master_secret.as_ref()?);
        Some(Self { cluster, secret })
    }

    /// The secret's ARN.
    pub(crate) fn arn(&self) -> String {
        let (region, account) = (&self.cluster.region, &self.cluster.account);
        self.secret.arn(region, account).to_string()
    }
}

/// The caller's secrets in the asked region.
pub(crate) async fn all(cx: &ActionContext) -> Result<Vec<Found>, Fault> {
    let (region, account) = (cx.region.clone(), cx.caller.account.clone());
    let clusters = cx
        .service
        .catalog
        .read(move |tx| clusters::list(tx, &region, &account, None, ALL))
        .await
        .map_err(|error: CatalogError| Fault::from(error))?;
    let clusters = clusters.into_iter().map(|stored| stored.value);
    Ok(clusters.filter_map(Found::of).collect())
}

/// The secret that a caller names by its name, its ARN, or its ARN without the drawn end.
///
/// # Errors
/// `ResourceNotFoundException`; `AccessDeniedException` for what another account has, whether it
/// is there or not.
pub(crate) async fn find(cx: &ActionContext, id: &str, action: &str) -> Result<Found, Fault> {
    let arn = id.starts_with("arn:").then(|| Arn::parse(id).ok());
    let arn = arn.map(|arn| {
        arn.filter(|arn| arn.kind() == Some(ArnKind::Secret))
            .ok_or_else(missing)
    });
    let arn = arn.transpose()?;
    let located = arn.as_ref().and_then(|arn| arn.locate(ArnKind::Secret));
    if let Some(located) = located
        && *located.account != cx.caller.account
    {
        let shown: String = echo(id);
        return Err(Fault::new(
            Code::KmsAccessDenied,
            format!(
                "User: {} is not authorized to perform: secretsmanager:{action} on resource: {shown} \
                 because no resource-based policy allows the secretsmanager:{action} action",
                cx.caller.arn(cx.region.partition())
            ),
        ));
    }
    if located.is_some_and(|located| *located.region != cx.region) {
        return Err(missing());
    }
    let name = located.map_or(id, |located| located.name);
    let is_meant = |found: &Found| match located {
        Some(_) => found.secret.is_named(name),
        None => found.secret.name == name,
    };
    all(cx)
        .await?
        .into_iter()
        .find(is_meant)
        .ok_or_else(missing)
}

fn missing() -> Fault {
    Fault::new(
        Code::SecretNotFound,
        "Secrets Manager can't find the specified secret.",
    )
}
