//! The engine `postgres`: PostgreSQL 15 and newer, with the programs of this machine.
//!
//! It does not know where a dump goes or comes from, nor whose the cluster is.
//!
//! Isolation: as root, a cluster's server runs under a user number of its own, which owns
//! `data/` and the socket's folder and nothing else. `home.dir`, `conf/` and `log/` belong to
//! root. A role with CREATEROLE can run programs as the server's user (before PostgreSQL 16), so
//! what lies in `data/` is never trusted: it is entered without following links, and files of
//! another owner are refused.
mod admission;
mod ask;
mod bounded;
mod changes;
mod client;
mod conf;
mod control;
mod create;
mod document;
mod dump;
mod eviction;
mod examine;
mod extensions;
mod follow;
mod handle;
mod inspect;
mod install;
mod left;
mod load;
mod master;
mod own_programs;
mod page;
mod parameters;
mod ping;
mod places;
mod process;
mod profile;
mod promote;
mod replay;
mod review;
mod rights;
mod run;
mod session;
mod shared_memory;
mod tail;
mod template;
mod wal;
mod walsender;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use model::{LogPlace, Standing};

use crate::{
    Answer, ChangeMaps, Configured, Confinement, DumpInfo, DumpSink, Engine, EngineError, Examined,
    Home, Inspected, Inspection, LogSource, LogTail, NewCluster, Parameter, Programs, Question,
    ReplayTarget, Replica, ServerState, Tls, WantedParameters,
    blocking::blocking,
    hosting::{
        child::own_uid,
        fence::{self, FENCED},
        hold::Hold,
        server_log, users,
        whole::is_whole,
    },
    profile::Profile,
};
use conf::ADMIN;
use install::Install;
use shared_memory::Left;

pub use eviction::{Eviction, EvictionError, Evictor, Occupant, shown as shown_occupants};
pub use handle::Postgres;
pub(crate) use profile::PROFILE;

#[doc(hidden)]
pub use changes::changes_between;
#[doc(hidden)]
pub use page::checksum as page_checksum;
#[doc(hidden)]
pub use wal::list_log;

/// The engine, with the programs in these places.
pub(crate) fn open(programs: &Programs) -> Arc<dyn Engine> {
    Arc::new(Postgres::only(programs.folders(install::PACKAGES_DIR)))
}

#[async_trait]
impl Engine for Postgres {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn searched(&self) -> Vec<PathBuf> {
        self.installs.roots().to_vec()
    }

    fn verifier(&self, password: &str) -> String {
        profile::verifier(password)
    }

    fn installed(&self) -> Vec<String> {
        let mut versions: Vec<String> = self
            .installs
            .all()
            .iter()
            .filter(|install| self.can_serve(install))
            .map(|install| install.version.clone())
            .collect();
        versions.dedup();
        versions
    }

    async fn set_master_password(
        &self,
        home: &Home,
        master_username: &str,
        verifier: &str,
    ) -> Result<(), EngineError> {
        master::set_password(home, master_username, verifier).await
    }

    async fn create(&self, home: &Home, spec: &NewCluster) -> Result<(), EngineError> {
        self.create_cluster(home, spec).await
    }

    async fn start(&self, home: &Home) -> Result<(), EngineError> {
        let not_whole = || EngineError::NotWhole {
            home: home.dir.clone(),
        };
        self.check(home)?;
        // One that follows can be made anew.
        let can_start =
            || Ok::<_, EngineError>(home.replication.upstream.is_some() || is_whole(home)?);
        if !can_start()? {
            return Err(not_whole());
        }
        let held = Hold::take_if_there(home).await?;
        // Looked at again: a removal may have held the lock.
        if held.is_none() || !can_start()? {
            return Err(not_whole());
        }
        match home.replication.upstream {
            Some(_) => self.start_follower(home).await,
            None => {
                // Whoever asks may know of an older state of things: two must never take writes.
                let follows = !follow::control_of(home).await?.took_writes();
                if follows || FENCED.text(home).await?.is_some() {
                    return Err(EngineError::Fenced {
                        home: home.dir.clone(),
                    });
                }
                self.launch(home, conf::Purpose::Serve, ADMIN).await
            }
        }
    }

    async fn fence(&self, home: &Home, token: &str, patience: Duration) -> Result<(), EngineError> {
        process::SERVER.fence(home, token, patience).await
    }

    async fn fenced(&self, home: &Home) -> Result<Option<String>, EngineError> {
        FENCED.text(home).await
    }

    async fn unfence(&self, home: &Home, token: &str) -> Result<(), EngineError> {
        fence::unfence(home, token).await
    }

    async fn follow(&self, home: &Home) -> Result<(), EngineError> {
        self.follow_upstream(home).await
    }

    async fn follow_again(&self, home: &Home) -> Result<(), EngineError> {
        self.copy_again(home).await
    }

    async fn promote(&self, home: &Home, fenced: Option<&Home>) -> Result<(), EngineError> {
        self.promote_follower(home, fenced).await
    }

    fn follows_afar(&self, version: &str) -> bool {
        self.tls.get().is_some() && self.installs.of(version).is_ok_and(Install::has_tls)
    }

    async fn took_writes(&self, home: &Home) -> Result<bool, EngineError> {
        Ok(is_whole(home)? && follow::control_of(home).await?.took_writes())
    }

    async fn leave(&self, home: &Home, term: u64) -> Result<Standing, EngineError> {
        self.leave_writer(home, term).await
    }

