//! Begins a copy job: a recovery point into another vault, be it of another region or account.
use catalog::{CatalogError, CatalogExt, Tx, jobs, snapshots};
use kms::policy::Decision;
use model::{
    Account, ArnKind, BackupJob, BackupJobState, BackupVault, CopyOf, ErrorKind, Job, JobKind,
    JobPlace, RecoveryPoint, Snapshot, SnapshotKind, SnapshotName, SnapshotStatus,
    backup_vault::DEFAULT,
};

use super::{
    record::{BeginError, end, update, waiting},
    settings, vaults,
};
use crate::{
    backups::records,
    context::ServiceContext,
    copies::{Copier, copyable, reencrypt},
    fault::{Code, Fault},
    jobs::{JobType, copy_snapshot::CopySnapshot},
    keys::RdsUse,
    recovery_points,
};

/// What a vault's policy has to allow another account.
const COPY_INTO: &str = "backup:CopyIntoBackupVault";

/// Begins a job, or ends it with the reason why it cannot be done.
pub(super) async fn begin(context: &ServiceContext, job: &BackupJob) -> Result<(), BeginError> {
    let Some(copy) = &job.copy else {
        let why = "Its record says nothing of a copy.".to_owned();
        return Ok(end(context, job, BackupJobState::Failed, why).await?);
    };
    let (asked, of) = (job.clone(), copy.clone());
    let limit = context.settings.cross_region_copies_max as u64;
    let found = context
        .catalog
        .read(move |tx| look(tx, &asked, &of, limit))
        .await?;
    let (source, vault) = match found {
        Found::Ready(source, vault) => (source, vault),
        Found::Waits => return Ok(()),
        Found::Cannot(why) => return Ok(end(context, job, BackupJobState::Failed, why).await?),
    };
    let (made, work) = match prepare(context, job, &source, &vault).await {
        Ok(prepared) => prepared,
        Err(fault) if fault.code.kind() == ErrorKind::Refuse => {
            let why = refusal(job, &source, &vault, &fault);
            return Ok(end(context, job, BackupJobState::Failed, why).await?);
        }
        Err(fault) => return Err(BeginError::Fault(fault)),
    };
    let (asked, of) = (job.clone(), copy.clone());
    let kept = context.catalog.write(move |tx| {
        let found = look(tx, &asked, &of, limit)?;
        commit(
            tx,
            &asked,
            (&found, &source, &vault),
            (&made, work.as_ref()),
        )
    });
    kept.await
}

/// Keeps what was prepared, if a look still finds what it was prepared for; else the next look tells.
fn commit(
    tx: &mut dyn Tx,
    asked: &BackupJob,
    (found, source, vault): (&Found, &Snapshot, &BackupVault),
    (made, work): (&Snapshot, Option<&Job>),
) -> Result<(), BeginError> {
    let is_as_before = match found {
        Found::Ready(is, goes_to) => is.uid == source.uid && goes_to.kms_key == vault.kms_key,
        Found::Waits | Found::Cannot(_) => false,
    };
    match is_as_before {
        true => keep(tx, asked, made.clone(), work),
        false => Ok(()),
    }
}

/// What a look at a job finds.
enum Found {
    /// The recovery point, and the vault that it goes to.
    Ready(Box<Snapshot>, Box<BackupVault>),
    /// As many copies between regions as there may be are under way.
    Waits,
    /// Why it fails.
    Cannot(String),
}

fn look(
    tx: &mut dyn Tx,
    job: &BackupJob,
    copy: &CopyOf,
    limit: u64,
) -> Result<Found, CatalogError> {
    let Some(source) = source(tx, copy)? else {
        return Ok(Found::Cannot(format!(
            "The recovery point {} is not in the vault {} any more.",
            copy.source, copy.from
        )));
    };
    let (region, account) = job.goes_to();
    if *account != job.account
        && !settings::get(tx, &job.region, &job.account)?
            .value
            .cross_account
    {
        return Ok(Found::Cannot(format!(
            "Copies into vaults of other accounts are switched off for the account {}, by the global \
             setting isCrossAccountBackupEnabled.",
            job.account
        )));
    }
    let found = vaults::get(tx, region, account, &job.vault)?;
    let vault = match found {
        Some(vault) => vault,
        None if *account == job.account => {
            let why = format!("The backup vault {} cannot be found.", copy.to);
            return Ok(Found::Cannot(why));
        }
        // Which vaults others have is theirs to tell.
        None => return Ok(Found::Cannot(not_allowed(copy, &job.account))),
    };
    if let Err(why) = allowed(&vault, copy, &job.account) {
        return Ok(Found::Cannot(why));
    }
    if let Some(why) = vaults::lock_refusal(&vault, job) {
        return Ok(Found::Cannot(why));
    }
    if *region != job.region {
        let copies = JobKind::of(CopySnapshot::NAME);
        if limit <= jobs::count_open(tx, region, account, &copies)? {
            return Ok(Found::Waits);
        }
    }
    Ok(Found::Ready(Box::new(source), Box::new(vault)))
}

