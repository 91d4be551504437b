//! `UpdatePrimaryRegion`: another of a multi-Region key's likes becomes the primary one.
use model::key::counterpart;
use serde::Deserialize;

use super::replicate_key;
use crate::action::{Action, ActionContext, Api};
use crate::keys::{checks, lookup};
use service::{
    fault::{Code, Fault},
    keys::KeyUser,
    keys::kms_fault,
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UpdatePrimaryRegion {
    key_id: String,
    primary_region: String,
}

impl Action for UpdatePrimaryRegion {
    const NAME: &'static str = "UpdatePrimaryRegion";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        const ACTION: &str = "kms:UpdatePrimaryRegion";
        let region = replicate_key::region(cx, "primaryRegion", &self.primary_region)?;
        let primary = lookup::find_changeable(cx, &self.key_id, ACTION).await?;
        checks::not_replica(&primary)?;
        if region == primary.region {
            return Err(Fault::new(
                Code::KmsUnsupported,
                format!("{} is the primary key already.", primary.arn()),
            ));
        }
        // Both keys' policies have a say.
        if primary.multi_region.is_some() {
            let there = counterpart(&primary.arn(), &region);
            let replica = cx.service.kms.by_arn(&there).await.map_err(kms_fault)?;
            let user = KeyUser::direct(&cx.caller.account);
            cx.service
                .kms
                .authorise(&user, &replica, ACTION)
                .await
                .map_err(kms_fault)?;
        }
        cx.service.kms.update_primary(&primary.arn(), &region).await
    }
}
