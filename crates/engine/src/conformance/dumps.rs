//! What a dump is, and what a load makes of one.
//!
//! It does not know the files of any database.
use std::{fs, sync::Arc, time::Duration};

use model::{ErrorKind, Told};

use super::{Fixture, sink::Sink, spec};
use crate::{
    error::{EngineError, SinkError},
    home::Home,
    interface::{DumpInfo, Engine, ServerState},
};

/// Dumps on a thread that may wait.
async fn dump(
    engine: &Arc<dyn Engine>,
    home: &Home,
    mut sink: Sink,
) -> (Result<DumpInfo, EngineError>, Sink) {
    let (engine, home) = (Arc::clone(engine), home.clone());
    let dumped = tokio::task::spawn_blocking(move || (engine.dump(&home, &mut sink), sink));
    dumped.await.expect("no dump panics")
}

/// A running cluster's dump, and a stopped one's, make clusters; and a sink's failure, its wish to
/// stop, another's document and damaged files each end it as they must.
pub async fn a_dump_comes_back_and_a_damaged_one_does_not<F: Fixture>() {
    let fixture = F::new();
    let (engine, home) = (fixture.engine(), fixture.home("a"));
    let (none, _) = dump(&engine, &home, Sink::default()).await;
    none.expect_err("nothing is there");
    engine
        .create(&home, &spec(&*engine))
        .await
        .expect("creates");

    let (info, online) = dump(&engine, &home, Sink::default()).await;
    let info = info.expect("dumps");
    assert!(
        online.has_pages(engine.profile().page_bytes),
        "pages can be checked"
    );
    assert!(info.left_out.is_empty(), "{:?}", info.left_out);
    assert_eq!(
        engine.state(&home).await.expect("told"),
        ServerState::Answers
    );

    let refusing = Sink {
        refuses: Some(SinkError {
            kind: ErrorKind::Repair,
            told: Told::new("the sink's own words"),
            source: "full".into(),
        }),
        ..Sink::default()
    };
    let error = dump(&engine, &home, refusing).await.0.expect_err("refused");
    assert!(matches!(error, EngineError::Sink { .. }), "{error}");
    assert_eq!(
        error.kind(),
        ErrorKind::Repair,
        "what the sink says decides"
    );
    assert_eq!(error.told().as_str(), "the sink's own words");
    let stopping = Sink {
        stops: true,
        ..Sink::default()
    };
    let error = dump(&engine, &home, stopping).await.0.expect_err("stopped");
    assert_eq!(error.kind(), ErrorKind::Stop, "{error}");

    engine
        .stop(&home, Duration::from_secs(20))
        .await
        .expect("stops");
    let (stopped, offline) = dump(&engine, &home, Sink::default()).await;
    let stopped = stopped.expect("dumps");
    engine.remove(&home).await.expect("removes");

    for (name, sink, document) in [("b", &online, &info), ("c", &offline, &stopped)] {
        let copy = fixture.home(name);
        sink.write(&copy);
        engine.load(&copy, &document.document).await.expect("loads");
        assert_eq!(
            engine.state(&copy).await.expect("told"),
            ServerState::Answers
        );
        let examined = engine.examine(&copy).await.expect("it can be read");
        assert!(0 < examined.databases && 0 < examined.relations);
        engine.remove(&copy).await.expect("removes");
    }
    refuses(&fixture, &engine, &offline, &stopped.document).await;
}

/// Whatever is not the dump that the document describes.
async fn refuses<F: Fixture>(fixture: &F, engine: &Arc<dyn Engine>, sink: &Sink, document: &str) {
    let other = fixture.home("other");
    sink.write(&other);
    for wrong in ["", "{}", "[1]"] {
        let error = engine.load(&other, wrong).await.expect_err("no document");
        assert_eq!(error.kind(), ErrorKind::Refuse, "{wrong:?}: {error}");
    }
    let empty = fixture.home("empty");
    fs::create_dir(&empty.dir).expect("a folder");
    fs::create_dir(empty.data()).expect("a folder");
    engine.load(&empty, document).await.expect_err("no files");
    for home in [other, empty] {
        assert_eq!(engine.state(&home).await.expect("told"), ServerState::Ended);
        let error = engine.start(&home).await.expect_err("never whole");
        assert!(matches!(error, EngineError::NotWhole { .. }), "{error}");
        engine.remove(&home).await.expect("removes");
    }
}