/// The recovery point, if it is whole and in its vault.
fn source(tx: &mut dyn Tx, copy: &CopyOf) -> Result<Option<Snapshot>, CatalogError> {
    let arn = &copy.source;
    let name = arn
        .locate(ArnKind::ClusterSnapshot)
        .and_then(|located| SnapshotName::parse_existing(located.name).ok());
    let Some(name) = name else { return Ok(None) };
    let found = snapshots::get(tx, &arn.region, &arn.account, &name)?;
    let found = found.map(|stored| stored.value);
    Ok(found.filter(|one| {
        let point = one.recovery_point.as_ref();
        one.status == SnapshotStatus::Available && point.is_some_and(|it| it.vault == copy.from)
    }))
}

/// Whether an account may copy into a vault; else why not, and what would allow it.
fn allowed(vault: &BackupVault, copy: &CopyOf, account: &Account) -> Result<(), String> {
    let decided = vaults::decide(vault, account, COPY_INTO).map_err(|error| {
        format!(
            "The access policy of {} does not read: {error}.",
            vault.arn()
        )
    })?;
    let is_own = vault.account == *account;
    match decided {
        Decision::Deny => Err(format!(
            "The access policy of the backup vault {} denies {COPY_INTO} to the account {account}.",
            vault.arn()
        )),
        _ if is_own => Ok(()),
        _ if vault.name.as_str() == DEFAULT => Err(format!(
            "The backup vault {} is the default one of its account: it takes no copies from other accounts.",
            vault.arn()
        )),
        Decision::Allow => Ok(()),
        Decision::Silent => Err(not_allowed(copy, account)),
    }
}

fn not_allowed(copy: &CopyOf, account: &Account) -> String {
    format!(
        "The access policy of the backup vault {} does not allow {COPY_INTO} to the account {account}. \
         Its owner can allow it with the statement {}",
        copy.to,
        statement(account, COPY_INTO)
    )
}

/// A statement of a policy that allows an account something.
fn statement(account: &Account, action: &str) -> String {
    format!(
        r#"{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{account}:root"}},"Action":"{action}","Resource":"*"}}"#
    )
}

/// The copy's record and its job, if it needs one.
async fn prepare(
    context: &ServiceContext,
    job: &BackupJob,
    source: &Snapshot,
    vault: &BackupVault,
) -> Result<(Snapshot, Option<Job>), Fault> {
    copyable(source, context.settings.refuse_multi_az_copies)?;
    let content = source.content.as_ref();
    let content = content.ok_or_else(|| Fault::not_available("copy", source))?;
    let (region, account) = job.goes_to();
    let copier = Copier {
        context,
        reader: &job.account,
        account,
        region,
    };
    let key = match &content.wrapped_key {
        None => None,
        Some(_) => Some(key_of(context, vault).await?),
    };
    // Tags are their owner's.
    let tags = match account == &job.account {
        true => source.tags.clone(),
        false => Vec::new(),
    };
    let named = (job.snapshot.clone(), SnapshotKind::Backup, tags);
    let (mut made, work) = copier
        .prepare(source, content, named, key.as_deref())
        .await?;
    made.recovery_point = Some(RecoveryPoint {
        vault: vault.name.clone(),
        job: job.id.clone(),
        resource: job.resource.clone(),
        iam_role: job.iam_role.clone(),
        lifecycle: job.lifecycle.clone(),
        completed_at: None,
        job_at: Some(JobPlace {
            region: job.region.clone(),
            account: job.account.clone(),
        }),
        rule: job.rule.clone(),
        lived_at: None,
        kept: None,
        retained_until: None,
    });
    Ok((made, work))
}

/// The key of what is copied into a vault.
async fn key_of(context: &ServiceContext, vault: &BackupVault) -> Result<String, Fault> {
    let key = match &vault.kms_key {
        Some(key) => key.clone(),
        None => {
            let user = RdsUse::new(&*context.keys, &vault.account, &vault.region);
            user.default_key().await?.arn()
        }
    };
    Ok(key.to_string())
}

