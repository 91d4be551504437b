//! A new cluster: a data folder, users, a database.
//!
//! It does not know passwords, only their verifiers.
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::time::timeout;

use super::{
    handle::MySql,
    install::Install,
    master,
    options::{self, HASHING_MODULE, option},
    process::SERVER,
    profile::PROFILE,
    quoted::quoted_name,
    replicating::Purpose,
    session::Session,
};
use crate::{
    blocking::blocking,
    error::EngineError,
    folder::Folder,
    home::Home,
    hosting::{
        child::{last_lines, run_as, run_quietly},
        files::make_folder,
        hold::Hold,
        template::{Template, Templates},
        whole::mark_whole,
    },
    interface::NewCluster,
    removal::remove_tree,
};

/// How long the server may take to make a data folder.
const INITIALIZE_WAIT: Duration = Duration::from_secs(180);
/// What a template is made with beside the program: another number makes it anew.
const GENERATION: u32 = 1;
/// Characters of a database's name at most.
const DATABASE_CHARS_MAX: usize = 64;
/// Databases that every data folder has.
const TAKEN: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

impl MySql {
    pub(super) async fn create_cluster(
        &self,
        home: &Home,
        spec: &NewCluster,
    ) -> Result<(), EngineError> {
        self.check(home)?;
        check_spec(spec)?;
        let _held = Hold::take_new(home).await?;
        SERVER.end(home, Duration::ZERO).await?;
        self.make_data(home).await?;
        let furnished = async {
            self.launch(home, Purpose::Serve).await?;
            furnish(home, spec).await?;
            mark_whole(home).await
        };
        SERVER.or_end(home, furnished.await).await
    }

    /// Makes a data folder as the server leaves it: a copy of the template, or the first of this program,
    /// which becomes the template.
    ///
    /// # Errors
    /// What the program says.
    pub(super) async fn make_data(&self, home: &Home) -> Result<(), EngineError> {
        let install = self.installs.of(&home.version)?;
        let template = template(&self.templates, install);
        let (staging, data) = (home.dir.join("data.new"), home.data());
        let (from, into, old) = (template.clone(), staging.clone(), data.clone());
        let filled = blocking(move || {
            remove_tree(&old).map_err(EngineError::removal)?;
            make_empty(&into)?;
            from.map_or(Ok(false), |template| fill_from(&template, &into))
        });
        if !filled.await? {
            initialize(install, home, &staging).await?;
        }
        let owner = home.os_uid;
        blocking(move || {
            let failed = |source| EngineError::io("hand over", &staging, source);
            let folder = Folder::open(&staging).map_err(failed)?;
            // Who its server is, it finds out itself.
            folder.unlink("auto.cnf").map_err(failed)?;
            if let Some(template) = template
                && let Err(error) = template.keep(&staging)
            {
                tracing::warn!(?template, %error, "no template for clusters can be kept; each is made from nothing");
            }
            folder.give(owner).map_err(failed)?;
            fs::rename(&staging, &data).map_err(failed)
        })
        .await
    }
}

/// The template of a program as it is now; none when none are kept.
fn template(templates: &Templates, install: &Install) -> Option<Template> {
    let series = super::profile::series(&install.version);
    let program = [install.program.clone()];
    // Two copies differ in what they have not: a number that the server draws at its first start.
    let as_it_is = |_: &Path| Ok::<(), io::Error>(());
    templates.of((series, &install.version), &program, GENERATION, as_it_is)
}

fn make_empty(staging: &Path) -> Result<(), EngineError> {
    remove_tree(staging).map_err(EngineError::removal)?;
    make_folder(staging, 0o700)
        .map_err(|source| EngineError::io("make the folder", staging, source))
}

/// Fills the staging folder from the template. Answers whether it did; otherwise the folder is
/// empty, and a template that was of no use is gone.
fn fill_from(template: &Template, staging: &Path) -> Result<bool, EngineError> {
    match template.copy_to(staging) {
        Ok(filled) => Ok(filled),
        Err(error) => {
            tracing::warn!(?template, %error, "the template for clusters cannot be copied; another one is made");
            template.forget();
            make_empty(staging)?;
            Ok(false)
        }
    }
}

