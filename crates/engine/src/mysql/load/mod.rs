//! From the files of a dump to a running, verified cluster.
//!
//! The files may come from a snapshot of another owner: every name and every page is checked, no setting of
//! theirs is used, and the server that reads them has no rights beyond them.
mod files;
mod log;
pub(super) mod verify;

use std::os::unix::fs::{PermissionsExt, chown};

use super::{
    MySql,
    document::{Document, Places},
    process::SERVER,
    profile,
    replicating::Purpose,
};
use crate::{
    EngineError, Home,
    blocking::blocking,
    folder::Folder,
    hosting::{
        hold::Hold,
        whole::{is_whole, mark_whole},
    },
};

impl MySql {
    pub(super) async fn load_dump(&self, home: &Home, document: &str) -> Result<(), EngineError> {
        let (_held, _, places) = self.prepare_load(home, document).await?;
        let recovered = async {
            self.launch(home, Purpose::Recover).await?;
            verify::serve(home, places).await?;
            mark_whole(home).await
        };
        SERVER.or_end(home, recovered.await).await
    }

    /// Checks a dump's files, and hands them to the server's user. Holds the home's lock from then on.
    ///
    /// # Errors
    /// As [`crate::Engine::load`].
    pub(super) async fn prepare_load(
        &self,
        home: &Home,
        document: &str,
    ) -> Result<(Hold, Document, Places), EngineError> {
        self.check(home)?;
        let (document, places) = Document::parse(document)?;
        let install = self.installs.of(&home.version)?;
        if !can_read(&install.version, &document) {
            return Err(EngineError::bad_dump(format!(
                "it is of MySQL {}, and the cluster's version is {}",
                document.version, install.version
            )));
        }
        let held = Hold::take(home).await?;
        if is_whole(home)? {
            return Err(EngineError::AlreadyWhole {
                home: home.dir.clone(),
            });
        }
        if SERVER.looked(home).await?.has_server() {
            return Err(EngineError::bad_dump("a server works on its files already"));
        }
        let (job_home, job_document) = (home.clone(), document.clone());
        blocking(move || prepare(&job_home, &job_document, places)).await?;
        Ok((held, document, places))
    }
}

/// Whether a server of this version reads the files of a dump: one of the same series that is no older.
fn can_read(installed: &str, document: &Document) -> bool {
    let numbers = |version: &str| -> Vec<u32> {
        let parts = version.split('.');
        parts.map(|part| part.parse().unwrap_or(u32::MAX)).collect()
    };
    profile::series(installed) == document.series
        && profile::series(&document.version) == document.series
        && numbers(&document.version) <= numbers(installed)
}

/// Checks the files, and hands them to the server's user.
///
/// # Errors
/// [`EngineError::BadDump`]; the system's.
pub(super) fn prepare(home: &Home, document: &Document, places: Places) -> Result<(), EngineError> {
    let data = home.data();
    let failed = |source| EngineError::io("prepare", &data, source);
    // The attempt's folder is ours, whoever made it, before anything in it is given away.
    if home.os_uid.is_some() {
        chown(&home.dir, Some(0), Some(0)).map_err(failed)?;
    }
    let mode = match home.os_uid {
        // The server's user passes through to its own folders.
        Some(_) => 0o711,
        None => 0o700,
    };
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(&home.dir, mode).map_err(failed)?;
    let folder = Folder::open(&data).map_err(failed)?;
    let found = files::check(&folder)?;
    if found != document.tablespace_files {
        return Err(EngineError::bad_dump(format!(
            "it has {found} files of tablespaces, and {} are expected",
            document.tablespace_files
        )));
    }
    log::check(&folder, places)?;
    folder.give(home.os_uid).map_err(failed)?;
    // What recovery reads must survive a crash as it was checked.
    folder.sync_file_system().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::{
        super::document::{Circumstances, Method},
        *,
    };

    #[test]
    fn a_server_of_the_same_series_that_is_no_older_reads_a_dump() {
        let document = |version: &str, series: &str| {
            Document::new(Circumstances {
                version: version.to_owned(),
                series: series.to_owned(),
                method: Method::Stopped,
                places: Places {
                    checkpoint: 1,
                    end: 1,
                },
                tablespace_files: 1,
                gtid_executed: String::new(),
            })
        };
        for (installed, version, series, reads) in [
            ("9.7.4", "9.7.4", "9.7", true),
            ("9.7.10", "9.7.9", "9.7", true),
            ("9.7.4", "9.7.5", "9.7", false),
            ("9.7.4", "8.4.7", "8.4", false),
            ("9.7.4", "8.4.7", "9.7", false),
            ("9.7.4", "9.7.x", "9.7", false),
            ("8.4.7", "9.7.4", "9.7", false),
        ] {
            let document = document(version, series);
            assert_eq!(
                can_read(installed, &document),
                reads,
                "{installed} {version}"
            );
        }
    }
}
