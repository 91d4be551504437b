//! What a dump under writers and a load cost beside a copy of the same files, printed, and that nothing is lost in
//! them. `make bench-mysql` has 65 times the rows, which takes minutes.
use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use engine::{DumpSink, Engine, Home, SinkError};
use model::pages::{Content, check_pages};

use crate::{
    points::{Pieces, replayed},
    support::{Folder, FolderSink, Rig},
};

const ROWS: u32 = 20_000;
const CHUNK_BYTES: usize = 1 << 20;

/// Reads and checks everything, on two threads as a vault does, and keeps nothing.
#[derive(Default)]
struct Reader {
    files: Vec<Arc<dyn Content>>,
    bytes: u64,
}

impl DumpSink for Reader {
    fn expect_total(&mut self, _: u64) {}

    fn directory(&mut self, _: &str, _: u32) -> Result<(), SinkError> {
        Ok(())
    }

    fn file(&mut self, _: &str, _: u32, content: Arc<dyn Content>) -> Result<(), SinkError> {
        self.bytes += content.size();
        self.files.push(content);
        Ok(())
    }

    fn settle(&mut self) -> Result<(), SinkError> {
        let files = Mutex::new(std::mem::take(&mut self.files));
        let read = || -> std::io::Result<()> {
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                let Some(file) = files.lock().expect("not poisoned").pop() else {
                    return Ok(());
                };
                let mut at = 0;
                while at < file.size() {
                    let got = file.read_at(&mut buffer, at)?;
                    if let Some(pages) = file.pages() {
                        check_pages(pages, &mut buffer[..got], at)?;
                    }
                    at += got as u64;
                }
            }
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(read);
            read()?;
            other.join().expect("no panic")
        })?;
        Ok(())
    }

    fn leave_out(&mut self, path: &str) -> Result<(), SinkError> {
        panic!("{path} is taken back")
    }

    fn waits(&self, _: bool) {}

    fn stop_requested(&self) -> bool {
        false
    }
}

/// Rows of the table, those of `make bench-mysql` from the environment.
fn rows() -> u32 {
    let asked = std::env::var("SNAPFERRY_MYSQL_ROWS").ok();
    asked.map_or(ROWS, |text| text.parse().expect("a number of rows"))
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let begun = Instant::now();
    let result = work();
    (result, begun.elapsed().as_secs_f64())
}

/// Copies a folder. Files of a server that runs come and go under it.
fn copy(from: &Path, to: &Path) {
    let mut cp = std::process::Command::new("cp");
    let copied = cp.env("LC_ALL", "C").arg("-r").arg(from).arg(to).output();
    let said = String::from_utf8(copied.expect("runs").stderr).expect("text");
    let is_gone = |line: &str| line.ends_with("No such file or directory");
    assert!(said.lines().all(is_gone), "{said}");
}

/// Commits as fast as they come, and remembers the longest wait for one.
fn writer(
    rig: &Arc<Rig>,
    home: &Home,
    who: u32,
    halt: &Arc<AtomicBool>,
    longest: &Arc<AtomicU64>,
) -> std::thread::JoinHandle<u64> {
    use std::io::{BufRead, BufReader, Write};
    let (rig, home, halt, longest) = (rig.clone(), home.clone(), halt.clone(), longest.clone());
    std::thread::spawn(move || {
        let mut client = rig.client(&home);
        let mut lines = BufReader::new(client.stdout.take().expect("a pipe")).lines();
        let mut input = client.stdin.take().expect("a pipe");
        let (rows, mut commits) = (u64::from(rows()), 0);
        let mut row = u64::from(who) * 7919;
        while !halt.load(Ordering::Relaxed) {
            row = row
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let begun = Instant::now();
            let sql = format!(
                "UPDATE f.t SET balance = balance + 1 WHERE id = {}; SELECT 1;\n",
                (row >> 33) % rows
            );
            input.write_all(sql.as_bytes()).expect("writes");
            lines.next().expect("answers").expect("a line");
            longest.fetch_max(
                u64::try_from(begun.elapsed().as_millis()).expect("small"),
                Ordering::Relaxed,
            );
            commits += 1;
        }
        drop(input);
        client.wait().expect("ends");
        commits
    })
}

