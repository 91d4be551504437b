//! A consistent state of a cluster, running or stopped, read from its files.
//!
//! It does not know what becomes of the files.
//!
//! Invariant: a running server's files are read between backup start and stop of one session, and
//! a temporary slot of that session keeps the log from start to stop. When the session is lost,
//! full-page images may end and the log may go, so the dump is void.
mod copy;
mod follower;
pub(super) mod names;
mod pages;
mod plan;

use std::{collections::BTreeMap, sync::Arc};

use model::{Entropy, LogPlace, SystemEntropy};
use tokio::runtime::Handle;
use tokio_postgres::types::PgLsn;
use uuid::Uuid;

use super::{
    changes::{Changes, Known},
    conf::ADMIN,
    control::{CONTROL_PATH, Control},
    document::{Circumstances, Document, Method},
    install::Installs,
    page::PAGE_BYTES,
    process,
    review::{self, Review},
    session::{self, CHECKPOINT_WAIT, Session, column},
    wal::{LogFault, Segments},
};
use crate::{
    DumpInfo, DumpSink, EngineError, Home,
    dump::{data_of, hold_stopped},
    folder::Folder,
};
use copy::Copier;
use pages::DAMAGE_ADVICE;
use plan::Plan;

/// What tells change tokens of this engine from others.
const EVIDENCE: &str = "snapferry engine postgres evidence 1";
/// Bytes of a backup label at most; real ones have some 300.
const LABEL_BYTES_MAX: usize = 64 << 10;

/// Reads the cluster into `sink`. Blocks; must be called inside a tokio runtime.
pub(super) fn dump(
    installs: &Installs,
    known: &Known,
    home: &Home,
    sink: &mut dyn DumpSink,
) -> Result<DumpInfo, EngineError> {
    let runtime = Handle::current();
    let data = data_of(home)?;
    let mut copier = Copier::new(home, &data, sink);
    let has_server = || Ok::<_, EngineError>(process::look(home)?.has_server());
    let mut document = match hold_stopped(&runtime, home, has_server)? {
        None => dump_online(&runtime, (home, known), &data, &mut copier)?,
        Some(_held) => {
            let version = installs.of(&home.version)?;
            copier.writer.look_at(home, EVIDENCE);
            dump_stopped(&data, &mut copier, &version.version, version.major)?
        }
    };
    document.libc = installs.libc_version().map(str::to_owned);
    Ok(DumpInfo {
        in_log: document.in_log(),
        document: document.to_json(),
        left_out: copier.left_out,
    })
}

/// Reads a cluster that was shut down: its files are its state.
fn dump_stopped(
    data: &Folder,
    copier: &mut Copier,
    version: &str,
    major: u32,
) -> Result<Document, EngineError> {
    let (bytes, control) = copier.control()?;
    check_control(&control)?;
    if !control.is_shut_down() {
        return Err(EngineError::NotShutDown {
            state: control.state_name(),
        });
    }
    let plan = Plan::of(data)?;
    copier.writer.expect_total(plan.bytes);
    copier.left_out.clone_from(&plan.odd);
    for item in &plan.items {
        copier.item(item)?;
    }
    // The checkpoint's record, which may reach into the next segment.
    let segments = segments_of(&control)?;
    let first = segments.number(control.checkpoint);
    if !copier.segment(&segments, first)? {
        return Err(log_missing(&segments, first));
    }
    copier.segment(&segments, first + 1)?;
    copier.histories()?;
    copier.bytes(CONTROL_PATH, &bytes)?;
    copier.writer.settle()?;
    if copier.control()?.1 != control {
        return Err(EngineError::FileDamaged {
            file: CONTROL_PATH.to_owned(),
            why: "it changed though the server is stopped".to_owned(),
        });
    }
    let about = Circumstances {
        dump: None,
        version: version.to_owned(),
        major,
        method: Method::Stopped,
        start_lsn: control.checkpoint,
        stop_lsn: control.checkpoint,
        libc: None,
        icu_collation: None,
        unlogged_files_left_out: plan.unlogged,
        databases: BTreeMap::new(),
    };
    Ok(Document::new(&control, about))
}

/// What the server said when the backup ended.
struct Stopped {
    lsn: u64,
    label: String,
}

