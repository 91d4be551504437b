//! Catalogs of older schemas are brought up to date, with what they hold.
use std::{path::Path, sync::Arc};

use crate::support::Server;
use catalog::{
    Catalog, CatalogError, CatalogExt, PostgresCatalog, SqliteCatalog, conformance::samples,
    instances, last_snapshots, nodes, outbox, pins,
};
use model::{Cluster, Hash, Instance, SystemClock};
use serde_json::json;

/// The schema that both catalogs below are made with: clusters had their placements, and jobs their
/// pins, in their documents alone.
const SCHEMA: usize = 12;

/// The first statements of a database, up to the schema.
fn steps(database: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("migrations")
        .join(database);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let texts = files.iter().take(SCHEMA).map(std::fs::read_to_string);
    texts.map(|text| text.expect("it reads")).collect()
}

/// A cluster with a place and one without, and a job with pins, as the schema had them.
fn rows(placed: &Cluster, unplaced: &Cluster) -> String {
    let quoted = |text: String| format!("'{}'", text.replace('\'', "''"));
    let mut sql = String::new();
    for (cluster, version, placement) in [
        (
            placed,
            7,
            json!({"node": "node-1", "host": "127.0.0.1", "port": 5433, "os_uid": 70000, "attempt": "a"}),
        ),
        (unplaced, 8, json!(null)),
    ] {
        let mut body = json!(cluster);
        body["instance_class"] = json!("db.r6gd.large");
        body["tags"] = json!([{"key": "it's", "value": "\u{1F600}"}]);
        body["placement"] = placement.clone();
        let node = placement["node"].as_str();
        sql.push_str(&format!(
            "INSERT INTO clusters (region, account, name, resource_id, status, node, volume, \
             base_manifest, version, body) VALUES ('{}', '{}', '{}', '{}', 'available', {}, '{}', \
             NULL, {version}, {});\n",
            cluster.region,
            cluster.account,
            cluster.name,
            cluster.resource_id.as_str(),
            node.map_or("NULL".to_owned(), |node| format!("'{node}'")),
            cluster.volume,
            quoted(body.to_string()),
        ));
    }
    let pins = json!([
        {"region": "us-east-1", "volume": placed.volume, "manifest": samples::hash(7)},
        {"region": "us-east-1", "volume": placed.volume, "manifest": null},
    ]);
    for (id, state) in [("1", "open"), ("2", "done")] {
        let volume = match state {
            "open" => pins.clone(),
            _ => json!([{"region": "us-east-1", "volume": unplaced.volume, "manifest": null}]),
        };
        sql.push_str(&format!(
            "INSERT INTO jobs (id, kind, region, account, subject, state, created_at, run_after, \
             fence, attempts, progress, pins, body) VALUES \
             ('00000000-0000-4000-8000-00000000000{id}', 'copy-snapshot', 'us-east-1', \
             '111111111111', 's', '{state}', 1, 1, 0, 0, '{{}}', {}, '{{}}');\n",
            quoted(volume.to_string())
        ));
    }
    let snapshot = model::Snapshot {
        cluster_resource_id: placed.resource_id.clone(),
        status: model::SnapshotStatus::Available,
        created_at: model::Timestamp(1_700_000_000_123_456),
        ..samples::snapshot("kept")
    };
    sql.push_str(&format!(
        "INSERT INTO snapshots (region, account, name, kind, status, engine, cluster_name, \
         cluster_resource_id, version, body) VALUES ('{}', '{}', 'kept', 'manual', 'available', \
         '{}', 'c', '{}', 6, {});\n",
        snapshot.region,
        snapshot.account,
        snapshot.engine,
        snapshot.cluster_resource_id.as_str(),
        quoted(json!(snapshot).to_string()),
    ));
    sql
}