/// How many bytes of 8 KiB blocks of a dump are not those of the one before at the same place.
fn changed_bytes(before: &Path, after: &Path) -> (u64, u64) {
    let (mut changed, mut all) = (0, 0);
    for entry in std::fs::read_dir(after).expect("a folder").flatten() {
        let old = before.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            let (some, total) = changed_bytes(&old, &entry.path());
            (changed, all) = (changed + some, all + total);
            continue;
        }
        let (old, new) = (
            std::fs::read(&old).unwrap_or_default(),
            std::fs::read(entry.path()).expect("reads"),
        );
        for (index, block) in new.chunks(8192).enumerate() {
            let known = old.get(index * 8192..index * 8192 + block.len());
            let is_zero = block.iter().all(|byte| *byte == 0);
            changed += if known == Some(block) || is_zero {
                0
            } else {
                block.len() as u64
            };
        }
        all += new.len() as u64;
    }
    (changed, all)
}

/// Processor time of this process, seconds.
fn processor_secs() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("proc");
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .expect("fields")
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

/// A table of so many rows.
fn table(rows: u32) -> String {
    format!(
        "CREATE DATABASE f; CREATE TABLE f.t(id INT PRIMARY KEY, balance BIGINT NOT NULL, filler VARCHAR(200), KEY(balance));\n\
         SET SESSION cte_max_recursion_depth = 10000000; INSERT INTO f.t\n\
         WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {rows} - 1)\n\
         SELECT n, 0, CONCAT(SHA2(n, 256), SHA2(n + 1, 512)) FROM s;"
    )
}