/// Reads a cluster under its running server.
fn dump_online(
    runtime: &Handle,
    (home, known): (&Home, &Known),
    data: &Folder,
    copier: &mut Copier,
) -> Result<Document, EngineError> {
    let session = copier.writer.open_session(
        runtime,
        async || Session::open(home, ADMIN).await,
        || Ok(process::postmaster(home)?.is_some()),
    )?;
    let upstream = home.replication.upstream.as_ref();
    if let Some(upstream) = upstream {
        let caught_up = follower::catch_up(home, upstream, &session);
        copier.writer.wait(runtime, caught_up)?.map_err(lost)?;
    }
    let facts = begin(runtime, &session, copier)?;
    if upstream.is_some() {
        copier
            .writer
            .wait(runtime, follower::check(&session))?
            .map_err(lost)?;
    }
    copier.start_lsn = Some(facts.start_lsn);
    let name = SystemEntropy.uuid();
    if upstream.is_none() {
        copier.changes = changes(known, home, copier, (name, facts.start_lsn))?;
    }
    copier.writer.look_at(home, EVIDENCE);
    let plan = Plan::of(data)?;
    copier.writer.expect_total(plan.bytes);
    copier.left_out.clone_from(&plan.odd);
    for item in &plan.items {
        copier.item(item)?;
        if session.is_lost() {
            return Err(EngineError::SessionLost { source: None });
        }
    }
    copier.writer.settle()?;
    let templates = plan::templates(data)?;
    // The last of the files, so that no other is older than what it says.
    let (control_bytes, control) = copier.control()?;
    check_control(&control)?;
    let segments = segments_of(&control)?;
    let stopped = end(runtime, &session, copier)?;
    if upstream.is_some() {
        copier
            .writer
            .wait(runtime, follower::check(&session))?
            .map_err(lost)?;
    }
    // A page's claim to be newer than the start holds only within the log of the dump.
    if let Some(page) = copier.torn.after(stopped.lsn) {
        return Err(EngineError::PageDamaged {
            file: page.file,
            block: page.block,
            advice: DAMAGE_ADVICE,
        });
    }
    let mut review = review_log(data, copier, segments, (facts.start_lsn, stopped.lsn))?;
    if let Some(disturbance) = review.disturbance() {
        return Err(disturbance.into());
    }
    if let Some(changes) = &copier.changes {
        changes.judge(data, stopped.lsn)?;
    }
    review.add_unlogged(templates);
    let turned_out_unlogged = copier.leave_out(&plan, &review)?;
    copier.bytes("backup_label", stopped.label.as_bytes())?;
    // The place where the log stops is the first byte after it.
    let log = segments.number(facts.start_lsn)..=segments.number(stopped.lsn - 1);
    let log_bytes = (log.end() + 1).saturating_sub(*log.start()) * segments.bytes;
    copier.writer.expect_total(plan.bytes + log_bytes);
    for number in log {
        if !copier.segment(&segments, number)? {
            return Err(log_missing(&segments, number));
        }
    }
    copier.histories()?;
    copier.writer.settle()?;
    // The slot kept the log until here only if its session lives.
    let alive = session.row("keep the log", "SELECT true", &[]);
    copier.writer.wait(runtime, alive)?.map_err(lost)?;
    runtime.block_on(session.close());
    copier.bytes(CONTROL_PATH, &control_bytes)?;
    copier.writer.settle()?;
    let about = Circumstances {
        dump: Some(name),
        version: format!("{}.{}", facts.version / 10_000, facts.version % 10_000),
        major: facts.version / 10_000,
        method: Method::Online,
        start_lsn: facts.start_lsn,
        stop_lsn: stopped.lsn,
        libc: None,
        icu_collation: facts.icu_collation,
        unlogged_files_left_out: plan.unlogged + turned_out_unlogged,
        databases: facts.databases,
    };
    Ok(Document::new(&control, about))
}

/// What changed since the sink's base, where that is known.
fn changes(
    known: &Known,
    home: &Home,
    copier: &mut Copier,
    (name, position): (Uuid, u64),
) -> Result<Option<Arc<Changes>>, EngineError> {
    let timeline = copier.control()?.1.timeline;
    let start = LogPlace { timeline, position };
    let base = copier.writer.base_document().map(Document::parse);
    // A document that is none is of no dump that is known.
    let base = base.and_then(Result::ok).and_then(|base| base.dump);
    let found = known.changes(home, (name, start), base, copier.writer.data());
    tracing::debug!(home = %home.dir.display(), is_known = found.is_some(), "what changed since the base");
    Ok(found.map(Arc::new))
}

/// What the server said when the backup began.
struct Began {
    start_lsn: u64,
    /// As a number: 150018.
    version: u32,
    icu_collation: Option<String>,
    databases: BTreeMap<String, String>,
}

