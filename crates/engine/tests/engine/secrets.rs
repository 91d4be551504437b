//! What a cluster's owner cannot find out about Snapferry's own sessions: against real PostgreSQL.
use std::{collections::BTreeMap, time::Duration};

use engine::{Engine, WantedParameters, WantedValue};

use crate::support::{PASSWORD, Rig, client, number};

/// Has everything logged that a parameter group can have logged of statements.
fn logs_all() -> WantedParameters {
    let values = [
        ("log_min_duration_statement", "0"),
        ("log_min_error_statement", "debug5"),
        ("log_duration", "1"),
    ];
    let wanted = values.map(|(name, value)| {
        let value = WantedValue {
            value: Some(value.to_owned()),
            at_restart: false,
        };
        (name.to_owned(), value)
    });
    BTreeMap::from(wanted)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_is_in_no_view_of_sessions_and_no_log() {
    let rig = Rig::new();
    let home = rig.created("a").await;
    let configured = rig.engine.configure(&home, &logs_all()).await;
    configured.expect("they are parameters");
    let (holds, watches) = (client(&home).await, client(&home).await);
    watches
        .batch_execute("SELECT 'is logged'")
        .await
        .expect("answers");
    // The role is being changed by somebody else, so Snapferry's statement waits.
    let own = format!("BEGIN; ALTER ROLE captain PASSWORD '{PASSWORD}'");
    holds.batch_execute(&own).await.expect("is its own");
    let verifier = rig.engine.verifier("another password");
    let (done, seen) = tokio::join!(
        rig.engine.set_master_password(&home, "captain", &verifier),
        async {
            let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
            for _ in 0..600 {
                if number(&watches, waits).await == 1 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let seen = "SELECT string_agg(state || ': ' || query, E'\n') FROM pg_stat_activity \
                WHERE backend_type = 'client backend'";
            let seen = watches.query_one(seen, &[]).await.expect("answers");
            let waiting = number(&watches, waits).await;
            holds.batch_execute("ROLLBACK").await.expect("lets go");
            (seen.get::<_, String>(0), waiting)
        }
    );
    done.expect("it has another password");
    let (seen, waiting) = seen;
    assert_eq!(waiting, 1, "it waited meanwhile, or the test shows nothing");
    assert!(seen.contains("disabled: "), "{seen}");
    assert!(!seen.contains("SCRAM"), "{seen}");
    let log = home.log_file(rig.engine.profile());
    let log = std::fs::read_to_string(log).expect("a log");
    assert!(
        log.contains("is logged"),
        "or the test shows nothing: {log}"
    );
    assert!(!log.contains("SCRAM"), "{log}");
}
