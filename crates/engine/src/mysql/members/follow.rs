//! Servers that follow another one of their cluster: made as copies of it, and taken back when they had writes of
//! their own.
//!
//! It does not know who takes writes in their place.
use std::time::Duration;

use model::ErrorKind;

use super::{
    super::{
        binlog::gtids,
        document::Document,
        handle::MySql,
        load,
        points::kept::KEPT,
        process::SERVER,
        quoted::quoted_text,
        replicating::{self, Purpose},
        run::RESTART_WAIT,
        session::Session,
    },
    FOLLOWS,
    link::{Link, detach},
};
use crate::{
    blocking::blocking,
    error::EngineError,
    home::Home,
    hosting::{
        chosen,
        follower::{may_follow, upstream},
        hold::Hold,
        whole::{is_whole, mark_whole},
    },
    interface::Replica,
};

/// How long a server that is there already waits to be copied, while another dump of the one to follow is read.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// The same for a new one. Those of a new cluster are made at once, of one writer, one after the other.
const OTHERS_WAIT: Duration = Duration::from_secs(60 * 60);
/// The parameter by which what was committed is on the disk, and its value.
const DURABLE: (&str, &str) = ("innodb_flush_log_at_trx_commit", "1");

/// Notes that a server follows. Nobody reads the log of one that does, so it keeps none for that any more.
async fn follows_now(home: &Home) -> Result<(), EngineError> {
    KEPT.clear(home).await?;
    FOLLOWS.set(home, "").await
}

/// Whether a server took writes when it last ran.
async fn took_writes(home: &Home) -> Result<bool, EngineError> {
    Ok(is_whole(home)? && FOLLOWS.text(home).await?.is_none())
}

impl MySql {
    /// Makes a new server that follows.
    pub(in crate::mysql) async fn follow_upstream(&self, home: &Home) -> Result<(), EngineError> {
        self.check(home)?;
        upstream(home)?;
        let _held = Hold::take_new(home).await?;
        self.copy_upstream(home, OTHERS_WAIT).await
    }

    /// Makes a follower that cannot go on anew.
    pub(in crate::mysql) async fn copy_again(&self, home: &Home) -> Result<(), EngineError> {
        self.check(home)?;
        upstream(home)?;
        let _held = Hold::take(home).await?;
        may_follow(home, took_writes(home).await?).await?;
        self.copy_upstream(home, BUSY_WAIT).await
    }

    /// Starts a follower, or adopts it. One that took writes when it last ran is taken back to what the server has
    /// that it follows now. The caller holds the lock.
    pub(in crate::mysql) async fn start_follower(&self, home: &Home) -> Result<(), EngineError> {
        if !is_whole(home)? {
            return self.copy_upstream(home, BUSY_WAIT).await;
        }
        may_follow(home, took_writes(home).await?).await?;
        if took_writes(home).await? {
            tracing::info!(home = %home.dir.display(), "a server that took writes comes back as a follower");
            if let Err(error) = self.rejoin(home).await {
                if error.kind() == ErrorKind::Retry {
                    // The one to follow does not answer just now, which says nothing of these files.
                    return Err(error);
                }
                tracing::warn!(home = %home.dir.display(), %error, "a server cannot follow with what it has, so it is copied anew");
                return self.copy_upstream(home, BUSY_WAIT).await;
            }
        }
        self.launch(home, Purpose::Serve).await?;
        self.attach(home).await
    }

    /// Copies the server to follow while that runs, and makes a follower of it. What the home has goes once the
    /// copy has begun. The caller holds the lock.
    async fn copy_upstream(&self, home: &Home, busy_wait: Duration) -> Result<(), EngineError> {
        let upstream = upstream(home)?.home(home);
        let document = self.copy_files(&upstream, home, busy_wait).await?;
        let (document, places) = Document::parse(&document)?;
        let (at, has) = (home.clone(), document.gtid_executed.clone());
        blocking(move || load::prepare(&at, &document, places)).await?;
        let made = async {
            self.launch(home, Purpose::Recover).await?;
            load::verify::check(home, places).await?;
            follows_now(home).await?;
            SERVER.end(home, RESTART_WAIT).await?;
            self.launch(home, Purpose::Serve).await?;
            let mut session = Session::open(home).await?;
            known(&mut session, &has).await?;
            session.close().await;
            mark_whole(home).await?;
            self.attach(home).await
        };
        SERVER.or_end(home, made.await).await
    }

