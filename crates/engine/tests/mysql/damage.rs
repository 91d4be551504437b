//! Dumps that are not what was written: each is refused before a server sees it, or by what it then says.
use std::{
    fs,
    os::unix::fs::{FileExt, symlink},
};

use engine::{DumpInfo, Engine, EngineError, Home};

use crate::support::Rig;

async fn refused(rig: &Rig, home: &Home, document: &str, what: &str) -> String {
    let error = rig.engine.load(home, document).await.expect_err(what);
    assert!(
        matches!(error, EngineError::BadDump { .. }),
        "{what}: {error}"
    );
    error.to_string()
}

/// Flips a bit of a file, has it refused, and flips it back.
async fn flipped(rig: &Rig, home: &Home, info: &DumpInfo, file: &str, at: u64) -> String {
    let path = home.data().join(file);
    let flip = || {
        let open = fs::OpenOptions::new().read(true).write(true).open(&path);
        let file = open.expect("opens");
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("reads");
        file.write_all_at(&[byte[0] ^ 4], at).expect("writes");
    };
    flip();
    let why = refused(rig, home, &info.document, &format!("{file} at {at}")).await;
    flip();
    why
}

/// Where the log of a dump begins within its first file.
fn log_offset(home: &Home, info: &DumpInfo) -> (String, u64) {
    let document: serde_json::Value = serde_json::from_str(&info.document).expect("JSON");
    let text = document["checkpoint_lsn"].as_str().expect("a text");
    let checkpoint: u64 = text.parse().expect("a number");
    for entry in fs::read_dir(home.data().join("#innodb_redo"))
        .expect("a folder")
        .flatten()
    {
        let bytes = fs::read(entry.path()).expect("reads");
        let start = u64::from_be_bytes(*bytes[8..].first_chunk().expect("eight"));
        if (start..start + bytes.len() as u64 - 2048).contains(&checkpoint) {
            let name = entry.file_name().into_string().expect("a name");
            return (
                format!("#innodb_redo/{name}"),
                2048 + (checkpoint - start) / 512 * 512,
            );
        }
    }
    panic!("no file has the checkpoint")
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_any_kind_is_found_by_the_load() {
    let Some(rig) = Rig::new() else { return };
    let home = rig.created("a").await;
    rig.sql(
        &home,
        "CREATE DATABASE d; CREATE TABLE d.t(a INT PRIMARY KEY, v VARCHAR(100));\n\
         CREATE TABLE d.c(a INT PRIMARY KEY, v VARCHAR(100)) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4;\n\
         CREATE TABLE d.p(a INT PRIMARY KEY, v VARCHAR(100)) COMPRESSION='lz4';\n\
         INSERT INTO d.t VALUES (1, 'x'); INSERT INTO d.c SELECT * FROM d.t; INSERT INTO d.p SELECT * FROM d.t;",
    );
    let info = rig.dump(&home, "d").await.expect("dumps");
    let copy = rig.place("d", "b");
    let (redo, log_at) = log_offset(&copy, &info);

    pages_of_each_format_and_the_log(&rig, &copy, &info, &redo, log_at).await;
    what_is_not_there(&rig, &copy, &info, &redo).await;
    what_has_no_place_in_it(&rig, &copy, &info).await;
    the_document_of_another(&rig, &copy, &info).await;

    // And as it was it loads.
    rig.engine.load(&copy, &info.document).await.expect("loads");
    assert_eq!(
        rig.sql(
            &copy,
            "SELECT COUNT(*) FROM d.t NATURAL JOIN d.c NATURAL JOIN d.p"
        ),
        "1\n"
    );
}
/// A flipped bit is found.
async fn pages_of_each_format_and_the_log(
    rig: &Rig,
    copy: &Home,
    info: &DumpInfo,
    redo: &str,
    log_at: u64,
) {
    for (file, page_bytes, page) in [
        ("d/t.ibd", 16_384, 4),
        ("d/c.ibd", 4_096, 4),
        ("d/p.ibd", 16_384, 4),
        ("mysql.ibd", 16_384, 700),
        ("undo_001", 16_384, 5),
        ("ibdata1", 16_384, 0),
    ] {
        let why = flipped(rig, copy, info, file, page * page_bytes + 60).await;
        assert!(
            why.contains(&format!("page {page} is damaged")),
            "{file}: {why}"
        );
    }
    for at in [log_at + 100, 9, 49, 520] {
        let why = flipped(rig, copy, info, redo, at).await;
        assert!(why.contains("redo log"), "{at}: {why}");
    }
}

/// A missing file is found.
async fn what_is_not_there(rig: &Rig, copy: &Home, info: &DumpInfo, redo: &str) {
    for file in ["d/t.ibd", redo, "ibdata1", "#innodb_redo"] {
        let path = copy.data().join(file);
        let kept = copy.dir.join("aside");
        fs::rename(&path, &kept).expect("moves");
        refused(rig, copy, &info.document, file).await;
        fs::rename(&kept, &path).expect("moves back");
    }
}

/// Nothing else may lie in it.
async fn what_has_no_place_in_it(rig: &Rig, copy: &Home, info: &DumpInfo) {
    for file in [
        "my.cnf",
        "d/evil.so",
        "mysqld-auto.cnf",
        "auto.cnf",
        "#innodb_redo/#ib_redo999",
        "d/x.isl",
    ] {
        let path = copy.data().join(file);
        fs::write(&path, b"[mysqld]\nplugin-load-add=evil.so\n").expect("writes");
        refused(rig, copy, &info.document, file).await;
        fs::remove_file(&path).expect("removes");
    }
    let link = copy.data().join("d/link.ibd");
    symlink("/etc/passwd", &link).expect("a link");
    refused(rig, copy, &info.document, "a link").await;
    fs::remove_file(&link).expect("removes");
}

/// It must be the one that the dump was told with.
async fn the_document_of_another(rig: &Rig, copy: &Home, info: &DumpInfo) {
    for (member, value) in [
        ("checkpoint_lsn", "1000"),
        ("end_lsn", "99999999999"),
        ("version", "9.7.99"),
        ("series", "8.4"),
    ] {
        let mut document: serde_json::Value = serde_json::from_str(&info.document).expect("JSON");
        document[member] = value.into();
        refused(rig, copy, &document.to_string(), member).await;
    }
}

/// What the server itself would run or obey.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_rows_are_refused() {
    let Some(rig) = Rig::new() else { return };
    let home = rig.created("a").await;
    for (index, sql) in [
        "INSERT INTO mysql.func VALUES ('evil', 0, 'evil.so', 'function')",
        "DELETE FROM mysql.func; CREATE USER evil@'%' IDENTIFIED BY 'Evil-12345'; GRANT FILE ON *.* TO evil@'%'",
    ]
    .iter()
    .enumerate()
    {
        rig.sql(&home, sql);
        let name = format!("d{index}");
        let info = rig.dump(&home, &name).await.expect("dumps");
        let copy = rig.place(&name, &format!("copy{index}"));
        refused(&rig, &copy, &info.document, sql).await;
        rig.engine.start(&copy).await.expect_err("never whole");
    }
}
