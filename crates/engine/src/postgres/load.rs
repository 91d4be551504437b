//! From the files of a dump to a running, verified cluster.
//!
//! The files may come from a snapshot of another owner: every name and every file is checked, no
//! setting of theirs is used, and the server that reads them has no rights beyond them.
use std::os::unix::fs::{PermissionsExt, chown};

use super::{
    conf::{self, ADMIN, Purpose},
    control::{CONTROL_BYTES, Control},
    document::{Document, Method},
    dump::names,
    handle::Postgres,
    process,
    profile::PROFILE,
    review::{self, Review},
    session::{CHECKPOINT_WAIT, Session, column},
    wal::LogFault,
};
use crate::hosting::{
    files::home_mode,
    hold::Hold,
    server_log, users,
    whole::{is_whole, mark_whole},
};
use crate::{
    EngineError, Home, LogSource, ReplayTarget, Tls,
    blocking::blocking,
    folder::{DEPTH_MAX, Folder, Kind, read_small},
};

impl Postgres {
    pub(super) async fn load_dump(&self, home: &Home, document: &str) -> Result<(), EngineError> {
        let recovery = self.launch(home, Purpose::Recover, ADMIN);
        self.load_and(home, document, recovery).await
    }

    /// The same, and applies the log behind the dump.
    pub(super) async fn load_and_replay(
        &self,
        home: &Home,
        document: &str,
        target: &ReplayTarget,
        log: &mut dyn LogSource,
    ) -> Result<(), EngineError> {
        let recovery = self.replay(home, target, log);
        self.load_and(home, document, recovery).await
    }

    async fn load_and(
        &self,
        home: &Home,
        document: &str,
        recovery: impl Future<Output = Result<(), EngineError>> + Send,
    ) -> Result<(), EngineError> {
        self.check(home)?;
        let document = Document::parse(document)?;
        let install = self.installs.of(&home.version)?;
        if document.major != install.major {
            return Err(EngineError::bad_dump(format!(
                "it is of PostgreSQL {}, and the cluster's version is {}",
                document.major, install.version
            )));
        }
        self.warn_of_other_libraries(home, &document);
        let _held = Hold::take(home).await?;
        if is_whole(home)? {
            return Err(EngineError::AlreadyWhole {
                home: home.dir.clone(),
            });
        }
        if !process::looked(home).await?.is_empty() {
            return Err(EngineError::bad_dump("a server works on its files already"));
        }
        let (job_home, job_document) = (home.clone(), document.clone());
        blocking(move || prepare(&job_home, &job_document)).await?;
        let recovered = async {
            recovery.await?;
            verify(home, &document, self.tls_of(home)?).await?;
            mark_whole(home).await
        };
        process::SERVER.or_end(home, recovered.await).await
    }

    fn warn_of_other_libraries(&self, home: &Home, document: &Document) {
        let here = self.installs.libc_version();
        if document.libc.is_some() && document.libc.as_deref() != here {
            tracing::warn!(
                home = %home.dir.display(),
                dump = document.libc.as_deref(),
                here,
                "another C library wrote this dump: rebuild indexes on text whose collation is not C"
            );
        }
    }
}

/// Checks the files, hands them to the server's user, and tells the server to recover.
fn prepare(home: &Home, document: &Document) -> Result<(), EngineError> {
    let data = home.data();
    let failed = |source| EngineError::io("prepare", &data, source);
    // The attempt's folder is ours, whoever made it, before anything in it is given away.
    if home.os_uid.is_some() {
        chown(&home.dir, Some(0), Some(0)).map_err(failed)?;
    }
    let mode = std::fs::Permissions::from_mode(home_mode(home));
    std::fs::set_permissions(&home.dir, mode).map_err(failed)?;

    let folder = Folder::open(&data).map_err(failed)?;
    check_names(&folder, "", DEPTH_MAX)?;
    let control = check_control(&folder, document)?;
    let labelled = folder.has_file("backup_label").map_err(failed)?;
    match (document.method, labelled) {
        (Method::Online, false) => {
            return Err(EngineError::bad_dump(
                "it was taken from a running server, and its backup_label is missing",
            ));
        }
        (Method::Stopped, true) => {
            return Err(EngineError::bad_dump(
                "it has a backup_label, but was of a stopped server",
            ));
        }
        _ => {}
    }
    if document.method == Method::Online {
        clear_unlogged(home, &folder, document, &control)?;
    }
    for name in names::FOLDERS {
        folder.make(name).map_err(failed)?;
    }
    folder.touch("recovery.signal").map_err(failed)?;
    folder.give(home.os_uid).map_err(failed)?;
    // What recovery reads must survive a crash as it was checked.
    folder.sync_file_system().map_err(failed)
}

