//! Chains as they are written, and what becomes visible when somebody lays hands on them.
use std::{fs, path::Path};

use super::*;
use crate::chain::files;

fn record(number: usize) -> Record {
    Record {
        event_time: "2024-01-02T03:04:05Z".to_owned(),
        event_source: "rds.amazonaws.com".to_owned(),
        event_name: format!("Action{number}"),
        aws_region: "us-east-1".to_owned(),
        source_ip_address: "127.0.0.1".to_owned(),
        user_agent: "test".to_owned(),
        user_identity: UserIdentity::default(),
        error_code: None,
        error_message: None,
        request_parameters: masked(serde_json::json!({"MasterUserPassword": "hunter2"})),
        response_elements: serde_json::Value::Null,
        request_id: "r".to_owned(),
        event_id: "e".to_owned(),
        read_only: false,
        resources: Vec::new(),
        recipient_account_id: None,
    }
}

fn known(head: Option<Head>) -> Known {
    Known { head, first: 1 }
}

fn open(folder: &Path, rotate_bytes: u64) -> AuditLog {
    AuditLog::open(folder, rotate_bytes, || "chain-1".to_owned()).expect("it opens")
}

/// Ten records in files of about three, and the head.
async fn written(folder: &Path) -> Head {
    let log = open(folder, 1_200);
    for number in 0..10 {
        let kept = log.append(&record(number)).expect("there is room");
        kept.wait().await.expect("it is written");
    }
    log.close().expect("it ends");
    log.synced_head().expect("synced").expect("there are some")
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("it reads");
    text.lines().map(str::to_owned).collect()
}

fn put(path: &Path, lines: &[String]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(path, text).expect("written");
}

#[tokio::test]
async fn a_chain_goes_over_files_and_processes() {
    let folder = tempfile::tempdir().expect("a folder");
    let head = written(folder.path()).await;
    assert_eq!(head.seq, 10);
    let report = verify(folder.path(), known(Some(head.clone()))).expect("it reads");
    assert_eq!(
        (report.records, report.first, report.last),
        (10, Some(1), Some(10))
    );
    assert_eq!(report.findings, []);
    assert!(1 < report.files, "{} files", report.files);
    // The next process goes on, and one that was killed in a line leaves no trace.
    let (_, last) = files(folder.path()).expect("listed").pop().expect("a file");
    let mut text = fs::read(&last).expect("it reads");
    text.extend_from_slice(b"{\"half\":");
    fs::write(&last, text).expect("written");
    let log = open(folder.path(), 1_200);
    assert!(matches!(
        AuditLog::open(folder.path(), 1_200, String::new),
        Err(AuditError::Taken { .. })
    ));
    let strangers = (0..21).filter(|_| log.has_room_for_stranger(7)).count();
    assert_eq!(strangers, 20, "one is left out");
    assert!(log.has_room_for_stranger(8), "the next second has room");
    let kept = log.append(&record(10)).expect("there is room");
    kept.wait().await.expect("it is written");
    log.close().expect("it ends");
    let report =
        verify(folder.path(), known(log.synced_head().expect("synced"))).expect("it reads");
    assert_eq!((report.records, report.omitted), (11, 1));
    assert_eq!(report.findings, []);
    // Older files may be taken away when they are known to be too old; and the head of then still holds.
    let (_, first) = files(folder.path()).expect("listed").remove(0);
    fs::remove_file(first).expect("removed");
    let report = verify(folder.path(), known(Some(head.clone()))).expect("it reads");
    assert!(report.findings[0].why.contains("older files"), "{report:?}");
    let first = report.first.expect("there are some");
    let head = Some(head);
    let report = verify(folder.path(), Known { head, first }).expect("it reads");
    assert!(1 < first && report.findings.is_empty());
}

#[tokio::test]
async fn whatever_is_done_to_lines_is_found() {
    type Hand = fn(&mut Vec<Vec<String>>);
    let hands: [(&str, Hand); 8] = [
        ("removed", |files| drop(files[1].remove(1))),
        ("altered", |files| {
            files[1][1] = files[1][1].replace("Action", "action");
        }),
        ("reordered", |files| files[1].swap(0, 1)),
        ("moved between files", |files| {
            let line = files[1].remove(0);
            files[2].push(line);
        }),
        ("added twice", |files| {
            let line = files[0][0].clone();
            files[0].push(line);
        }),
        ("a file gone", |files| files[1].clear()),
        ("the oldest file gone", |files| files[0].clear()),
        ("the end cut off", |files| {
            files.last_mut().expect("files").pop();
        }),
    ];
    for (what, hand) in hands {
        let folder = tempfile::tempdir().expect("a folder");
        let head = written(folder.path()).await;
        let paths = files(folder.path()).expect("listed");
        let mut all: Vec<Vec<String>> = paths.iter().map(|(_, path)| lines(path)).collect();
        hand(&mut all);
        for ((_, path), lines) in paths.iter().zip(&all) {
            put(path, lines);
        }
        let report = verify(folder.path(), known(Some(head))).expect("it reads");
        assert_ne!(report.findings, [], "{what}");
    }
}

