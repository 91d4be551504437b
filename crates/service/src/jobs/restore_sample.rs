//! A snapshot restored for a look: into a cluster of its own that nobody can reach by name, which
//! is started, read from end to end, and removed.
//!
//! It does not know which snapshots are looked at, nor who is told.
use std::{
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::{Engine, EngineError, Examined, Home};
use model::{Content, ErrorKind, Region};
use vault::{Condemned, DataKey, Observer};

use super::{JobError, run::Run};
use crate::{clusters::files, fault::chain, jobs::progress::Counting};

/// Names of the folders of such clusters begin so.
const PREFIX: &str = "sample-";
/// Only this machine reaches them.
const HOST: &str = "127.0.0.1";

/// What is restored.
pub(super) struct Sampled {
    pub(super) region: Region,
    pub(super) content: Content,
    pub(super) data_key: Option<DataKey>,
    pub(super) absent: Condemned,
    /// The API's name for the engine.
    pub(super) engine: String,
    pub(super) engine_version: String,
    pub(super) master_username: String,
}

/// What became of it.
pub(super) enum Verdict {
    /// It was started and read.
    Whole(Examined),
    /// It cannot be restored, for this reason.
    Broken(String),
}

/// Restores a snapshot, reads it and removes it again.
///
/// # Errors
/// What says nothing about the snapshot.
pub(super) async fn look(run: &Run, sampled: Sampled) -> Result<Verdict, JobError> {
    clear(run).await?;
    let verdict = restore_and_read(run, sampled).await;
    clear(run).await?;
    verdict
}

async fn restore_and_read(run: &Run, sampled: Sampled) -> Result<Verdict, JobError> {
    let context = &run.context;
    let os_uid = context.users.claim(&*context.catalog).await?;
    if let Some(uid) = os_uid {
        use catalog::CatalogExt;
        let noted = context
            .catalog
            .write(move |tx| catalog::uids::note(tx, uid));
        noted.await?;
    }
    let engine = Arc::clone(context.engines.named(&sampled.engine)?);
    let home = home(run, os_uid, &sampled)?;
    run.make_way(&home).await?;
    let vault = context.vaults.get(&sampled.region)?;
    let (folder, progress) = (home.dir.clone(), run.progress.clone());
    let master_username = sampled.master_username.clone();
    let restored = tokio::task::spawn_blocking(move || {
        files::make_passage(&folder).map_err(|error| {
            JobError::retry(format!("{} cannot be made: {error}", folder.display()))
        })?;
        let Sampled {
            content,
            data_key,
            absent,
            ..
        } = sampled;
        let (volume, manifest) = (&content.volume, content.manifest);
        let (key, into) = (data_key.as_ref(), folder.join("data"));
        let observer: &dyn Observer = &Counting(&progress);
        Ok::<_, JobError>(vault::restore(
            &vault, volume, manifest, key, &absent, &into, observer,
        ))
    })
    .await
    .map_err(|error| JobError::retry(format!("the restore ended early: {error}")))??;
    let document = match restored {
        Ok(restored) => restored.engine_document,
        Err(error) if matches!(error.kind(), ErrorKind::Stop | ErrorKind::Retry) => {
            return Err(error.into());
        }
        Err(error) => return Ok(Verdict::Broken(chain(&error))),
    };
    let loaded = run.slot.waiting(engine.load(&home, &document)).await;
    if let Err(error) = loaded {
        return judge(error);
    }
    // As a restore would: what is looked at is what its owner would get.
    if let Err(error) = engine.give_rights(&home, &master_username).await {
        tracing::warn!(cause = %chain(&error), "the master user of a restored sample cannot be given its rights");
    }
    match run.slot.waiting(engine.examine(&home)).await {
        Ok(examined) => Ok(Verdict::Whole(examined)),
        Err(error) => judge(error),
    }
}

/// Tells what the snapshot is to blame for from what it is not.
pub(super) fn judge(error: EngineError) -> Result<Verdict, JobError> {
    match error {
        // As long as a restore waits for one.
        EngineError::StartTimeout { .. } => Ok(Verdict::Broken(chain(&error))),
        _ if matches!(error.kind(), ErrorKind::Wait | ErrorKind::Retry) => Err(error.into()),
        EngineError::BadDump { .. }
        | EngineError::ServerEnded { .. }
        | EngineError::FileDamaged { .. }
        | EngineError::PageDamaged { .. }
        | EngineError::Sql { .. } => Ok(Verdict::Broken(chain(&error))),
        other => Err(other.into()),
    }
}

/// The folder of this node's clusters.
fn clusters_folder(run: &Run) -> PathBuf {
    run.context.settings.data_dir.join("clusters")
}

fn home(run: &Run, os_uid: Option<u32>, sampled: &Sampled) -> Result<Home, JobError> {
    let port = TcpListener::bind((HOST, 0)).and_then(|listener| listener.local_addr());
    let port = port.map_err(|error| JobError::retry(format!("no port is free: {error}")))?;
    let name = format!("{PREFIX}{}.{}", run.job.id, sampled.engine);
    let folder = clusters_folder(run).join(name);
    Ok(home_at(
        run,
        &folder,
        &format!("try-{}", run.lease.fence),
        port.port(),
        os_uid,
        &sampled.engine_version,
    ))
}

fn home_at(
    run: &Run,
    folder: &Path,
    attempt: &str,
    port: u16,
    os_uid: Option<u32>,
    version: &str,
) -> Home {
    let name = folder
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let short = files::short_name(name);
    let settings = &run.context.settings;
    Home {
        dir: folder.join(attempt),
        socket_dir: files::socket_dir_of(&settings.data_dir, settings.os_users, &short),
        host: HOST.to_owned(),
        port,
        os_uid,
        os_uid_shared: os_uid.is_some_and(|uid| run.context.users.may_be_shared(uid)),
        version: version.to_owned(),
        replication: Default::default(),
    }
}

/// Removes what is there of such clusters, with what a try that was cut short left: one
/// verification is under way at a time.
pub(super) async fn clear(run: &Run) -> Result<(), JobError> {
    let parent = clusters_folder(run);
    let failed = |path: &Path, error: std::io::Error| {
        JobError::retry(format!("{} cannot be cleared: {error}", path.display()))
    };
    let at = parent.clone();
    let names = files::blocking(move || names_in(&at)).await;
    for name in names.map_err(|error| failed(&parent, error))? {
        if !name.starts_with(PREFIX) {
            continue;
        }
        let engine = Arc::clone(engine_of(run, &name)?);
        let folder = parent.join(name);
        let attempts = files::attempts(&folder)
            .await
            .map_err(|error| failed(&folder, error))?;
        for attempt in attempts {
            let os_uid = owner_of(run, &folder.join(&attempt).join("data"));
            let os_uid = os_uid.map_err(|error| failed(&folder, error))?;
            let home = home_at(run, &folder, &attempt, 1, os_uid, "");
            run.slot.waiting(engine.remove(&home)).await?;
            let sockets = home.socket_dir;
            let removed = files::blocking(move || {
                engine::remove_tree(&sockets).map_err(std::io::Error::other)
            });
            removed.await.map_err(|error| failed(&folder, error))?;
        }
        let at = folder.clone();
        let removed = files::blocking(move || std::fs::remove_dir(&at)).await;
        removed.map_err(|error| failed(&folder, error))?;
    }
    Ok(())
}

/// The engine that a folder's name says. Earlier releases had one, and did not say it.
fn engine_of<'a>(run: &'a Run, folder: &str) -> Result<&'a Arc<dyn Engine>, JobError> {
    let engines = &run.context.engines;
    let named = folder.split_once('.').map(|(_, name)| engines.named(name));
    match named.or_else(|| engines.all().next().map(Ok)) {
        Some(engine) => Ok(engine?),
        None => Err(JobError::fail("there is no engine")),
    }
}

/// Whose the files are, which tells whose the processes are; none where clusters have no users of
/// their own, or before the files were given away.
fn owner_of(run: &Run, data: &Path) -> std::io::Result<Option<u32>> {
    if !run.context.settings.os_users {
        return Ok(None);
    }
    match std::fs::symlink_metadata(data) {
        Ok(facts) => Ok(Some(facts.uid()).filter(|uid| *uid != 0)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn names_in(folder: &Path) -> std::io::Result<Vec<String>> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect(),
    }
}
