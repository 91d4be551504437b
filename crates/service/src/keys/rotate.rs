//! Rotation: new material for a key that keeps its name. What older material wrapped still opens.
//!
//! Invariant: no material wraps anything before it is in the vault's record log, or a lost catalog
//! would lose what it wrapped. So a rotation is two commits: the first adds the material, the
//! second, once it is logged, makes it the current one. A rotation that stopped between the
//! two is taken up by the next.
use std::sync::Arc;

use catalog::{CatalogError, CatalogExt, Stored, keys};
use model::{Arn, Key, key::RotationPlan, limits};

use super::{Keys, kms_fault, period::next};
use crate::fault::{Code, Fault, chain};

/// Keys rotated by one look.
const BATCH: usize = 100;

/// Why a key is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its date came.
    Due,
    /// Somebody asked.
    Asked,
}

impl Keys {
    /// Rotates a key.
    ///
    /// # Errors
    /// When it is gone or cannot be used, was rotated on demand too often, or the vault or the
    /// catalog fails.
    pub async fn rotate(self: &Arc<Self>, arn: &Arn, reason: Reason) -> Result<Key, Fault> {
        let (wanted, kms) = (arn.clone(), self.clone());
        let added = self
            .catalog
            .write(move |tx| {
                let key = find(tx, &wanted)?.value;
                Keys::usable(&key).map_err(kms_fault)?;
                if reason == Reason::Asked {
                    within_limit(&key)?;
                }
                let mut family = keys::family(tx, &key)?;
                if !is_waiting(&key) {
                    let on_demand = reason == Reason::Asked;
                    kms.draw_rotation(family.iter_mut().map(|one| &mut one.value), on_demand);
                    family = write_all(tx, family)?;
                }
                Ok::<_, Fault>(family)
            })
            .await?;
        // In every region's: what one of a multi-Region key's likes wraps, any of them must open.
        for stored in &added {
            self.record(stored).await?;
        }
        // Only what is logged by now: another rotation may have added more meanwhile.
        let logged = added.iter().map(|stored| count(&stored.value)).min();
        let (wanted, logged) = (arn.clone(), logged.unwrap_or(0));
        let turned = self
            .catalog
            .write(move |tx| {
                let now = tx.now();
                let key = find(tx, &wanted)?.value;
                let mut family = keys::family(tx, &key)?;
                for stored in &mut family {
                    let key = &mut stored.value;
                    key.current_material = key.current_material.max(logged);
                    if let Some(plan) = key.rotation.filter(|plan| plan.next_at <= now) {
                        key.rotation = Some(RotationPlan {
                            next_at: next(now, plan.period_days),
                            ..plan
                        });
                    }
                }
                write_all(tx, family)?;
                find(tx, &wanted)
            })
            .await?;
        tracing::info!(key = %arn, material = turned.value.current_material, "rotated");
        Ok(turned.value)
    }

    /// Rotates the keys whose date has come: all that can be.
    ///
    /// # Errors
    /// Why one was not, or none was found.
    pub async fn rotate_due(self: &Arc<Self>) -> Result<(), Fault> {
        let due = self.catalog.read(|tx| keys::due_for_rotation(tx, BATCH));
        let due = due.await.map_err(|error: CatalogError| {
            let fault = Fault::internal(&error);
            tracing::warn!(cause = %chain(&error), "keys that are due for rotation were not found");
            fault
        })?;
        let mut failed = None;
        for stored in due {
            let arn = stored.value.arn();
            if let Err(error) = self.rotate(&arn, Reason::Due).await {
                tracing::warn!(key = %arn, cause = %chain(&error), "a key was not rotated");
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

fn write_all(
    tx: &mut dyn catalog::Tx,
    family: Vec<Stored<Key>>,
) -> Result<Vec<Stored<Key>>, CatalogError> {
    let written = family.into_iter().map(|stored| keys::update(tx, stored));
    written.collect()
}

fn find(tx: &mut dyn catalog::Tx, arn: &Arn) -> Result<Stored<Key>, Fault> {
    keys::get_by_arn(tx, arn)?
        .ok_or_else(|| Fault::new(Code::KmsNotFound, format!("Key '{arn}' does not exist")))
}

fn count(key: &Key) -> u32 {
    u32::try_from(key.rotations.len()).expect("rotations are few")
}

/// Whether material was added that does not wrap yet.
fn is_waiting(key: &Key) -> bool {
    key.current_material < count(key)
}

fn within_limit(key: &Key) -> Result<(), Fault> {
    let asked = key.rotations.iter().filter(|one| one.on_demand).count();
    if limits::ROTATIONS_ON_DEMAND_MAX <= asked {
        return Err(Fault::new(
            Code::KmsLimitExceeded,
            format!(
                "The on-demand rotations limit has been reached for the given keyId. No more \
                 on-demand rotations can be performed for this key: {}",
                key.arn()
            ),
        ));
    }
    Ok(())
}