/// Why a copy was refused. A key's fault does not say which right was missing, and here both
/// accounts' own jobs ask: so it is told, with what would allow it.
fn refusal(job: &BackupJob, source: &Snapshot, vault: &BackupVault, fault: &Fault) -> String {
    if fault.code != Code::KmsKeyNotAccessible {
        return fault.message.to_string();
    }
    let source_key = source.kms_key.as_ref().map(ToString::to_string);
    let is_source = fault.message.starts_with("The source");
    let (key, action, account) = match (is_source, source_key) {
        (true, Some(key)) => (key, "kms:Decrypt", &job.account),
        _ => {
            let key = vault.kms_key.as_ref().map(ToString::to_string);
            let default = "the default key of RDS".to_owned();
            (
                key.unwrap_or(default),
                "kms:GenerateDataKey",
                &vault.account,
            )
        }
    };
    format!(
        "{} The copy needs {action} on {key} for the account {account}: the key has to be enabled, and its \
         policy has to have the statement {}",
        fault.message,
        statement(account, action)
    )
}

/// Keeps the copy's record and its job, and says so in the job of AWS Backup, if that still waits.
fn keep(
    tx: &mut dyn Tx,
    asked: &BackupJob,
    mut made: Snapshot,
    work: Option<&Job>,
) -> Result<(), BeginError> {
    let Some(mut stored) = waiting(tx, asked)? else {
        return Ok(());
    };
    stored.value.state = BackupJobState::Running;
    stored.value.kms_key.clone_from(&made.kms_key);
    update(tx, stored)?;
    match work {
        Some(work) => {
            let work = reencrypt::with_base(tx, work.clone(), &made).map_err(BeginError::Fault)?;
            // Its bytes are not here yet.
            made.content = None;
            records::insert(tx, made)?;
            jobs::insert(tx, &work)?;
        }
        None => {
            recovery_points::settle(tx, &mut made)?;
            records::insert(tx, made)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use catalog::{conformance::samples, keyed};
    use model::{Timestamp, VaultLock, recovery_point::Lifecycle};

    use super::*;
    use crate::{backup_jobs::record, sweep::checker::fixture::Fixture};

    /// Whatever becomes of the vault or the source between the look and the commit holds.
    #[test]
    fn a_vault_is_looked_at_again_when_its_copy_is_kept() {
        type Between = fn(&mut dyn Tx, &Snapshot, &mut BackupVault) -> Result<(), CatalogError>;
        let between: [(&str, bool, Between); 4] = [
            ("nothing", true, |_, _, _| Ok(())),
            ("a lock", false, |_, _, vault| {
                vault.lock = Some(VaultLock {
                    min_days: Some(7),
                    max_days: None,
                    lock_date: None,
                    is_fixed: false,
                });
                Ok(())
            }),
            ("another key", false, |_, _, vault| {
                vault.kms_key = Some(samples::key_arn("other"));
                Ok(())
            }),
            ("the source's end", false, |tx, source, _| {
                recovery_points::forget(tx, source)
            }),
        ];
        for (what, is_kept, between) in between {
            let fixture = Fixture::new();
            let source = samples::recovery_point("p", "c", "from", Timestamp(1));
            let point = source.recovery_point.clone().expect("it is one");
            let to = samples::backup_vault("to");
            let id = uuid::Uuid::from_u128(7);
            let copy = CopyOf {
                source: source.arn(),
                from: point.vault.clone(),
                to: to.arn(),
                backup_job: None,
            };
            let job = BackupJob {
                vault: to.name.clone(),
                snapshot: SnapshotName::of_backup("copyjob", &id),
                lifecycle: Lifecycle {
                    cold_after_days: None,
                    delete_after_days: Some(1),
                },
                copy: Some(copy.clone()),
                ..BackupJob::of_point(
                    model::BackupJobKind::Copy,
                    &source,
                    &point,
                    (&id, Timestamp(2)),
                )
            };
            let made = Snapshot {
                name: job.snapshot.clone(),
                uid: uuid::Uuid::from_u128(8),
                ..source.clone()
            };
            let done = fixture.catalog.write(move |tx| {
                snapshots::insert(tx, source.clone())?;
                record::insert(tx, job.clone())?;
                let mut vault = keyed::insert(tx, to.clone())?;
                assert!(matches!(look(tx, &job, &copy, 9)?, Found::Ready(..)));
                between(tx, &source, &mut vault.value)?;
                keyed::update(tx, vault)?;
                let found = look(tx, &job, &copy, 9)?;
                commit(tx, &job, (&found, &source, &to), (&made, None))?;
                let is_made = snapshots::get(tx, &made.region, &made.account, &made.name)?;
                let waits = waiting(tx, &job)?.is_some();
                Ok::<_, BeginError>((is_made.is_some(), waits))
            });
            let told = fixture.runtime.block_on(done).expect("it is done");
            assert_eq!(told, (is_kept, !is_kept), "{what}");
        }
    }
}
