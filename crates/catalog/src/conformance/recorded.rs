//! The record log's view of the catalog: every kind of record is walked over and put back.
//!
//! It does not know how the record log keeps them.
use std::sync::Arc;

use model::{BackupSettings, Grant, Timestamp};

use super::{Fixture, read, samples, write};
use crate::{
    Catalog, CatalogError, Tx,
    tables::{
        access_keys::{self, AccessKey, AccessKeyStatus},
        accounts, clusters, grants, instances, keyed,
        keys::{self, Alias},
        meta, rebuild_state,
        recorded::{self, RECORDS, Versioned},
        snapshots, uids,
    },
};

/// Two or three records of every kind.
fn fill(tx: &mut dyn Tx) -> Result<(), CatalogError> {
    let account = samples::account(1);
    for digit in 1..4 {
        accounts::ensure(tx, &samples::account(digit), "")?;
        let settings = BackupSettings::of(&samples::region(), &samples::account(digit));
        keyed::insert(tx, settings)?;
        keyed::insert(tx, samples::receipt_chain(digit))?;
    }
    for name in ["a", "b-b", "c"] {
        snapshots::insert(tx, samples::snapshot(name))?;
        let cluster = clusters::insert(tx, samples::cluster(name))?.value;
        instances::insert(tx, samples::writer(&cluster))?;
        keys::insert(tx, samples::key(name))?;
        keys::insert_alias(
            tx,
            &Alias {
                region: samples::region(),
                account: account.clone(),
                name: format!("alias/x/{name}"),
                key_id: name.to_owned(),
                created_at: Timestamp(1),
                updated_at: Timestamp(1),
            },
        )?;
        keyed::insert(tx, samples::subnet_group(name))?;
        keyed::insert(tx, samples::parameter_group(name))?;
        keyed::insert(tx, samples::subscription(name))?;
        keyed::insert(tx, samples::backup_vault(name))?;
        keyed::insert(tx, samples::legal_hold(name))?;
        keyed::insert(tx, samples::retained_backup(name))?;
        keyed::insert(tx, samples::backup_job(name))?;
        keyed::insert(tx, samples::backup_plan(name))?;
        keyed::insert(tx, samples::plan_version(name))?;
        keyed::insert(tx, samples::backup_selection(name))?;
        keyed::insert(tx, samples::restore_testing_plan(name))?;
        keyed::insert(tx, samples::restore_testing_selection(name))?;
        keyed::insert(tx, samples::drill(name))?;
        grants::insert(
            tx,
            Grant {
                key: samples::key_arn(name),
                id: name.to_owned(),
                token: "token".to_owned(),
                name: String::new(),
                grantee: account.to_string(),
                grantee_account: account.clone(),
                retiring: None,
                retiring_account: None,
                issuer: account.clone(),
                operations: vec!["Decrypt".to_owned()],
                context_equals: None,
                context_subset: None,
                created_at: Timestamp(1),
            },
        )?;
        access_keys::insert(
            tx,
            &AccessKey {
                id: format!("AKIA{name}"),
                account: account.clone(),
                sealed_secret: vec![0, 255],
                status: AccessKeyStatus::Inactive,
                created_at: Timestamp(1),
            },
        )?;
    }
    meta::set(tx, meta::MODE, "dev")?;
    meta::set(tx, meta::ADMINISTRATOR, "AKIAa")?;
    meta::set(tx, "other", "stays here")
}

/// A cluster that the record log has from before there were instances gets its writer back,
/// whichever line comes first.
pub async fn older_clusters_get_their_writer(fixture: &impl Fixture) {
    let catalog = fixture.open();
    write(&catalog, |tx| {
        for (name, instance_first) in [("alone", None), ("a", Some(true)), ("b", Some(false))] {
            let cluster = samples::cluster(name);
            let mut line = serde_json::json!({ "cluster": cluster });
            line["cluster"]["placement"] = serde_json::json!({
                "node": "node-0", "host": "127.0.0.1", "port": 5433, "os_uid": 70_500, "attempt": "try-1",
            });
            let older: recorded::Recorded = serde_json::from_value(line).expect("it reads");
            let newer = recorded::Recorded::of(&samples::writer(&cluster));
            let mut lines = vec![older];
            if let Some(first) = instance_first {
                lines.insert(usize::from(!first), newer);
            }
            for line in &lines {
                recorded::put_back(tx, line)?;
            }
            let writer = instances::writer(tx, &cluster.resource_id)?.expect("a writer");
            let (node, uid) = (writer.value.placement.node, writer.value.placement.os_uid);
            match instance_first {
                None => assert_eq!((node.as_str(), uid), ("node-0", Some(70_500))),
                Some(_) => assert_eq!((node.as_str(), uid), ("node-1", Some(70_000))),
            }
        }
        let mut unplaced = serde_json::json!({ "cluster": samples::cluster("unplaced") });
        unplaced["cluster"]["placement"] = serde_json::Value::Null;
        let line: recorded::Recorded = serde_json::from_value(unplaced).expect("it reads");
        recorded::put_back(tx, &line)?;
        assert_eq!(instances::on_node(tx, "node-1")?.len(), 2);
        assert_eq!(uids::last(tx)?, Some(70_500));
        Ok(())
    })
    .await;
}