    async fn is_whole(&self, home: &Home) -> Result<bool, EngineError> {
        is_whole(home)
    }

    async fn replica(&self, home: &Home) -> Result<Replica, EngineError> {
        self.replica_state(home).await
    }

    async fn stop(&self, home: &Home, patience: Duration) -> Result<(), EngineError> {
        process::end(home, patience).await
    }

    async fn state(&self, home: &Home) -> Result<ServerState, EngineError> {
        let Some(postmaster) = process::SERVER.found(home).await? else {
            return Ok(ServerState::Ended);
        };
        if !ping::answers(home).await {
            return Ok(ServerState::Silent);
        }
        let (addresses, limited) = (&self.addresses, &self.limited);
        let watched = process::SERVER.watch_process(addresses, limited, home, postmaster);
        watched.await?;
        Ok(ServerState::Answers)
    }

    fn dump(&self, home: &Home, sink: &mut dyn DumpSink) -> Result<DumpInfo, EngineError> {
        dump::dump(&self.installs, &self.known, home, sink)
    }

    async fn tail(
        &self,
        home: &Home,
        from: Option<LogPlace>,
    ) -> Result<Box<dyn LogTail>, EngineError> {
        Ok(Box::new(tail::Tail::open(home, from, &self.known).await?))
    }

    async fn log_bound_taken(&self, home: &Home) -> Result<Option<f64>, EngineError> {
        tail::bound_taken(home).await
    }

    async fn end_tail(&self, home: &Home) -> Result<(), EngineError> {
        self.known.forget(&home.dir);
        tail::end(home).await
    }

    async fn load_until(
        &self,
        home: &Home,
        document: &str,
        target: &ReplayTarget,
        log: &mut dyn LogSource,
    ) -> Result<(), EngineError> {
        self.load_and_replay(home, document, target, log).await
    }

    async fn load(&self, home: &Home, document: &str) -> Result<(), EngineError> {
        self.load_dump(home, document).await
    }

    async fn remove(&self, home: &Home) -> Result<(), EngineError> {
        self.known.forget(&home.dir);
        let at = home.clone();
        let left = blocking(move || Ok(Left::by(&at))).await?;
        process::SERVER.remove(&self.limited, home).await?;
        blocking(move || {
            left.remove();
            Ok(())
        })
        .await
    }

    async fn trim_log(&self, home: &Home) -> Result<(), EngineError> {
        let home = home.clone();
        blocking(move || server_log::trim(&home, &PROFILE)).await
    }

    fn hold(&self, home: &Home) -> Result<(), EngineError> {
        self.addresses.hold(home)
    }

    fn release(&self, home: &Home) {
        self.addresses.release(home);
    }

    async fn ended(&self) {
        self.addresses.ended().await;
    }

    async fn examine(&self, home: &Home) -> Result<Examined, EngineError> {
        self.examine_cluster(home).await
    }

    async fn ask(&self, home: &Home, question: &Question) -> Result<Answer, EngineError> {
        self.ask_cluster(home, question).await
    }

    async fn inspect(&self, home: &Home, what: Inspection) -> Result<Inspected, EngineError> {
        self.inspect_cluster(home, what).await
    }

    fn keep_templates(&self, folder: PathBuf) {
        self.templates.keep_in(folder);
    }

    fn keep_programs(&self, folder: PathBuf) {
        self.own_programs.keep_in(folder);
    }

    fn is_cluster_wide(&self, parameter: &str) -> bool {
        parameters::owned::SAME_EVERYWHERE.contains(&parameter)
    }

    async fn give_rights(&self, home: &Home, master_username: &str) -> Result<(), EngineError> {
        match home.replication.upstream {
            // It follows in this, too.
            Some(_) => Ok(()),
            None => rights::ensure(home, master_username).await,
        }
    }

    fn confine(&self, confinement: Confinement) {
        self.limited.set(confinement);
    }

    fn know_changes(&self, how: ChangeMaps) {
        self.known.set(how);
    }

    fn use_tls(&self, tls: Tls) {
        // The first one stays.
        let _ = self.tls.set(tls);
    }

    async fn renew(&self, home: &Home) -> Result<(), EngineError> {
        let (at, tls) = (home.clone(), self.tls_of(home)?);
        blocking(move || {
            let own_user = users::need_own_user_name()?;
            if conf::write(&at, &own_user, conf::Purpose::Serve, tls.as_ref())? {
                tracing::info!(home = %at.dir.display(), "the server has new settings or a new certificate");
                process::reload(&at)?;
            }
            Ok(())
        })
        .await?;
        match home.replication.is_shared() {
            true => self.keep_slots(home).await,
            false => Ok(()),
        }
    }

    async fn parameters(&self, version: &str) -> Result<Arc<Vec<Parameter>>, EngineError> {
        self.list(version).await
    }

    async fn check_parameters(
        &self,
        version: &str,
        values: &BTreeMap<String, String>,
    ) -> Result<Option<String>, EngineError> {
        self.judge(version, values).await
    }

    async fn configure(
        &self,
        home: &Home,
        wanted: &WantedParameters,
    ) -> Result<Configured, EngineError> {
        self.configure_cluster(home, wanted).await
    }

    fn helper_uids(&self) -> Vec<u32> {
        match own_uid() {
            0 => users::helper_user(&install::HELPERS)
                .into_iter()
                .map(|(uid, _)| uid)
                .collect(),
            _ => Vec::new(),
        }
    }
}
