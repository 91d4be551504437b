//! A process killed in the middle of writes loses nothing that it had acknowledged.
use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use catalog::{CatalogError, CatalogExt, SqliteCatalog, meta};
use model::SystemClock;

const FILE: &str = "SNAPFERRY_TEST_CRASH_FILE";
/// Acknowledgements that the parent waits for before it kills.
const ENOUGH: usize = 300;

fn open(path: &Path) -> SqliteCatalog {
    SqliteCatalog::open(path, Arc::new(SystemClock)).expect("the catalog opens")
}

/// Not a test of its own: the part that the other test runs in a child process, and kills.
#[test]
fn child() {
    let Some(path) = env::var_os(FILE) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let catalog = Arc::new(open(Path::new(&path)));
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..16_u32 {
            let catalog = Arc::clone(&catalog);
            tasks.spawn(async move {
                for row in 0..1_000_000_u32 {
                    let name = format!("{writer}.{row}");
                    let key = name.clone();
                    let wrote: Result<(), CatalogError> = catalog
                        .write(move |tx| {
                            meta::set(tx, &key, "left")?;
                            meta::set(tx, &format!("{key}.pair"), "right")
                        })
                        .await;
                    wrote.expect("it is kept");
                    // One write call a line, so that a kill cannot cut one in two.
                    std::io::stderr()
                        .lock()
                        .write_all(format!("ack {name}\n").as_bytes())
                        .ok();
                }
            });
        }
        tasks.join_all().await;
    });
}

#[test]
fn a_kill_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.db");
    for round in 1..=3 {
        let mut child = Command::new(env::current_exe().expect("this test's program"))
            .args(["--exact", "crash::child", "--nocapture"])
            .env(FILE, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let lines = BufReader::new(child.stderr.take().expect("its errors are piped"));
        let mut acknowledged = Vec::new();
        for line in lines.lines() {
            let line = line.expect("it is text");
            if let Some(name) = line.strip_prefix("ack ") {
                acknowledged.push(name.to_owned());
            }
            if acknowledged.len() == ENOUGH {
                // SIGKILL; what it still wrote into the pipe counts as acknowledged too.
                child.kill().expect("it is killed");
            }
        }
        child.wait().expect("it ends");
        assert!(
            ENOUGH <= acknowledged.len(),
            "round {round}: the child ended early"
        );
        let catalog = open(&path);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let torn: Result<u64, CatalogError> = runtime.block_on(catalog.read(move |tx| {
            for name in &acknowledged {
                assert_eq!(
                    meta::get(tx, name)?.as_deref(),
                    Some("left"),
                    "{name} is lost"
                );
                let pair = meta::get(tx, &format!("{name}.pair"))?;
                assert_eq!(pair.as_deref(), Some("right"), "{name} is torn");
            }
            let rows = tx.query(
                "SELECT count(*) FROM meta AS a WHERE a.value = 'left' \
                 AND NOT EXISTS (SELECT 1 FROM meta AS b WHERE b.name = a.name || '.pair')",
                &[],
            )?;
            rows[0].count(0)
        }));
        assert_eq!(torn.expect("it reads"), 0, "a transaction is there in part");
        let check = rusqlite::Connection::open(&path).and_then(|connection| {
            connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))
        });
        assert_eq!(check.expect("it checks"), "ok");
    }
}