#[tokio::test]
async fn a_chain_that_is_written_again_is_found_by_its_head() {
    let folder = tempfile::tempdir().expect("a folder");
    let head = written(folder.path()).await;
    for (_, path) in files(folder.path()).expect("listed") {
        fs::remove_file(path).expect("removed");
    }
    let log = open(folder.path(), ROTATE_BYTES);
    for number in 0..10 {
        let other = Record {
            user_agent: "forger".to_owned(),
            ..record(number)
        };
        log.append(&other)
            .expect("room")
            .wait()
            .await
            .expect("written");
    }
    let report = verify(folder.path(), known(Some(head))).expect("it reads");
    assert!(
        report.findings[0].why.contains("written again"),
        "{report:?}"
    );
    assert_eq!(
        verify(folder.path(), Known::default())
            .expect("it reads")
            .findings,
        []
    );
}

#[tokio::test]
async fn what_cannot_be_written_waits_and_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    // Every file is full: the next line begins one, and the folder is gone.
    let log = open(folder.path(), 1);
    log.append(&record(0))
        .expect("room")
        .wait()
        .await
        .expect("written");
    let aside = folder.path().with_extension("aside");
    fs::rename(folder.path(), &aside).expect("moved");
    let kept = log.append(&record(1)).expect("there is room in memory");
    assert!(kept.wait().await.is_err());
    assert!(log.check().await.is_err());
    let head = log.synced_head().expect("the old file syncs");
    assert_eq!(
        head.map(|head| head.seq),
        Some(1),
        "the other one is in no file"
    );
    fs::rename(&aside, folder.path()).expect("moved back");
    log.check().await.expect("it goes on");
    let report =
        verify(folder.path(), known(log.synced_head().expect("synced"))).expect("it reads");
    assert_eq!((report.records, report.findings), (2, vec![]));
    let all = files(folder.path()).expect("listed");
    assert!(
        all.iter()
            .all(|(_, path)| !lines(path).concat().contains("hunter2"))
    );
}

#[tokio::test]
async fn files_that_are_too_many_or_too_old_go_oldest_first() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(written(folder.path()).await);
    let log = open(folder.path(), 1_200);
    let all = files(folder.path()).expect("listed");
    assert!(2 < all.len());
    assert_eq!(log.excess(u64::MAX, 0).expect("listed"), None);
    let newest = all.last().expect("files").0;
    let (first, gone) = log.excess(0, 0).expect("listed").expect("too many");
    assert_eq!((first, gone.len()), (newest, all.len() - 1));
    let (first, gone) = log
        .excess(u64::MAX, i64::MAX)
        .expect("listed")
        .expect("old");
    assert_eq!((first, gone.len()), (newest, all.len() - 1));
    log.remove(gone).expect("removed");
    let head = log.synced_head().expect("synced");
    let report = verify(folder.path(), Known { head, first }).expect("it reads");
    assert_eq!((report.files, report.findings), (1, vec![]));
    log.append(&record(10))
        .expect("room")
        .wait()
        .await
        .expect("written");
}

#[tokio::test]
async fn records_are_read_back_newest_first_and_in_parts() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(written(folder.path()).await);
    let read = |before, bytes_max, most: usize| {
        let mut names = Vec::new();
        let next = newest_first(folder.path(), before, bytes_max, |line| {
            let record = read_record(line).expect("a record");
            assert!(record.get("snapferry").is_none());
            names.push(record["eventName"].as_str().unwrap_or_default().to_owned());
            if names.len() < most {
                std::ops::ControlFlow::Continue(())
            } else {
                std::ops::ControlFlow::Break(())
            }
        });
        (names, next.expect("it reads"))
    };
    let all: Vec<String> = (0..10)
        .rev()
        .map(|number| format!("Action{number}"))
        .collect();
    assert_eq!(read(None, usize::MAX, 100), (all.clone(), None));
    // Whatever ends a part, the next one goes on behind it.
    for (bytes_max, most) in [(usize::MAX, 1), (usize::MAX, 3), (1, 100), (2_000, 100)] {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let (part, next) = read(before, bytes_max, most);
            found.extend(part);
            before = next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(found, all, "{bytes_max} bytes, {most} records");
    }
}
