//! The engine `mysql`: MySQL 8.0.30 and newer, with the programs of this machine.
//!
//! It does not know where a dump goes or comes from, nor whose the cluster is.
//!
//! Isolation: as root, a cluster's server runs under a user number of its own, which owns `data/`, `tmp/` and
//! the socket's folder and nothing else. `home.dir`, `conf/` and `log/` belong to root. What lies in `data/` is
//! never trusted: it is entered without following links, and no file of it is ever a setting.
mod binlog;
mod client;
mod commits;
mod create;
mod document;
mod dump;
mod examine;
mod handle;
mod install;
mod load;
mod master;
mod members;
mod options;
mod own_accounts;
mod page;
mod parameters;
mod ping;
mod points;
mod process;
mod profile;
mod purge;
mod quoted;
mod redo;
mod replicating;
mod rights;
mod run;
mod semi_sync;
mod session;
mod verifier;
mod wire;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use model::LogPlace;

use crate::{
    Configured, Confinement, DumpInfo, DumpSink, Engine, EngineError, Examined, Home, Inheritance,
    LogSource, LogTail, NewCluster, Parameter, Programs, ReplayTarget, Replica, ServerState, Tls,
    WantedParameters,
    blocking::blocking,
    hosting::{
        fence::{self, FENCED},
        hold::Hold,
        server_log,
        whole::is_whole,
    },
    profile::Profile,
};
use points::kept::KEPT;
use process::SERVER;
use replicating::Purpose;

pub use handle::MySql;
pub(crate) use profile::PROFILE;

/// The engine, with the programs in these places.
pub(crate) fn open(programs: &Programs) -> Arc<dyn Engine> {
    Arc::new(MySql::of_programs(programs))
}

#[async_trait]
impl Engine for MySql {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn searched(&self) -> Vec<PathBuf> {
        self.installs.roots().to_vec()
    }

    fn verifier(&self, password: &str) -> String {
        verifier::verifier(password)
    }

    fn installed(&self) -> Vec<String> {
        let versions = self.installs.all().iter();
        versions.map(|install| install.version.clone()).collect()
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
        self.check(home)?;
        let not_whole = || EngineError::NotWhole {
            home: home.dir.clone(),
        };
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
                self.may_write(home).await?;
                self.launch(home, Purpose::Serve).await
            }
        }
    }

    async fn fence(&self, home: &Home, token: &str, patience: Duration) -> Result<(), EngineError> {
        let patience = commits::patience_of(home, patience).await?;
        SERVER.fence(home, token, patience).await
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

    async fn inheritance(&self, home: &Home, writer: &Home) -> Result<Inheritance, EngineError> {
        self.inheritance_of(home, writer).await
    }

    async fn promote(&self, home: &Home, fenced: Option<&Home>) -> Result<(), EngineError> {
        self.promote_follower(home, fenced).await
    }

    async fn is_whole(&self, home: &Home) -> Result<bool, EngineError> {
        is_whole(home)
    }

    async fn replica(&self, home: &Home) -> Result<Replica, EngineError> {
        self.replica_state(home).await
    }

    async fn stop(&self, home: &Home, patience: Duration) -> Result<(), EngineError> {
        commits::end(home, patience).await
    }

    async fn state(&self, home: &Home) -> Result<ServerState, EngineError> {
        let Some(process) = SERVER.found(home).await? else {
            return Ok(ServerState::Ended);
        };
        if !ping::answers(home).await {
            return Ok(ServerState::Silent);
        }
        let watched = SERVER.watch_process(&self.addresses, &self.limited, home, process);
        watched.await?;
        Ok(ServerState::Answers)
    }

    fn dump(&self, home: &Home, sink: &mut dyn DumpSink) -> Result<DumpInfo, EngineError> {
        dump::dump(&self.dump_terms(home)?, home, sink)
    }

    async fn load(&self, home: &Home, document: &str) -> Result<(), EngineError> {
        self.load_dump(home, document).await
    }

    async fn tail(
        &self,
        home: &Home,
        from: Option<LogPlace>,
    ) -> Result<Box<dyn LogTail>, EngineError> {
        Ok(Box::new(self.tail_of(home, from).await?))
    }

    async fn end_tail(&self, home: &Home) -> Result<(), EngineError> {
        KEPT.clear(home).await
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

    async fn remove(&self, home: &Home) -> Result<(), EngineError> {
        SERVER.remove(&self.limited, home).await
    }

    async fn trim_log(&self, home: &Home) -> Result<(), EngineError> {
        let at = home.clone();
        blocking(move || server_log::trim(&at, &PROFILE)).await?;
        purge::purge(home).await
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

    fn keep_templates(&self, folder: PathBuf) {
        self.templates.keep_in(folder);
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

    fn bound_dumps(&self, wait_max: Duration) {
        // The first one stays.
        let _ = self.lock_max.set(wait_max);
    }

    fn use_tls(&self, tls: Tls) {
        // The first one stays.
        let _ = self.tls.set(tls);
    }

    async fn renew(&self, home: &Home) -> Result<(), EngineError> {
        let (at, tls) = (home.clone(), self.tls.get().cloned());
        if blocking(move || options::write_identity(&at, tls.as_ref())).await? {
            tracing::info!(home = %home.dir.display(), "the server has a new certificate");
            let mut session = session::Session::open(home).await?;
            session
                .run("show its new certificate", "ALTER INSTANCE RELOAD TLS")
                .await?;
            session.close().await;
        }
        match home.replication.upstream {
            Some(_) => self.attach(home).await,
            None => self.keep_followers(home).await,
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
        Vec::new()
    }
}