async fn walk(catalog: &Arc<dyn Catalog>) -> Vec<Versioned> {
    let mut met: Vec<Versioned> = Vec::new();
    for kind in RECORDS {
        let region = kind.is_regional().then(samples::region);
        let (mut after, before) = (None, met.len());
        loop {
            let (region, from) = (region.clone(), after.clone());
            let page = read(catalog, move |tx| {
                recorded::page(tx, kind, region.as_ref(), from.as_ref(), 2)
            })
            .await;
            let Some(last) = page.last() else { break };
            after = Some(last.record.clone());
            met.extend(page);
        }
        assert!(before + 1 < met.len(), "the sample lacks {}", kind.name);
    }
    met
}

/// A walk over all kinds meets every record once, by the path that its outbox entry has; a line
/// of the record log brings it back into an empty catalog; and a rebuild that was cut short clears
/// it all.
pub async fn all_kinds_are_walked_and_put_back(fixture: &impl Fixture) {
    let catalog = fixture.open();
    write(&catalog, fill).await;
    let met = walk(&catalog).await;
    let mut paths: Vec<String> = met.iter().map(|one| one.path.clone()).collect();
    let entries = read(&catalog, |tx| crate::outbox::take(tx, 100)).await;
    let mut pushed: Vec<String> = entries.into_iter().map(|entry| entry.path).collect();
    paths.sort_unstable();
    pushed.sort_unstable();
    assert_eq!(paths, pushed, "every change has an entry");
    for one in &met {
        let path = one.path.clone();
        assert!(!path.starts_with("notes/other"), "{path}");
        let found = read(&catalog, move |tx| recorded::find(tx, &path)).await;
        assert_eq!(found.as_ref(), Some(&one.record));
    }
    for path in ["nothing", "clusters/us-east-1", "strange/us-east-1/1/a"] {
        use crate::CatalogExt;
        let found = catalog.read(move |tx| recorded::find(tx, path)).await;
        assert!(matches!(found, Err(CatalogError::Damaged { .. })), "{path}");
    }
    write(&catalog, |tx| {
        assert_eq!(rebuild_state::begin(tx)?, rebuild_state::Begun::Filled);
        meta::set(tx, "rebuilding", "yes")?;
        assert_eq!(rebuild_state::begin(tx)?, rebuild_state::Begun::Again);
        assert!(recorded::is_empty(tx)?);
        assert_eq!(meta::get(tx, meta::MODE)?, None);
        assert_eq!(meta::get(tx, "other")?.as_deref(), Some("stays here"));
        let count = snapshots::count_manual(tx, &samples::region(), &samples::account(1))?;
        assert_eq!(count, 0, "what follows from a record goes with it");
        Ok(())
    })
    .await;
    let lines: Vec<String> = met
        .iter()
        .map(|one| serde_json::to_string(&one.record).expect("it serializes"))
        .collect();
    write(&catalog, move |tx| {
        for line in &lines {
            let record: recorded::Recorded = serde_json::from_str(line).expect("it reads");
            recorded::put_back(tx, &record)?;
        }
        Ok(())
    })
    .await;
    let again = walk(&catalog).await;
    let records = |all: Vec<Versioned>| -> Vec<(String, recorded::Recorded)> {
        all.into_iter().map(|one| (one.path, one.record)).collect()
    };
    assert_eq!(records(again), records(met));
    assert!(!read(&catalog, recorded::is_empty).await);
}
