//! The log of a running server, out of it as it was written, and back into one at a moment.
use std::{collections::VecDeque, os::unix::fs::FileExt, time::Duration};

use async_trait::async_trait;
use engine::{Engine, EngineError, Home, LogPiece, LogSource, LogTail, ReplayTarget, SinkError};
use model::{LogPlace, Timestamp};

use crate::support::{Rig, client, number, upstream};

const SEGMENT: u64 = 16 << 20;
/// More than a file of the log.
const MUCH: &str = "INSERT INTO t SELECT i, (SELECT string_agg(md5((i * j)::text), '') \
     FROM generate_series(1, 60) j) FROM generate_series(1, 10000) i";

/// What was read of a log.
#[derive(Debug, Default, Clone)]
struct Pieces(VecDeque<LogPiece>);

#[async_trait]
impl LogSource for Pieces {
    async fn next(&mut self) -> Result<Option<LogPiece>, SinkError> {
        Ok(self.0.pop_front())
    }
}

impl Pieces {
    /// Reads on to where the log ends now.
    async fn read(&mut self, tail: &mut dyn LogTail) {
        loop {
            let durable = tail.place();
            let piece = tail.next(durable, 1 << 20).await.expect("it is there");
            let is_last = piece.is_last;
            if !piece.bytes.is_empty() {
                self.0.push_back(piece);
            }
            if is_last {
                return;
            }
        }
    }

    fn target(&self, from: LogPlace, until: Option<Timestamp>) -> ReplayTarget {
        let new = self.0.iter().filter(|piece| !piece.history.is_empty());
        ReplayTarget {
            from,
            until,
            timeline: self.0.back().expect("pieces").start.timeline,
            histories: new
                .map(|piece| (piece.start.timeline, piece.history.clone()))
                .collect(),
        }
    }
}