    /// Makes a follower of a server that took writes, if all of them are where it is to follow.
    async fn rejoin(&self, home: &Home) -> Result<(), EngineError> {
        let upstream = upstream(home)?;
        let refuse = |why| {
            Err(EngineError::BadValue {
                what: "the server that took writes",
                value: String::new(),
                why,
            })
        };
        let (durable, value) = DURABLE;
        let chosen = chosen::in_effect(home)?;
        if chosen.get(durable).is_some_and(|chosen| chosen != value) {
            return refuse("may have lost what its log has");
        }
        if !replicating::has_logged(home)? {
            return refuse("has no log of what it committed");
        }
        SERVER.end(home, RESTART_WAIT).await?;
        self.launch(home, Purpose::Alone).await?;
        let is_contained = async {
            let mut session = Session::open(home).await?;
            let own = executed(&mut session).await?;
            detach(&mut session).await?;
            session.close().await;
            let mut source = Session::open(&upstream.home(home)).await?;
            let subset = format!("SELECT GTID_SUBSET({}, @@gtid_executed)", quoted_text(&own));
            let answer = source.cell("tell its transactions", &subset).await?;
            source.close().await;
            Ok::<_, EngineError>(answer == "1")
        };
        let is_contained = is_contained.await;
        SERVER.end(home, RESTART_WAIT).await?;
        match is_contained? {
            true => follows_now(home).await,
            false => refuse("has transactions that the one to follow has not"),
        }
    }

    /// How far a server is.
    pub(in crate::mysql) async fn replica_state(
        &self,
        home: &Home,
    ) -> Result<Replica, EngineError> {
        let mut session = Session::open(home).await?;
        let doing = "say how far it is";
        let is_shut = session.cell(doing, "SELECT @@super_read_only").await? == "1";
        let link = Link::of(&mut session).await?;
        let retrieved = link.as_ref().map_or("", |link| &link.retrieved);
        let ahead = format!(
            "SELECT GTID_SUBTRACT({}, @@gtid_executed)",
            quoted_text(retrieved)
        );
        let ahead = session.cell(doing, &ahead).await?;
        let executed = executed(&mut session).await?;
        session.close().await;
        Ok(Replica {
            follows: is_shut && link.is_some(),
            position: gtids::count(&executed).saturating_add(gtids::count(&ahead)),
            is_connected: link.is_some_and(|link| link.receives && link.applies),
            heard_by: 0,
        })
    }
}

/// The transactions that a server has.
pub(in crate::mysql) async fn executed(session: &mut Session) -> Result<String, EngineError> {
    let doing = "tell its transactions";
    let told = session.cell(doing, "SELECT @@GLOBAL.gtid_executed").await?;
    Ok(told.replace('\n', ""))
}

/// Has a server know that it has these transactions, as far as it does not: what a dump has of tables that are not
/// InnoDB's, its own tables do not say.
///
/// # Errors
/// What the server answers.
pub(in crate::mysql) async fn known(session: &mut Session, gtids: &str) -> Result<(), EngineError> {
    let doing = "tell its transactions";
    let lacking = format!(
        "SELECT GTID_SUBTRACT({}, @@GLOBAL.gtid_executed)",
        quoted_text(gtids)
    );
    let lacking = session.cell(doing, &lacking).await?.replace('\n', "");
    if lacking.is_empty() {
        return Ok(());
    }
    let added = quoted_text(&format!("+{lacking}"));
    session
        .run(doing, &format!("SET GLOBAL gtid_purged = {added}"))
        .await
}
