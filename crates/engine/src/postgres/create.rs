//! A new cluster: initdb, roles, databases.
//!
//! It does not know passwords, only their verifiers.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::time::timeout;

use super::{
    conf::{ADMIN, Purpose},
    handle::Postgres,
    install, master, process,
    profile::PROFILE,
    rights,
    session::{Session, quoted_name},
    template,
};
use crate::hosting::{
    child::{last_lines, run_as, run_quietly},
    files,
    hold::Hold,
    template::Template,
    users,
    whole::mark_whole,
};
use crate::{
    blocking::blocking, error::EngineError, folder::Folder, home::Home, interface::NewCluster,
    reach, removal::remove_tree,
};

/// How long initdb may take.
const INITDB_WAIT: Duration = Duration::from_secs(180);
/// The database that initdb leaves for sessions.
const FIRST_DATABASE: &str = "postgres";

impl Postgres {
    pub(super) async fn create_cluster(
        &self,
        home: &Home,
        spec: &NewCluster,
    ) -> Result<(), EngineError> {
        self.check(home)?;
        check_spec(spec)?;
        let _held = Hold::take_new(home).await?;
        process::end(home, Duration::ZERO).await?;
        let staging = self.init(home).await?;
        let (owner, data) = (home.os_uid, home.data());
        blocking(move || {
            let failed = |source| EngineError::io("hand over", &staging, source);
            let folder = Folder::open(&staging).map_err(failed)?;
            folder.give(owner).map_err(failed)?;
            fs::rename(&staging, &data).map_err(failed)
        })
        .await?;
        let furnished = async {
            self.launch(home, Purpose::Serve, FIRST_DATABASE).await?;
            furnish(home, spec).await?;
            mark_whole(home).await
        };
        process::SERVER.or_end(home, furnished.await).await
    }

    /// Makes what initdb leaves beside the data folder, where the server's user cannot change it: a
    /// copy of the template, or the first of these programs, which becomes the template.
    async fn init(&self, home: &Home) -> Result<PathBuf, EngineError> {
        let helper = helper(home)?;
        if let Some((uid, _)) = helper
            && let Some(folder) = reach::first_unreachable(&home.dir, uid)
        {
            return Err(EngineError::Unreachable { folder, uid });
        }
        let install = self.installs.of(&home.version)?;
        let template = template::of(&self.templates, install);
        let staging = begin_staging(home).await?;
        if let Some(template) = &template
            && fill_from(template, &staging).await?
        {
            return Ok(staging);
        }
        run_initdb(install.program("initdb"), &staging, helper).await?;
        if let Some(template) = template {
            keep(template, &staging).await?;
        }
        Ok(staging)
    }
}

/// An empty folder of our own beside the data folder, of which nothing is left.
async fn begin_staging(home: &Home) -> Result<PathBuf, EngineError> {
    let (staging, data) = (home.dir.join("data.new"), home.data());
    blocking(move || {
        remove_tree(&data).map_err(EngineError::removal)?;
        make_empty(&staging)?;
        Ok(staging)
    })
    .await
}

fn make_empty(staging: &Path) -> Result<(), EngineError> {
    remove_tree(staging).map_err(EngineError::removal)?;
    files::make_folder(staging, 0o700)
        .map_err(|source| EngineError::io("make the folder", staging, source))
}

/// Fills the staging folder from the template. Answers whether it did; otherwise the folder is
/// empty, and a template that was of no use is gone.
async fn fill_from(template: &Template, staging: &Path) -> Result<bool, EngineError> {
    let (template, staging) = (template.clone(), staging.to_owned());
    blocking(move || match template.copy_to(&staging) {
        Ok(filled) => Ok(filled),
        Err(error) => {
            tracing::warn!(?template, %error, "the template for clusters cannot be copied; initdb makes another one");
            template.forget();
            make_empty(&staging)?;
            Ok(false)
        }
    })
    .await
}

/// Keeps what initdb left as the template. Clusters do not need one.
async fn keep(template: Template, staging: &Path) -> Result<(), EngineError> {
    let staging = staging.to_owned();
    blocking(move || {
        if let Err(error) = template.keep(&staging) {
            tracing::warn!(?template, %error, "no template for clusters can be kept; each takes an initdb");
        }
        Ok(())
    })
    .await
}