/// Keeps the log from here on, and begins a backup.
fn begin(runtime: &Handle, session: &Session, copier: &Copier) -> Result<Began, EngineError> {
    let reserve = session.row(
        "keep the log",
        "SELECT current_setting('server_version_num')::int4, current_setting('data_checksums'), \
                (SELECT pg_collation_actual_version(oid)::text FROM pg_collation \
                  WHERE collprovider = 'i' AND collname = 'und-x-icu'), \
                (SELECT slot_name::text FROM pg_create_physical_replication_slot( \
                    'snapferry_' || pg_backend_pid(), true, true))",
        &[],
    );
    let row = copier.writer.wait(runtime, reserve)?.map_err(lost)?;
    let version = u32::try_from(column::<i32>(&row, 0)?).unwrap_or(0);
    let icu_collation = column(&row, 2)?;
    if column::<&str>(&row, 1)? != "on" {
        return Err(EngineError::Unexpected {
            file: String::new(),
            why: "has no page checksums",
        });
    }
    // A checkpoint of a large server may take minutes.
    let start = session.row_within(
        CHECKPOINT_WAIT,
        "begin a backup",
        "SELECT pg_backup_start('snapferry', true)",
        &[],
    );
    let row = copier.writer.wait(runtime, start)?.map_err(lost)?;
    Ok(Began {
        start_lsn: column::<PgLsn>(&row, 0)?.into(),
        version,
        icu_collation,
        databases: database_names(runtime, session, copier)?,
    })
}

/// What databases are called, for people. Nothing of a dump depends on it: names that cannot be told are not.
fn database_names(
    runtime: &Handle,
    session: &Session,
    copier: &Copier,
) -> Result<BTreeMap<String, String>, EngineError> {
    let named = session.row(
        "read the databases' names",
        "SELECT json_object_agg(oid, datname)::text FROM \
         (SELECT oid, datname FROM pg_database ORDER BY oid LIMIT 100) AS named",
        &[],
    );
    let row = copier.writer.wait(runtime, named)?.ok();
    let text = row.and_then(|row| column::<String>(&row, 0).ok());
    let names = text.and_then(|text| serde_json::from_str(&text).ok());
    Ok(names.unwrap_or_default())
}

/// Ends the backup; the log up to its end is on disk then. A server that follows says where its files
/// are a state; what it has applied beyond is on its disk, too.
fn end(runtime: &Handle, session: &Session, copier: &Copier) -> Result<Stopped, EngineError> {
    let stop = session.row_within(
        CHECKPOINT_WAIT,
        "end the backup",
        "SELECT greatest(lsn, pg_last_wal_replay_lsn()), labelfile, spcmapfile FROM pg_backup_stop(false)",
        &[],
    );
    let row = copier.writer.wait(runtime, stop)?.map_err(lost)?;
    let lsn: u64 = column::<PgLsn>(&row, 0)?.into();
    let label: String = column(&row, 1)?;
    let map: Option<String> = column(&row, 2)?;
    if map.is_some_and(|map| !map.trim().is_empty()) {
        return Err(EngineError::Unexpected {
            file: "pg_tblspc".to_owned(),
            why: "has a tablespace, which dumps do not have",
        });
    }
    if !(1..=LABEL_BYTES_MAX).contains(&label.len()) || lsn == 0 {
        return Err(EngineError::FileDamaged {
            file: "backup_label".to_owned(),
            why: "the server gave no usable one".to_owned(),
        });
    }
    Ok(Stopped { lsn, label })
}

/// Tells a lost session from a refusal.
fn lost(error: EngineError) -> EngineError {
    match error {
        EngineError::Sql { source, .. } if session::is_lost(&source) => EngineError::SessionLost {
            source: Some(source),
        },
        other => other,
    }
}

fn check_control(control: &Control) -> Result<(), EngineError> {
    let why = if control.page_bytes as usize != PAGE_BYTES {
        "it says that pages are not of 8 KiB"
    } else if !control.checksums {
        "it says that pages have no checksums"
    } else if review::segments(control, control.timeline).is_none() {
        "it gives no size of log segments"
    } else {
        return Ok(());
    };
    Err(EngineError::FileDamaged {
        file: CONTROL_PATH.to_owned(),
        why: why.to_owned(),
    })
}

/// The segments of the log under way.
fn segments_of(control: &Control) -> Result<Segments, EngineError> {
    review::segments(control, control.timeline).ok_or_else(|| EngineError::FileDamaged {
        file: CONTROL_PATH.to_owned(),
        why: "it gives no size of log segments".to_owned(),
    })
}

/// Reads the log that goes with the dump: a dump whose log cannot be applied is none.
fn review_log(
    data: &Folder,
    copier: &Copier,
    segments: Segments,
    places: (u64, u64),
) -> Result<Review, EngineError> {
    let failed = |source| EngineError::io("enter", "pg_wal", source);
    let pg_wal = data.enter("pg_wal").map_err(failed)?;
    Review::of(&pg_wal, segments, places, || copier.writer.check_stop())
}

impl From<LogFault> for EngineError {
    fn from(fault: LogFault) -> Self {
        match fault {
            LogFault::Io(source) => Self::io("read", "pg_wal", source),
            other => Self::FileDamaged {
                file: "pg_wal".to_owned(),
                why: other.to_string(),
            },
        }
    }
}

fn log_missing(segments: &Segments, number: u64) -> EngineError {
    EngineError::FileDamaged {
        file: format!("pg_wal/{}", segments.name(number)),
        why: "the log of the dump is not there".to_owned(),
    }
}