/// What a log costs that is read as it grows, and a restore that does what it says.
#[tokio::test(flavor = "multi_thread")]
async fn log_figures() {
    let Some(rig) = Rig::within(Folder::on_disk) else {
        return;
    };
    let rig = Arc::new(rig);
    let turns = if rows() == ROWS { 2 } else { 20 };
    let plain = rig.created("plain").await;
    let mut logging = rig.home("logging");
    logging.replication.is_logged = true;
    let spec = rig.spec();
    rig.engine.create(&logging, &spec).await.expect("creates");
    let mut found = None;
    for (what, home, is_read) in [
        ("no log", &plain, false),
        ("a log", &logging, false),
        ("a log that is read", &logging, true),
    ] {
        rig.sql(home, &format!("DROP DATABASE IF EXISTS f; {}", table(ROWS)));
        let mut tail = match is_read {
            true => Some(rig.engine.tail(home, None).await.expect("begins")),
            false => None,
        };
        let info = rig.dump(home, &what.replace(' ', "-")).await;
        let info = info.expect("dumps");
        let (halt, longest) = (Arc::default(), Arc::default());
        let writers: Vec<_> = (1..=4)
            .map(|who| writer(&rig, home, who, &halt, &longest))
            .collect();
        let (begun, processor) = (Instant::now(), processor_secs());
        let mut pieces = Pieces::default();
        for _ in 0..turns {
            tokio::time::sleep(Duration::from_millis(800)).await;
            if let Some(tail) = &mut tail {
                pieces.read(&mut **tail).await;
            }
        }
        halt.store(true, Ordering::Relaxed);
        let commits: u64 = writers
            .into_iter()
            .map(|writer| writer.join().expect("no panic"))
            .sum();
        println!(
            "4 writers, {what}: {:.0} commits a second, {:.2} s processor of tests and tail, {} bytes read",
            commits as f64 / begun.elapsed().as_secs_f64(),
            processor_secs() - processor,
            pieces.bytes(),
        );
        if let Some(tail) = &mut tail {
            pieces.read(&mut **tail).await;
            found = Some((what.replace(' ', "-"), info, pieces, commits));
        }
    }
    let (dump, info, pieces, commits) = found.expect("one was read");
    let begun = Instant::now();
    let made = replayed(&rig, (&dump, &info), "made", &pieces, None).await;
    let took = begun.elapsed().as_secs_f64();
    let sum = rig.sql(&made.expect("recovers"), "SELECT SUM(balance) FROM f.t");
    assert_eq!(sum.trim(), commits.to_string());
    println!("load and {commits} transactions of the log: {took:.2} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn figures() {
    let Some(rig) = Rig::within(Folder::on_disk) else {
        return;
    };
    let rows = rows();
    let rig = Arc::new(rig);
    let home = rig.created("a").await;
    rig.sql(&home, &table(rows));
    let (halt, longest) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let writers: Vec<_> = (1..=4)
        .map(|who| writer(&rig, &home, who, &halt, &longest))
        .collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    for round in 0..3 {
        let to = rig.path(&format!("cp{round}"));
        let ((), copied) = timed(|| copy(&home.data(), &to));
        std::fs::remove_dir_all(&to).expect("removes");
        longest.store(0, Ordering::Relaxed);
        let (begun, processor) = (Instant::now(), processor_secs());
        let (info, reader) = rig.dump_through(&home, Reader::default()).await;
        info.expect("dumps");
        println!(
            "under 4 writers: cp {copied:.2} s, dump {:.2} s of {} MB ({:.2} s processor), longest commit {} ms",
            begun.elapsed().as_secs_f64(),
            reader.bytes >> 20,
            processor_secs() - processor,
            longest.load(Ordering::Relaxed),
        );
    }
    halt.store(true, Ordering::Relaxed);
    let commits: u64 = writers
        .into_iter()
        .map(|writer| writer.join().expect("no panic"))
        .sum();
    println!("{commits} commits");
    let sum = "SELECT SUM(balance) FROM f.t";
    assert_eq!(rig.sql(&home, sum).trim(), commits.to_string());
    tokio::time::sleep(Duration::from_secs(3)).await;
    rig.dump(&home, "d1").await.expect("dumps");
    rig.sql(&home, &format!("UPDATE f.t SET balance = balance + 1 WHERE id BETWEEN {0} DIV 2 AND {0} DIV 2 + {0} DIV 100 - 1", rows));
    let (info, _) = rig
        .dump_through(&home, FolderSink::new(&rig.path("d2")))
        .await;
    let (changed, all) = changed_bytes(&rig.path("d1"), &rig.path("d2"));
    println!(
        "1 % of adjacent rows: {changed} of {all} bytes, {:.2} %",
        changed as f64 * 100.0 / all as f64
    );
    assert!(changed < all / 4, "{changed} of {all} bytes");
    let target = rig.home("b");
    std::fs::create_dir(&target.dir).expect("a folder");
    let ((), copied) = timed(|| copy(&rig.path("d2"), &target.data()));
    let begun = Instant::now();
    rig.engine
        .load(&target, &info.expect("dumps").document)
        .await
        .expect("loads");
    let loaded = begun.elapsed().as_secs_f64();
    let expected = commits + u64::from(rows / 100);
    assert_eq!(rig.sql(&target, sum).trim(), expected.to_string());
    rig.engine
        .stop(&target, Duration::from_secs(60))
        .await
        .expect("stops");
    let begun = Instant::now();
    rig.engine.start(&target).await.expect("starts");
    println!(
        "restore: cp {copied:.2} s + load {loaded:.2} s; start alone {:.2} s",
        begun.elapsed().as_secs_f64()
    );
    checks(&rig.path("d2").join("f/t.ibd"));
}

/// What the check of a page costs beside that of the other engine's, for the same bytes.
fn checks(file: &Path) {
    let mut bytes = std::fs::read(file).expect("reads");
    let (_, theirs) = timed(|| {
        let pages = bytes.as_chunks::<8192>().0.iter();
        pages.fold(0_u32, |all, page| {
            all ^ u32::from(engine::postgres::page_checksum(page, 1))
        })
    });
    let (sum, ours) = timed(|| {
        let pages = bytes.chunks_mut(16 << 10);
        pages.fold(0_u32, |all, page| {
            all ^ crc32c::crc32c(&page[4..26]) ^ crc32c::crc32c(&page[38..page.len() - 8])
        })
    });
    println!(
        "checks of {} MB: {ours:.3} s, PostgreSQL's {theirs:.3} s ({sum:x})",
        bytes.len() >> 20
    );
}