async fn check(catalog: Arc<dyn Catalog>, placed: Cluster, unplaced: Cluster) {
    let (one, other) = (placed.clone(), unplaced.clone());
    let done: Result<(), CatalogError> = catalog
        .read(move |tx| {
            let region = samples::region();
            let writer = instances::writer(tx, &one.resource_id)?.expect("it had a place");
            let expected = Instance {
                class: Some("db.r6gd.large".to_owned()),
                ..samples::writer(&one)
            };
            assert_eq!(writer.value, expected);
            assert_eq!(instances::writer(tx, &other.resource_id)?, None);
            let members = instances::on_node(tx, "node-1")?;
            assert_eq!(members.len(), 1);
            assert_eq!(members[0].cluster.tags[0].key, "it's");
            let held = pins::of_volume(tx, &region, &one.volume)?;
            let manifests: Vec<Hash> = held.manifests.into_iter().collect();
            assert_eq!((held.in_use, manifests), (true, vec![samples::hash(7)]));
            assert!(!pins::of_volume(tx, &region, &other.volume)?.in_use);
            let mut told: Vec<String> = outbox::take(tx, 10)?
                .into_iter()
                .map(|entry| entry.path)
                .collect();
            told.sort();
            let account = samples::account(1);
            assert_eq!(
                told,
                [
                    format!("clusters/us-east-1/{account}/old"),
                    format!("clusters/us-east-1/{account}/unplaced"),
                    format!("instances/us-east-1/{account}/{}", writer.value.id.as_str()),
                ]
            );
            let lasts = last_snapshots::of_clusters(tx, 9)?;
            let lasts: Vec<_> = lasts.into_iter().map(|(_, last)| last).collect();
            let last = Some(model::Timestamp(1_700_000_000_123_456));
            assert_eq!(lasts, [last, None], "as its document says");
            assert!(tx.version()? > 8, "what is told now is newer than before");
            Ok(())
        })
        .await;
    done.expect("it reads");
    // It goes on from there.
    let written: Result<(), CatalogError> = catalog
        .write(move |tx| {
            let mut writer = instances::writer(tx, &placed.resource_id)?.expect("kept");
            writer.value.placement.port = 5_999;
            instances::update(tx, writer)?;
            let entry = nodes::Entry {
                name: "node-1".to_owned(),
                home: "h".to_owned(),
                incarnation: "i".to_owned(),
                endpoint: String::new(),
                build: String::new(),
                zone: None,
            };
            nodes::enter(tx, &entry, std::time::Duration::ZERO)?.expect("nobody has it");
            assert_eq!(nodes::list(tx)?[0].clusters, 1);
            Ok(())
        })
        .await;
    written.expect("it is kept");
}

fn clusters() -> (Cluster, Cluster) {
    (samples::cluster("old"), samples::cluster("unplaced"))
}

#[tokio::test]
async fn an_older_file_is_brought_up_to_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.db");
    let (placed, unplaced) = clusters();
    let connection = rusqlite::Connection::open(&path).expect("it opens");
    connection
        .execute_batch(&format!(
            "CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) \
             STRICT, WITHOUT ROWID; {} {} \
             INSERT INTO counters VALUES ('version', 8); \
             INSERT INTO meta VALUES ('schema', '{SCHEMA}'); \
             PRAGMA application_id = {};",
            steps("sqlite"),
            rows(&placed, &unplaced),
            0x534E_4652
        ))
        .expect("it is made");
    drop(connection);
    let catalog =
        SqliteCatalog::open(&path, Arc::new(SystemClock)).expect("it is brought up to date");
    check(Arc::new(catalog), placed, unplaced).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_database_is_brought_up_to_date() {
    let server = Server::shared();
    let url = server.database();
    let name = url
        .rsplit('/')
        .next()
        .and_then(|tail| tail.split('?').next());
    let (placed, unplaced) = clusters();
    server
        .try_sql(
            name.expect("a name"),
            &format!(
                "CREATE TABLE meta (name TEXT COLLATE \"C\" NOT NULL PRIMARY KEY, value TEXT NOT NULL); \
                 {} {} SELECT setval('versions', 8); \
                 INSERT INTO meta VALUES ('schema', '{SCHEMA}');",
                steps("postgres"),
                rows(&placed, &unplaced)
            ),
        )
        .expect("it is made");
    let catalog = PostgresCatalog::open(&url).expect("it is brought up to date");
    check(Arc::new(catalog), placed, unplaced).await;
}
