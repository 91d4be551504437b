//! What the grant actions share: finding a grant by whatever names it, and its end.
use catalog::{CatalogExt, grants, keys};
use model::{Arn, Grant};

use super::pins;
use crate::action::ActionContext;
use service::fault::{Code, Fault};

/// The last digits of a key's grant.
pub(crate) async fn get(cx: &ActionContext, key: &Arn, id: &str) -> Result<Grant, Fault> {
    let (arn, wanted) = (key.clone(), id.to_owned());
    let found = cx
        .service
        .catalog
        .read(move |tx| {
            // A key that is gone has no grants, whatever the rows say.
            match keys::get_by_arn(tx, &arn)? {
                Some(_) => grants::get(tx, &arn, &wanted),
                None => Ok(None),
            }
        })
        .await
        .map_err(|error: catalog::CatalogError| Fault::from(error))?;
    found
        .map(|stored| stored.value)
        .ok_or_else(|| no_such_grant(id))
}

/// `InvalidGrantIdException` is for what cannot be an id; a grant that is not there is not found.
pub(crate) fn no_such_grant(id: &str) -> Fault {
    Fault::new(
        Code::KmsNotFound,
        format!("Grant ID {} not found", model::limits::echo(id)),
    )
}

/// Ends a grant, unless kept recovery points can be read by nothing else.
///
/// # Errors
/// `NotFoundException`, `KMSInvalidStateException`.
pub(crate) async fn end(cx: &ActionContext, grant: Grant) -> Result<(), Fault> {
    let (kms, caller) = (cx.service.kms.clone(), cx.caller.account.clone());
    let ended = cx.service.catalog.write(move |tx| {
        if let Some(key) = keys::get_by_arn(tx, &grant.key)? {
            let (key, grant) = (&key.value, Some(grant.id.as_str()));
            pins::still_opens(&kms, tx, (key, key), grant, &caller)?;
        }
        match grants::delete(tx, &grant.key, &grant.id)? {
            true => Ok(()),
            false => Err(no_such_grant(&grant.id)),
        }
    });
    ended.await
}