async fn now(session: &tokio_postgres::Client) -> Timestamp {
    let micros = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    Timestamp(number(session, micros).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_comes_byte_for_byte_and_nothing_while_idle() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let mut tail = rig.engine.tail(&home, None).await.expect("begins");
    let begin = tail.place();
    assert_eq!(begin.position % SEGMENT, 0);
    let session = client(&home).await;
    session
        .batch_execute("CREATE TABLE t (i bigint, filler text)")
        .await
        .expect("a table");
    let mut pieces = Pieces::default();
    for _ in 0..2 {
        session.batch_execute(MUCH).await.expect("writes");
        pieces.read(&mut *tail).await;
    }
    let mut at = begin.position;
    for piece in &pieces.0 {
        assert_eq!((piece.start.timeline, piece.start.position), (1, at));
        let mut from = 0;
        while from < piece.bytes.len() {
            let number = at / SEGMENT;
            let name = format!("{:08X}{:08X}{:08X}", 1, number / 256, number % 256);
            let file = std::fs::File::open(home.data().join("pg_wal").join(&name));
            let here = usize::try_from(SEGMENT - at % SEGMENT).expect("small");
            let here = here.min(piece.bytes.len() - from);
            let mut own = vec![0; here];
            let file = file.expect("it is kept");
            file.read_exact_at(&mut own, at % SEGMENT).expect("bytes");
            assert!(own == piece.bytes[from..from + here], "{name} differs");
            (from, at) = (from + here, at + here as u64);
        }
    }
    assert!(2 * SEGMENT < at - begin.position, "or it shows little");
    // The server may have one more record of its own on its mind.
    tokio::time::sleep(Duration::from_secs(1)).await;
    pieces.read(&mut *tail).await;
    let place = tail.place();
    let idle = tail.next(place, 1 << 20).await.expect("answers");
    assert!(idle.bytes.is_empty() && idle.is_last);
    // Another one goes on where this one was, also within a file.
    drop(tail);
    session
        .batch_execute("INSERT INTO t VALUES (0)")
        .await
        .expect("writes");
    let mut tail = rig.engine.tail(&home, Some(place)).await.expect("goes on");
    let piece = tail.next(place, 1 << 20).await.expect("it is there");
    assert!(piece.start == place && !piece.bytes.is_empty());
    let gone = LogPlace {
        timeline: 1,
        position: SEGMENT,
    };
    drop(tail);
    // What lies before the slot goes with the next checkpoint.
    session
        .batch_execute("CHECKPOINT")
        .await
        .expect("checkpoints");
    let error = match rig.engine.tail(&home, Some(gone)).await {
        Ok(mut tail) => tail.next(gone, 1 << 20).await.expect_err("it is gone"),
        Err(error) => error,
    };
    assert!(matches!(error, EngineError::LogGone { .. }), "{error}");
    rig.engine.end_tail(&home).await.expect("ends");
    rig.engine.end_tail(&home).await.expect("has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_between_two_commits_has_the_first_and_not_the_second() {
    let rig = Rig::new();
    let home = rig.created("source").await;
    let mut tail = rig.engine.tail(&home, None).await.expect("begins");
    let session = client(&home).await;
    session
        .batch_execute("CREATE TABLE t (i bigint)")
        .await
        .expect("a table");
    let folder = rig.path().join("dump");
    let info = rig.dump(&home, &folder).await.expect("dumps");
    let (from, end) = info.in_log.expect("it lies in the log");
    assert!(from.position % SEGMENT == 0 && from < end);
    let mut moments = Vec::new();
    for i in 0..200_i64 {
        session
            .execute("INSERT INTO t VALUES ($1)", &[&i])
            .await
            .expect("writes");
        moments.push(now(&session).await);
    }
    let mut pieces = Pieces::default();
    pieces.read(&mut *tail).await;
    let idle = now(&session).await.plus(Duration::from_secs(1));
    let wanted = [
        (Some(moments[0]), 1),
        (Some(moments[122]), 123),
        // No record of the log is later.
        (Some(idle), 200),
        (None, 200),
    ];
    for (number_of, (until, rows)) in wanted.into_iter().enumerate() {
        let restored = rig.place(&folder, &format!("r{number_of}"));
        let target = pieces.target(from, until);
        let mut log = pieces.clone();
        rig.engine
            .load_until(&restored, &info.document, &target, &mut log)
            .await
            .expect("recovers");
        let there = client(&restored).await;
        assert_eq!(number(&there, "SELECT count(*) FROM t").await, rows);
        there
            .batch_execute("INSERT INTO t VALUES (-1)")
            .await
            .expect("it takes writes");
        assert!(!restored.dir.join("replay").exists());
        rig.engine.remove(&restored).await.expect("goes");
    }
    // A log with a piece missing leads nowhere.
    let restored = rig.place(&folder, "gap");
    let whole = LogPiece {
        bytes: pieces
            .0
            .iter()
            .flat_map(|piece| piece.bytes.clone())
            .collect(),
        ..pieces.0[0].clone()
    };
    // Behind where the dump's log begins.
    let begin = usize::try_from(from.position - whole.start.position).expect("small");
    let third = (whole.bytes.len() - begin) / 3;
    let part = |from: usize, to: usize| LogPiece {
        start: LogPlace {
            position: whole.start.position + from as u64,
            ..whole.start
        },
        bytes: whole.bytes[from..to].to_vec(),
        ..whole.clone()
    };
    let ends = [
        part(0, begin + third),
        part(begin + 2 * third, whole.bytes.len()),
    ];
    let mut log = Pieces(ends.into());
    let target = pieces.target(from, None);
    let loaded = rig
        .engine
        .load_until(&restored, &info.document, &target, &mut log);
    let error = loaded.await.expect_err("there is a gap");
    assert!(matches!(error, EngineError::BadLog { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_on_under_the_timeline_of_a_writer_that_took_over() {
    takes_over(false).await;
}

/// Its own log begins in a later file than the one in which the log is read on.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_on_at_a_writer_that_was_made_after_it_was_last_read() {
    takes_over(true).await;
}

async fn takes_over(is_read_before_the_reader_is_made: bool) {
    let rig = Rig::new();
    let mut writer = rig.home("writer");
    writer.os_uid_shared = true;
    writer.replication.name = "member_writer".to_owned();
    writer.replication.followers = vec!["member_reader".to_owned()];
    rig.engine
        .create(&writer, &rig.spec())
        .await
        .expect("creates");
    let mut tail = rig.engine.tail(&writer, None).await.expect("begins");
    let session = client(&writer).await;
    session
        .batch_execute("CREATE TABLE t (i bigint, filler text)")
        .await
        .expect("a table");
    let folder = rig.path().join("dump");
    let info = rig.dump(&writer, &folder).await.expect("dumps");
    let mut reader = rig.home("reader");
    (reader.os_uid, reader.os_uid_shared) = (writer.os_uid, true);
    reader.replication.name = "member_reader".to_owned();
    reader.replication.upstream = Some(upstream(&writer));
    let mut pieces = Pieces::default();
    let place = if is_read_before_the_reader_is_made {
        pieces.read(&mut *tail).await;
        let place = tail.place();
        session.batch_execute(MUCH).await.expect("writes");
        rig.engine.follow(&reader).await.expect("follows");
        place
    } else {
        rig.engine.follow(&reader).await.expect("follows");
        session.batch_execute(MUCH).await.expect("writes");
        pieces.read(&mut *tail).await;
        tail.place()
    };
    drop(tail);
    session
        .batch_execute("INSERT INTO t VALUES (0)")
        .await
        .expect("writes");
    let before = now(&session).await;
    rig.engine
        .fence(&writer, "1", Duration::from_secs(20))
        .await
        .expect("ends");
    rig.engine.release(&writer);
    let mut new: Home = reader.clone();
    new.replication.upstream = None;
    (new.host, new.port) = (writer.host.clone(), writer.port);
    rig.engine
        .promote(&new, Some(&writer))
        .await
        .expect("takes writes");
    let session = client(&new).await;
    session
        .batch_execute("INSERT INTO t VALUES (-1)")
        .await
        .expect("writes");
    let mut tail = rig.engine.tail(&new, Some(place)).await.expect("goes on");
    pieces.read(&mut *tail).await;
    let timelines: Vec<u32> = pieces.0.iter().map(|piece| piece.start.timeline).collect();
    assert!(
        timelines.is_sorted() && timelines.contains(&2),
        "{timelines:?}"
    );
    let (from, _) = info.in_log.expect("it lies in the log");
    for (name, until, rows) in [("latest", None, 10_002), ("before", Some(before), 10_001)] {
        let restored = rig.place(&folder, name);
        let target = pieces.target(from, until);
        assert_eq!((target.timeline, target.histories.len()), (2, 1));
        let mut log = pieces.clone();
        rig.engine
            .load_until(&restored, &info.document, &target, &mut log)
            .await
            .expect("recovers");
        let there = client(&restored).await;
        assert_eq!(
            number(&there, "SELECT count(*) FROM t").await,
            rows,
            "{name}"
        );
    }
}
