//! What a cluster is from its making to its removal.
//!
//! It does not know what the cluster holds.
use std::time::Duration;

use model::{ErrorKind, pages::can_be_checked};

use super::{Fixture, spec};
use crate::{error::EngineError, interface::ServerState};

const PATIENCE: Duration = Duration::from_secs(20);

/// Its profile can be served, and what it says of versions and passwords fits together.
pub async fn it_says_what_it_is<F: Fixture>() {
    let engine = F::new().engine();
    let profile = engine.profile();
    assert!(!profile.names.is_empty() && !profile.title.is_empty());
    assert!(can_be_checked(profile.page_bytes), "{}", profile.page_bytes);
    assert!(1_024 <= profile.default_port);
    for rules in [&profile.user_names, &profile.database_names] {
        let mut words = rules.reserved.iter().copied().flatten();
        assert!(words.all(|word| *word == word.to_ascii_lowercase()));
        assert!(rules.is_well_formed("Captain_1") && !rules.is_well_formed("1captain"));
        assert!(!rules.is_reserved("captain"));
    }
    assert!(
        profile.user_names.is_reserved("RDSadmin"),
        "the role of the engine's own sessions"
    );

    let versions = engine.installed();
    assert!(!versions.is_empty(), "{} is not installed", profile.title);
    for version in &versions {
        let series = engine.series(version);
        assert!(
            !series.is_empty() && version.starts_with(series),
            "{version}"
        );
        assert_eq!(engine.series(series), series, "a series names itself");
    }
    let verifiers = ["correct horse", "correct horse"].map(|word| engine.verifier(word));
    assert_ne!(verifiers[0], verifiers[1], "each has a salt");
    assert!(!verifiers[0].contains("horse"));
    assert!(!format!("{:?}", spec(&*engine)).contains(&spec(&*engine).master_verifier[..8]));
}

/// Create, stop, start, remove, each also where it has nothing to do or must not be done.
pub async fn a_cluster_is_made_stopped_started_and_removed<F: Fixture>() {
    let fixture = F::new();
    let (engine, home) = (fixture.engine(), fixture.home("a"));
    let state = async || engine.state(&home).await.expect("it can be told");
    assert_eq!(state().await, ServerState::Ended);
    let error = engine.start(&home).await.expect_err("nothing is there");
    assert!(matches!(error, EngineError::NotWhole { .. }), "{error}");

    let mut reserved = spec(&*engine);
    reserved.master_username = "rdsadmin".to_owned();
    let error = engine.create(&home, &reserved).await.expect_err("reserved");
    assert_eq!(error.kind(), ErrorKind::Refuse, "{error}");

    engine.hold(&home).expect("the address is free");
    engine.hold(&home).expect("holding it again is nothing");
    let mut rival = fixture.home("b");
    (rival.host, rival.port) = (home.host.clone(), home.port);
    let error = engine.hold(&rival).expect_err("it is another's");
    assert!(matches!(error, EngineError::PortInUse { .. }), "{error}");

    engine
        .create(&home, &spec(&*engine))
        .await
        .expect("creates");
    assert_eq!(state().await, ServerState::Answers);
    std::fs::metadata(home.log_file(engine.profile())).expect("a log");
    let again = engine.create(&home, &spec(&*engine)).await;
    let error = again.expect_err("it is whole");
    assert!(matches!(error, EngineError::AlreadyWhole { .. }), "{error}");
    let loaded = engine.load(&home, "{}").await.expect_err("it is whole");
    assert_eq!(loaded.kind(), ErrorKind::Refuse);
    engine.start(&home).await.expect("adopts");
    engine.trim_log(&home).await.expect("trims");
    let (user, verifier) = (
        spec(&*engine).master_username,
        engine.verifier("another one"),
    );
    let reset = engine.set_master_password(&home, &user, &verifier).await;
    reset.expect("its master user gets another password");
    let reset = engine
        .set_master_password(&home, "rdsadmin", &verifier)
        .await;
    assert_eq!(reset.expect_err("reserved").kind(), ErrorKind::Refuse);
    engine.renew(&home).await.expect("renews");

    let heard = async {
        while state().await != ServerState::Ended {
            engine.ended().await;
        }
    };
    let heard = tokio::time::timeout(PATIENCE, heard);
    let (stopped, heard) = tokio::join!(engine.stop(&home, PATIENCE), heard);
    stopped.expect("stops");
    heard.expect("that a server ended is heard");
    assert_eq!(state().await, ServerState::Ended);
    engine.stop(&home, PATIENCE).await.expect("nothing to stop");
    engine.start(&home).await.expect("starts");
    assert_eq!(state().await, ServerState::Answers);

    engine.remove(&home).await.expect("removes");
    assert_eq!(state().await, ServerState::Ended);
    assert!(!home.dir.try_exists().expect("it can be told"));
    engine.remove(&home).await.expect("nothing to remove");
    engine.release(&home);
    engine.hold(&rival).expect("the address is free again");
    engine.release(&rival);
}