/// Runs initdb on an empty folder of our own, which is its user's from then on.
pub(super) async fn run_initdb(
    program: PathBuf,
    staging: &Path,
    helper: Option<(u32, u32)>,
) -> Result<(), EngineError> {
    if let Some((uid, gid)) = helper {
        std::os::unix::fs::chown(staging, Some(uid), Some(gid))
            .map_err(|source| EngineError::io("hand over", staging, source))?;
    }
    let mut command = crate::programs::command(&program);
    command
        .arg("--pgdata")
        .arg(staging)
        .args(["--username", ADMIN, "--data-checksums"])
        .args(["--locale=C.UTF-8", "--encoding=UTF8", "--no-instructions"])
        // Its settings are thrown away; these only keep it from trusting anybody.
        .args(["--auth-local=peer", "--auth-host=reject"])
        // All of it is made durable before the cluster, or the template, is said to be whole.
        .arg("--no-sync")
        .current_dir("/")
        .stdin(Stdio::null());
    run_as(&mut command, helper);
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let Ok(result) = timeout(INITDB_WAIT, run_quietly(command)).await else {
        return Err(initdb_failed("no end in time", &[]));
    };
    let (status, stderr) = result.map_err(|source| EngineError::io("run", program, source))?;
    if !status.success() {
        return Err(initdb_failed(&status.to_string(), &stderr));
    }
    Ok(())
}

/// The user that initdb runs as: none when this process is no root and serves itself.
fn helper(home: &Home) -> Result<Option<(u32, u32)>, EngineError> {
    match home.os_uid {
        Some(_) => {
            users::helper_user(&install::HELPERS)
                .map(Some)
                .ok_or(EngineError::NoHelperUser {
                    users: "postgres or nobody",
                    program: "initdb",
                })
        }
        None => Ok(None),
    }
}

fn initdb_failed(status: &str, stderr: &[u8]) -> EngineError {
    EngineError::Program {
        title: PROFILE.title,
        program: "initdb",
        status: status.to_owned(),
        tail: last_lines(stderr),
    }
}

fn check_spec(spec: &NewCluster) -> Result<(), EngineError> {
    master::check(&spec.master_username, &spec.master_verifier)?;
    if let Some(name) = &spec.database_name {
        master::check_name(
            "the database's name",
            name,
            &[ADMIN, "template0", "template1"],
        )?;
    }
    Ok(())
}

/// Makes the administrator's database, the master role and what it owns.
async fn furnish(home: &Home, spec: &NewCluster) -> Result<(), EngineError> {
    let session = Session::open(home, FIRST_DATABASE).await?;
    let master = quoted_name(&spec.master_username);
    session
        .run_unseen(
            "make the master role",
            &format!(
                "CREATE ROLE {master} {}",
                master::attributes(&spec.master_verifier)
            ),
        )
        .await?;
    rights::give(&session, &spec.master_username).await?;
    // Our sessions never enter a database that a user can change.
    let own_database = "make the administrator's database";
    session
        .run(
            own_database,
            &format!("CREATE DATABASE {ADMIN} OWNER {ADMIN}"),
        )
        .await?;
    session
        .run(
            own_database,
            &format!("REVOKE ALL ON DATABASE {ADMIN} FROM PUBLIC"),
        )
        .await?;
    session
        .run(
            "give postgres to the master role",
            &format!("ALTER DATABASE {FIRST_DATABASE} OWNER TO {master}"),
        )
        .await?;
    if let Some(name) = spec
        .database_name
        .as_deref()
        .filter(|name| *name != FIRST_DATABASE)
    {
        session
            .run(
                "make the first database",
                &format!("CREATE DATABASE {} OWNER {master}", quoted_name(name)),
            )
            .await?;
    }
    session.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(user: &str, database: Option<&str>) -> NewCluster {
        NewCluster {
            master_username: user.to_owned(),
            master_verifier: super::super::profile::verifier("secret"),
            database_name: database.map(str::to_owned),
        }
    }

    #[test]
    fn reserved_names_and_clear_passwords_are_refused() {
        assert!(check_spec(&spec("master", Some("app"))).is_ok());
        assert!(check_spec(&spec("Ma\"ster", Some("postgres"))).is_ok());
        for (user, database) in [
            ("rdsadmin", None),
            ("pg_monitor", None),
            ("", None),
            ("a\0b", None),
            ("m", Some("template1")),
            ("m", Some("rdsadmin")),
        ] {
            assert!(
                check_spec(&spec(user, database)).is_err(),
                "{user} {database:?}"
            );
        }
        let mut clear = spec("master", None);
        clear.master_verifier = "SCRAM-SHA-256$4096:x".to_owned();
        assert!(check_spec(&clear).is_err());
    }

    #[test]
    fn the_spec_does_not_show_its_verifier() {
        assert!(!format!("{:?}", spec("master", None)).contains("SCRAM"));
    }
}
