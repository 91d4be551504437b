//! `PreSignedUrl` of a copy between regions: the caller's own signature for the source region.
//!
//! Source: API_CopyDBClusterSnapshot: required for encrypted snapshots between GovCloud's
//! regions, ignored elsewhere. A setting demands it in every region. Its host is never dialled,
//! nor compared with anything: SDKs write this server's, or an AWS host of the source region.
use model::{Account, Region};
use wire::{Parameters, RawRequest, sigv4};

use crate::{
    auth::authenticate::{Access, Proof},
    fault::{Code, Fault},
};

/// What a presigned URL is compared with.
#[derive(Debug)]
pub struct Outer<'a> {
    /// The action that was called.
    pub action: &'a str,
    /// The source's parameter and value, as sent.
    pub source: (&'a str, &'a str),
    /// Where the source is.
    pub source_region: &'a Region,
    /// `KmsKeyId`, as sent.
    pub kms_key_id: Option<&'a str>,
    /// The source's ARN when it is encrypted.
    pub encrypted_source: Option<String>,
}

/// Checks that an account signed a URL for a copy to `region`, as the source region that trusts
/// nothing else does.
///
/// # Errors
/// `InvalidParameterValue` for any defect.
pub async fn prove(
    access: &Access,
    account: &Account,
    region: &Region,
    url: &str,
    outer: &Outer<'_>,
) -> Result<(), Fault> {
    match sigv4::url(url) {
        Ok(request) => prove_request(access, account, region, &request, outer).await,
        Err(defect) => Err(refused(account, &defect.to_string())),
    }
}

/// Checks that an account made this request for a copy to `region`.
///
/// # Errors
/// `InvalidParameterValue` for any defect.
pub async fn prove_request(
    access: &Access,
    account: &Account,
    region: &Region,
    request: &RawRequest,
    outer: &Outer<'_>,
) -> Result<(), Fault> {
    let proof = access.authenticate_url(request).await;
    let proof = proof.map_err(|fault| match fault.code.status() {
        500.. => fault,
        _ => refused(account, &fault.message),
    })?;
    let parameters = Parameters::parse(&request.query, "")
        .map_err(|error| refused(account, &error.to_string()))?;
    match defect(&proof, &parameters, account, region, outer) {
        None => Ok(()),
        Some(what) => Err(refused(account, what)),
    }
}

/// The fault that RDS has for all defects; which one it was is for the log.
pub fn refused(account: &Account, defect: &str) -> Fault {
    tracing::info!(%account, defect, "a PreSignedUrl was refused");
    Fault::new(
        Code::InvalidParameterValue,
        "PreSignedurl could not be authenticated",
    )
}

/// How a signed URL differs from the call that it came with.
fn defect(
    proof: &Proof,
    parameters: &Parameters,
    account: &Account,
    region: &Region,
    outer: &Outer<'_>,
) -> Option<&'static str> {
    let given = |name: &str| parameters.get(name).filter(|value| !value.is_empty());
    let scope = proof.scope.as_ref();
    let checks = [
        (
            proof.caller.account == *account,
            "another account signed it",
        ),
        (
            scope.is_some_and(|scope| {
                scope.service == "rds" && scope.region == outer.source_region.as_str()
            }),
            "it is not signed for RDS in the source region",
        ),
        (
            given("Action") == Some(outer.action),
            "its Action is another",
        ),
        (
            given("DestinationRegion") == Some(region.as_str()),
            "its DestinationRegion is not the called region",
        ),
        (
            given(outer.source.0) == Some(outer.source.1),
            "its source is another",
        ),
        (
            given("KmsKeyId") == outer.kms_key_id,
            "its KmsKeyId is another",
        ),
    ];
    checks
        .into_iter()
        .find_map(|(holds, what)| (!holds).then_some(what))
}