/// Refuses names that no dump of this engine has, and all that is neither folder nor file.
fn check_names(folder: &Folder, path: &str, depth: usize) -> Result<(), EngineError> {
    let failed = |source| EngineError::io("read", path, source);
    if depth == 0 {
        return Err(EngineError::bad_dump("its folders are nested too deep"));
    }
    for entry in folder.entries().map_err(failed)? {
        let name = match path {
            "" => entry.name.clone(),
            _ => format!("{path}/{}", entry.name),
        };
        let expected = match (path, entry.kind) {
            (_, Kind::Other) => false,
            ("", Kind::Folder) => names::FOLDERS.contains(&entry.name.as_str()),
            ("", Kind::File) => ["PG_VERSION", "backup_label"].contains(&entry.name.as_str()),
            ("pg_tblspc", _) => false,
            _ => true,
        };
        if !expected {
            return Err(EngineError::bad_dump(format!(
                "{name:?} is not expected in it"
            )));
        }
        if entry.kind == Kind::Folder {
            check_names(
                &folder.enter(&entry.name).map_err(failed)?,
                &name,
                depth - 1,
            )?;
        }
    }
    Ok(())
}

/// Removes what recovery would stumble over: content of unlogged relations whose templates the
/// log makes. Dumps of earlier releases have it. What the log cannot tell is left to recovery,
/// which reads the same log.
fn clear_unlogged(
    home: &Home,
    folder: &Folder,
    document: &Document,
    control: &Control,
) -> Result<(), EngineError> {
    let Some(segments) = review::segments(control, document.timeline) else {
        return Err(EngineError::bad_dump(
            "global/pg_control: it gives no size of log segments",
        ));
    };
    let places = document.places().ok_or_else(|| {
        EngineError::bad_dump("its document does not say where its log begins and ends")
    })?;
    let pg_wal = folder
        .enter("pg_wal")
        .map_err(|source| EngineError::bad_dump(format!("pg_wal: {source}")))?;
    let review = match Review::of(&pg_wal, segments, places, || Ok::<_, LogFault>(())) {
        Ok(review) => review,
        Err(fault) => {
            tracing::warn!(home = %home.dir.display(), %fault, "a dump's log is not what it should be");
            return Ok(());
        }
    };
    let failed = |source| EngineError::io("clear", home.data(), source);
    for database in review.databases() {
        let path = format!("base/{database}");
        let inner = match folder.descend(&path) {
            Ok(inner) => inner,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(failed(source)),
        };
        for entry in inner.entries().map_err(failed)? {
            let content = names::content_of(&path, &entry.name);
            if content.is_some_and(|place| review.is_unlogged(place)) {
                inner.unlink(&entry.name).map_err(failed)?;
                tracing::info!(home = %home.dir.display(), file = %format!("{path}/{}", entry.name), "left out: it is of an unlogged relation");
            }
        }
    }
    Ok(())
}

fn check_control(folder: &Folder, document: &Document) -> Result<Control, EngineError> {
    let missing = |error| EngineError::bad_dump(format!("global/pg_control: {error}"));
    let global = folder.enter("global").map_err(missing)?;
    let mut file = global.file("pg_control").map_err(missing)?;
    let bytes = read_small(&mut file, CONTROL_BYTES as u64 + 1).map_err(missing)?;
    let control = Control::read(&bytes)
        .map_err(|fault| EngineError::bad_dump(format!("global/pg_control: {fault}")))?;
    if document.method == Method::Stopped && !control.is_shut_down() {
        return Err(EngineError::bad_dump("its server was not shut down"));
    }
    document.agrees_with(&control)?;
    Ok(control)
}

/// Asks the recovered server whether it is the cluster that the document describes.
async fn verify(home: &Home, document: &Document, tls: Option<Tls>) -> Result<(), EngineError> {
    let session = Session::open(home, ADMIN).await?;
    // Beyond this the server needs no restore_command; a later start does not know it at all.
    let at = home.clone();
    let settle = move || {
        conf::write(
            &at,
            &users::need_own_user_name()?,
            Purpose::Serve,
            tls.as_ref(),
        )?;
        process::reload(&at)
    };
    blocking(settle).await?;
    session
        .run_within(CHECKPOINT_WAIT, "write a checkpoint", "CHECKPOINT")
        .await?;
    let row = session
        .row(
            "describe itself",
            "SELECT pg_is_in_recovery(), \
                    (SELECT system_identifier::text FROM pg_control_system()), \
                    (SELECT timeline_id FROM pg_control_checkpoint()), \
                    current_setting('data_checksums') = 'on', \
                    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), \
                    (SELECT count(*) FROM pg_tablespace WHERE spcname NOT LIKE 'pg\\_%')",
            &[],
        )
        .await?;
    let faults = [
        (column::<bool>(&row, 0)?, "the server is still in recovery"),
        (
            column::<&str>(&row, 1)? != document.system_identifier,
            "the server has another system identifier",
        ),
        (
            i64::from(column::<i32>(&row, 2)?) <= i64::from(document.timeline),
            "the server is not on a new timeline",
        ),
        (
            !column::<bool>(&row, 3)?,
            "the server does not check its pages",
        ),
        (
            !column::<bool>(&row, 4)?,
            "the administrator's role is no superuser",
        ),
        (column::<i64>(&row, 5)? != 0, "it has tablespaces"),
    ];
    if let Some((_, why)) = faults.iter().find(|(found, _)| *found) {
        tracing::warn!(home = %home.dir.display(), log = server_log::tail(home, &PROFILE), why, "a load failed");
        return Err(EngineError::bad_dump(*why));
    }
    session.close().await;
    Ok(())
}
