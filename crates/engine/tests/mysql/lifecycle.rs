//! What a cluster of MySQL's is from its making to its removal, beside what the suite of engines asks.
use std::{collections::BTreeMap, fs, time::Duration};

use engine::{Engine, EngineError, ServerState, WantedParameters, WantedValue};

use crate::support::Rig;

const PATIENCE: Duration = Duration::from_secs(20);

/// A parameter that is wanted at once, if it can be had so.
fn wanted(name: &str, value: &str) -> WantedParameters {
    let value = WantedValue {
        value: Some(value.to_owned()),
        at_restart: false,
    };
    BTreeMap::from([(name.to_owned(), value)])
}

fn cell(rig: &Rig, home: &engine::Home, sql: &str) -> String {
    rig.try_sql(home, sql).expect("answers").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_adopted_and_a_killed_one_recovers() {
    let Some(rig) = Rig::new() else { return };
    let home = rig.created("a").await;
    let identity = "SELECT CONCAT(@@server_uuid, @@datadir)";
    let first = cell(&rig, &home, identity);
    rig.try_sql(
        &home,
        "CREATE TABLE app.t (a INT PRIMARY KEY); INSERT INTO app.t VALUES (7);",
    )
    .expect("writes");
    // Nothing but a session of its own notices who looks after it.
    let another =
        engine::mysql::MySql::new(std::env::var_os("SNAPFERRY_TEST_MYSQL").map(Into::into));
    let up = "SHOW GLOBAL STATUS LIKE 'Uptime'";
    let before: u64 = cell(&rig, &home, up)
        .rsplit('\t')
        .next()
        .expect("a value")
        .parse()
        .expect("a number");
    another.start(&home).await.expect("adopts");
    let after: u64 = cell(&rig, &home, up)
        .rsplit('\t')
        .next()
        .expect("a value")
        .parse()
        .expect("a number");
    assert!(before <= after, "it was not begun again");
    // It stands for a process that is gone: one that watched on would hold the address when the server ends.
    another.release(&home);

    rig.engine
        .stop(&home, Duration::ZERO)
        .await
        .expect("ends at once");
    assert_eq!(
        rig.engine.state(&home).await.expect("told"),
        ServerState::Ended
    );
    rig.engine.start(&home).await.expect("recovers");
    assert_eq!(cell(&rig, &home, "SELECT a FROM app.t"), "7");
    assert_eq!(cell(&rig, &home, identity), first);

    let other = rig.created("b").await;
    assert_ne!(
        cell(&rig, &other, identity),
        first,
        "a copy of the template is a server of its own"
    );
    let mut rival = rig.home("c");
    rival.port = other.port;
    let spec = engine::NewCluster {
        master_username: "captain".to_owned(),
        master_verifier: rig.engine.verifier("correct horse"),
        database_name: None,
    };
    let refused = rig
        .engine
        .create(&rival, &spec)
        .await
        .expect_err("another has it");
    assert!(
        matches!(refused, EngineError::PortInUse { .. }),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_in_the_data_folder_count_for_nothing() {
    let Some(rig) = Rig::new() else { return };
    let home = rig.created("a").await;
    let asked =
        "SELECT CONCAT_WS(' ', @@max_connections, @@general_log, @@secure_file_priv IS NULL)";
    let usual = cell(&rig, &home, asked);
    rig.try_sql(&home, "SET PERSIST max_connections = 7")
        .expect("the administrator may");
    rig.engine.stop(&home, PATIENCE).await.expect("stops");
    for name in ["my.cnf", "mysqld.my"] {
        let text = "[mysqld]\nmax_connections = 7\ngeneral_log = ON\nsecure_file_priv = \"\"\n";
        fs::write(home.data().join(name), text).expect("a file");
    }
    rig.engine.start(&home).await.expect("starts");
    assert_eq!(cell(&rig, &home, asked), usual);
    let left = home
        .data()
        .join("mysqld-auto.cnf")
        .try_exists()
        .expect("told");
    assert!(!left, "what could steer a server is cleared");
    let users = cell(
        &rig,
        &home,
        "SELECT user FROM mysql.user WHERE user IN ('root', 'rdsadmin')",
    );
    assert_eq!(users, "rdsadmin", "nobody is left who needs no password");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_reach_a_server_and_a_wrong_one_takes_none_down() {
    let Some(rig) = Rig::new() else { return };
    let home = rig.created("a").await;
    let known = rig.engine.parameters(&home.version).await.expect("told");
    let of = |name: &str| {
        known
            .iter()
            .find(|one| one.name == name)
            .expect("it is there")
    };
    assert!(!of("max_connections").is_static && of("max_connections").kept.is_none());
    assert!(of("innodb_purge_threads").is_static && of("datadir").kept.is_some());
    let connections = "SELECT @@max_connections";
    let usual = cell(&rig, &home, connections);
    let told = rig
        .engine
        .configure(&home, &wanted("max_connections", "77"))
        .await
        .expect("takes it");
    assert!(!told.waits && told.refused.is_none());
    assert_eq!(cell(&rig, &home, connections), "77");
    let told = rig
        .engine
        .configure(&home, &wanted("time_zone", "+05:00"))
        .await
        .expect("takes it");
    assert!(!told.waits);
    assert_eq!(
        cell(&rig, &home, connections),
        usual,
        "what is not wanted any more is as it was"
    );
    rig.engine.stop(&home, PATIENCE).await.expect("stops");
    rig.engine.start(&home).await.expect("starts with it");
    assert_eq!(cell(&rig, &home, "SELECT @@GLOBAL.time_zone"), "+05:00");

    // Fits the type, and no server starts with it.
    let wrong = wanted("default_storage_engine_of_none", "x");
    rig.engine
        .configure(&home, &wrong)
        .await
        .expect("an unknown one reaches no server");
    rig.engine
        .configure(&home, &wanted("innodb_ft_min_token_size", "16"))
        .await
        .expect("noted");
    let wrong = BTreeMap::from([("sql_mode".to_owned(), "NO_SUCH_MODE".to_owned())]);
    let said = rig.engine.check_parameters(&home.version, &wrong).await;
    assert!(
        said.expect("asked").is_some(),
        "the server's own program judges"
    );
    let fine = BTreeMap::from([("sql_mode".to_owned(), "ANSI".to_owned())]);
    assert_eq!(
        rig.engine
            .check_parameters(&home.version, &fine)
            .await
            .expect("asked"),
        None
    );

    let mut zone = wanted("time_zone", "Middle/Earth");
    zone.get_mut("time_zone").expect("it is there").at_restart = true;
    let told = rig.engine.configure(&home, &zone).await.expect("noted");
    assert!(told.waits);
    rig.engine.stop(&home, PATIENCE).await.expect("stops");
    rig.engine.start(&home).await.expect("starts without it");
    let told = rig.engine.configure(&home, &zone).await.expect("told");
    assert_eq!(told.refused.expect("it was tried"), ["time_zone"]);
}
