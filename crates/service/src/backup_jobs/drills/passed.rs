//! When a drill of each plan passed last: kept with the plan, since receipts do not stay for ever.
use catalog::{CatalogError, Tx, keyed};
use model::{Drill, RestoreTestingPlan, ValidationStatus};

/// Takes note of a drill that is over. Its plan may be gone by then.
pub(super) fn note(tx: &mut dyn Tx, drill: &Drill) -> Result<(), CatalogError> {
    if drill.outcome() != Some(ValidationStatus::Successful) {
        return Ok(());
    }
    let key = [drill.account.as_str(), drill.plan.as_str()];
    let Some(mut stored) = keyed::get::<RestoreTestingPlan>(tx, &drill.region, &key)? else {
        return Ok(());
    };
    let at = drill.ended_at.unwrap_or_else(|| tx.now());
    stored.value.last_passed = stored.value.last_passed.max(Some(at));
    keyed::update(tx, stored).map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catalog::{CatalogExt, SqliteCatalog, conformance::samples};
    use model::{SystemClock, Timestamp, Validation};

    use super::*;

    #[tokio::test]
    async fn a_plan_knows_when_a_drill_of_it_passed_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = SqliteCatalog::open(&folder.path().join("catalog"), Arc::new(SystemClock));
        let catalog = catalog.expect("a catalog");
        let noted = |status: Option<ValidationStatus>, at: i64| {
            let validation = status.map(|status| Validation {
                status,
                message: None,
            });
            let drill = Drill {
                validation,
                ended_at: Some(Timestamp(at)),
                ..samples::drill("p")
            };
            catalog.write(move |tx| {
                note(tx, &drill)?;
                let key = [drill.account.as_str(), drill.plan.as_str()];
                let plan = keyed::get::<RestoreTestingPlan>(tx, &drill.region, &key)?;
                Ok::<_, CatalogError>(plan.and_then(|plan| plan.value.last_passed))
            })
        };
        let passed = Some(ValidationStatus::Successful);
        assert_eq!(
            noted(passed, 3).await.expect("noted"),
            None,
            "it has no plan"
        );
        let plan = catalog.write(|tx| keyed::insert(tx, samples::restore_testing_plan("p")));
        plan.await.expect("a plan");
        for (status, at, expected) in [
            (Some(ValidationStatus::Failed), 5, None),
            (None, 6, None),
            (passed, 7, Some(Timestamp(7))),
            (Some(ValidationStatus::Failed), 8, Some(Timestamp(7))),
            (passed, 6, Some(Timestamp(7))),
            (passed, 9, Some(Timestamp(9))),
        ] {
            assert_eq!(
                noted(status, at).await.expect("noted"),
                expected,
                "{status:?} {at}"
            );
        }
    }
}