/// Has the server make a data folder in an empty one of ours, which is the home's user's from then on: no
/// client has been there yet.
async fn initialize(install: &Install, home: &Home, staging: &Path) -> Result<(), EngineError> {
    let scratch: PathBuf = home.dir.join("tmp");
    let failed = |source| EngineError::io("hand over", staging, source);
    make_folder(&scratch, 0o700).map_err(failed)?;
    for folder in [staging, &scratch] {
        Folder::open(folder)
            .and_then(|folder| folder.own(home.os_uid))
            .map_err(failed)?;
    }
    let mut command = crate::programs::command(&install.program);
    command.args(options::of_install(install));
    command.args(["--initialize-insecure", "--skip_log_bin"]);
    command.arg(option("datadir", staging));
    command.arg(option("tmpdir", &scratch));
    for (name, value) in options::OWN {
        command.arg(option(name, *value));
    }
    // What a cluster's server has by its own words, it does not have to have from here.
    command.args(["--caching_sha2_password_auto_generate_rsa_keys=OFF"]);
    command.arg("--innodb_redo_log_capacity=8388608");
    command.current_dir("/").stdin(Stdio::null());
    run_as(&mut command, home.os_uid.map(|uid| (uid, uid)));
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let wrong = |status: &str, stderr: &[u8]| EngineError::Program {
        title: PROFILE.title,
        program: PROFILE.program,
        status: status.to_owned(),
        tail: last_lines(stderr),
    };
    let Ok(result) = timeout(INITIALIZE_WAIT, run_quietly(command)).await else {
        return Err(wrong("no end in time", &[]));
    };
    let run = |source| EngineError::io("run", &install.program, source);
    let (status, stderr) = result.map_err(run)?;
    match status.success() {
        true => Ok(()),
        false => Err(wrong(&status.to_string(), &stderr)),
    }
}

fn check_spec(spec: &NewCluster) -> Result<(), EngineError> {
    master::check(&spec.master_username, &spec.master_verifier)?;
    let Some(name) = &spec.database_name else {
        return Ok(());
    };
    let refuse = |why| {
        Err(EngineError::BadValue {
            what: "the database's name",
            value: name.chars().take(DATABASE_CHARS_MAX).collect(),
            why,
        })
    };
    let chars = name.chars().count();
    let is_legal = |c: char| !c.is_control() && u32::from(c) <= 0xFFFF;
    if !(1..=DATABASE_CHARS_MAX).contains(&chars)
        || !name.chars().all(is_legal)
        || name.ends_with(' ')
    {
        return refuse("is none that MySQL can have");
    }
    match TAKEN.contains(&name.to_ascii_lowercase().as_str()) {
        true => refuse("is reserved"),
        false => Ok(()),
    }
}

/// Makes the master user, and its first database.
async fn furnish(home: &Home, spec: &NewCluster) -> Result<(), EngineError> {
    let mut session = Session::open(home).await?;
    add_functions(home, &mut session).await?;
    master::give(&mut session, &spec.master_username, &spec.master_verifier).await?;
    if let Some(name) = &spec.database_name {
        let statement = format!("CREATE DATABASE {}", quoted_name(name));
        session.run("make the first database", &statement).await?;
    }
    session.close().await;
    Ok(())
}

/// Gives back the functions that left the server for a module of their own, where there is that.
async fn add_functions(home: &Home, session: &mut Session) -> Result<(), EngineError> {
    let module = options::module(home, HASHING_MODULE);
    let failed = |source| EngineError::io("look at", &module, source);
    if !module.try_exists().map_err(failed)? {
        return Ok(());
    }
    let name = HASHING_MODULE.trim_end_matches(".so");
    let statement = format!("INSTALL COMPONENT 'file://{name}'");
    session.run("add its functions", &statement).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(user: &str, database: Option<&str>) -> NewCluster {
        NewCluster {
            master_username: user.to_owned(),
            master_verifier: super::super::verifier::verifier("secret"),
            database_name: database.map(str::to_owned),
        }
    }

    #[test]
    fn reserved_names_and_clear_passwords_are_refused() {
        assert!(check_spec(&spec("master", Some("app"))).is_ok());
        assert!(check_spec(&spec("Ma'ster", Some("a`b"))).is_ok());
        for (user, database) in [
            ("rdsadmin", None),
            ("root", None),
            ("mysql.sys", None),
            ("", None),
            ("a\0b", None),
            ("m", Some("mysql")),
            ("m", Some("SYS")),
            ("m", Some("a ")),
        ] {
            let refused = check_spec(&spec(user, database));
            assert!(refused.is_err(), "{user} {database:?}");
        }
        let mut clear = spec("master", None);
        clear.master_verifier = "secret".to_owned();
        assert!(check_spec(&clear).is_err());
    }
}
