//! Keys that kept recovery points need: nobody takes those away.
//!
//! AWS KMS knows nothing of vaults and lets them be; a locked backup whose key is gone is lost all the
//! same. So this is ours.
use catalog::{CatalogError, Tx, clusters, grants, snapshots};
use kms::{Decision, grant as rules};
use model::{
    Account, ArnKind, Grant, Key, Snapshot, SnapshotName, VolumeRef, key::EncryptionContext, limits,
};

use service::{
    fault::{Code, Fault},
    keys::{KeyUser, Keys, snapshot_context},
    pins::{self, KeyPin, Verdict},
};

fn refused(pin: &KeyPin, caller: &Account) -> Fault {
    let why = match pin.account == *caller {
        true => &pin.why,
        false => &pin.told_others,
    };
    Fault::new(Code::KmsInvalidState, format!("{why}."))
}

/// Refuses what makes a key unusable that kept recovery points need, if those can be opened by it.
///
/// # Errors
/// `KMSInvalidStateException`.
pub(crate) fn not_pinned(
    kms: &Keys,
    tx: &mut dyn Tx,
    key: &Key,
    caller: &Account,
) -> Result<(), Fault> {
    let change = Change {
        before: key,
        after: None,
        without: None,
    };
    change.shuts_nobody_out(kms, tx, caller)
}

/// Refuses a policy, or the end of a grant, under which a kept recovery point could not be read any
/// more by whom it belongs to, and can be now. `without` is the grant that ends.
///
/// # Errors
/// `KMSInvalidStateException`.
pub(crate) fn still_opens(
    kms: &Keys,
    tx: &mut dyn Tx,
    (before, after): (&Key, &Key),
    without: Option<&str>,
    caller: &Account,
) -> Result<(), Fault> {
    let change = Change {
        before,
        after: Some(after),
        without,
    };
    change.shuts_nobody_out(kms, tx, caller)
}

const ACTION: &str = "kms:Decrypt";

/// What is about to become of a key.
struct Change<'a> {
    before: &'a Key,
    /// None: it opens nothing any more.
    after: Option<&'a Key>,
    /// The id of a grant that ends.
    without: Option<&'a str>,
}

impl Change<'_> {
    /// Each kept point is judged by its own encryption context: policies and grants may look at that.
    fn shuts_nobody_out(&self, kms: &Keys, tx: &mut dyn Tx, caller: &Account) -> Result<(), Fault> {
        let key = self.before.arn();
        for owner in pins::needs_of_key(tx, &key)? {
            let user = KeyUser::rds(owner.account(), owner.region());
            let granted = grants::to(tx, &key, owner.account(), limits::GRANTS_MAX)?;
            let granted: Vec<Grant> = granted.into_iter().map(|stored| stored.value).collect();
            let safe = match self.sees_context(kms, &granted) {
                true => Verdict::Safe,
                false => Verdict::AllSafe,
            };
            let at_stake = owner.find(tx, &key, |tx, point| {
                let context = context_of(tx, point)?;
                Ok(match self.shuts_out(kms, &user, &granted, &context) {
                    true => Verdict::AtStake,
                    false => safe,
                })
            })?;
            if let Some(pin) = at_stake {
                return Err(refused(&pin, caller));
            }
        }
        Ok(())
    }

    fn shuts_out(
        &self,
        kms: &Keys,
        user: &KeyUser,
        granted: &[Grant],
        context: &EncryptionContext,
    ) -> bool {
        let opens = |key: &Key, without: Option<&str>| {
            let mut left = granted
                .iter()
                .filter(|grant| without != Some(grant.id.as_str()));
            match kms.policy_says(user, key, ACTION, context) {
                Decision::Allow => true,
                Decision::Deny => false,
                Decision::Silent => {
                    left.any(|grant| rules::permits(grant, &user.account, ACTION, context))
                }
            }
        };
        let still_opens = self.after.is_some_and(|after| opens(after, self.without));
        !still_opens && opens(self.before, None)
    }

    /// Whether what is decided may differ from point to point.
    fn sees_context(&self, kms: &Keys, granted: &[Grant]) -> bool {
        let mut policies = [Some(self.before), self.after].into_iter().flatten();
        let constrained =
            |grant: &Grant| grant.context_equals.is_some() || grant.context_subset.is_some();
        policies.any(|key| kms.policy_sees_context(key)) || granted.iter().any(constrained)
    }
}

/// What a point's data key is bound to. Of one that is being made the volume is its cluster's, or
/// that of what it is copied from.
fn context_of(tx: &mut dyn Tx, point: &Snapshot) -> Result<EncryptionContext, CatalogError> {
    let volume = match &point.content {
        Some(content) => Some(content.volume.clone()),
        None => volume_of_source(tx, point)?,
    };
    Ok(match volume {
        Some(volume) => snapshot_context(&point.account, &point.uid, &volume),
        None => EncryptionContext::new(),
    })
}

fn volume_of_source(tx: &mut dyn Tx, point: &Snapshot) -> Result<Option<VolumeRef>, CatalogError> {
    let Some(source) = &point.source else {
        let cluster = clusters::get_by_resource_id(tx, &point.cluster_resource_id)?;
        return Ok(cluster.map(|stored| stored.value.volume));
    };
    let name = source
        .locate(ArnKind::ClusterSnapshot)
        .and_then(|located| SnapshotName::parse_existing(located.name).ok());
    let Some(name) = name else { return Ok(None) };
    let source = snapshots::get(tx, &source.region, &source.account, &name)?;
    let content = source.and_then(|stored| stored.value.content);
    Ok(content.map(|content| content.volume))
}
