//! Whether a copy needs a `PreSignedUrl`, and whether the one it came with holds.
use wire::sigv4;

use crate::action::ActionContext;
use service::{
    auth::presigned::{Outer, prove_request, refused},
    fault::Fault,
};

/// Checks a `PreSignedUrl`, where this region demands one.
///
/// # Errors
/// `InvalidParameterCombination` when an encrypted source needs one and there is none;
/// `InvalidParameterValue` for any defect.
pub async fn check(cx: &ActionContext, url: Option<&str>, outer: &Outer<'_>) -> Result<(), Fault> {
    let request = url.map(sigv4::url);
    let demanded =
        cx.service.settings.require_presigned_url || cx.region.partition() == "aws-us-gov";
    if !demanded || *outer.source_region == cx.region {
        if let Some(Err(defect)) = request {
            tracing::debug!(%defect, "a PreSignedUrl that is not needed does not read");
        }
        return Ok(());
    }
    let request = match request {
        Some(Ok(request)) => request,
        Some(Err(defect)) => return Err(refused(&cx.caller.account, &defect.to_string())),
        None => {
            return match &outer.encrypted_source {
                Some(arn) => Err(Fault::combination(format!(
                    "Source cluster snapshot {arn} is encrypted; pre-signed URL has to be specified"
                ))),
                None => Ok(()),
            };
        }
    };
    prove_request(&cx.access, &cx.caller.account, &cx.region, &request, outer).await
}
