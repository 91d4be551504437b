//! Dumps under writers and changing tables, one after another, with servers killed in the middle of their recovery:
//! each comes back as one state. `SNAPFERRY_SOAK_MYSQL` is how many are taken.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use engine::{Engine, EngineError, Home};
use model::ErrorKind;

use crate::{
    bank::{CHANGES, audited, bank, turns},
    support::{Rig, wait_until},
};

/// How often a dump that is void is taken again, as a job's tries are.
const TRIES: u32 = 8;

/// Kills whatever serves a home, until told to stop.
fn kill_once(home: &Home, after: Duration) -> std::thread::JoinHandle<bool> {
    let data = home.data();
    std::thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            let entries = std::fs::read_dir("/proc").expect("proc").flatten();
            let works = |entry: &std::fs::DirEntry| {
                std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data)
            };
            let pid = entries
                .filter(works)
                .find_map(|entry| entry.file_name().to_str()?.parse().ok());
            if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
                std::thread::sleep(after);
                return rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    })
}

/// Dumps as a job does: what is void is taken again.
async fn dumped(rig: &Rig, home: &Home, name: &str) -> (String, engine::DumpInfo) {
    for tried in 0..TRIES {
        let into = format!("{name}-{tried}");
        match rig.dump(home, &into).await {
            Ok(info) => return (into, info),
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::Retry | ErrorKind::Wait),
                    "{error}"
                );
                std::fs::remove_dir_all(rig.path(&into)).expect("removes");
            }
        }
    }
    panic!("{name} was void {TRIES} times")
}

#[tokio::test(flavor = "multi_thread")]
async fn dumps_come_back_whatever_runs_and_whatever_is_killed() {
    let Some(rig) = Rig::new() else { return };
    let rig = Arc::new(rig);
    let count = std::env::var("SNAPFERRY_SOAK_MYSQL")
        .ok()
        .and_then(|text| text.parse().ok());
    let count: u32 = count.unwrap_or(3);
    let home = rig.created("a").await;
    rig.sql(&home, &bank());
    let writers: Vec<_> = (1..=3)
        .map(|who| {
            rig.repeating(
                &home,
                &format!("CALL bank.move_some({who}, 50); DO SLEEP(0.02)"),
            )
        })
        .collect();
    let changes = rig.repeating(&home, CHANGES);
    wait_until("all of them have begun", || {
        turns(&rig, &home).iter().all(|turns| 0 < *turns)
    });
    let (mut killed, mut failed) = (0, 0);
    for round in 0..count {
        let before = turns(&rig, &home);
        let (name, info) = dumped(&rig, &home, &format!("d{round}")).await;
        let after = turns(&rig, &home);
        let mut copy = rig.place(&name, &format!("copy{round}"));
        if round % 2 == 0 {
            let killer = kill_once(&copy, Duration::from_millis(u64::from(round * 137 % 1500)));
            let loaded = rig.engine.load(&copy, &info.document).await;
            killed += u32::from(killer.join().expect("no panic"));
            if let Err(error) = loaded {
                failed += 1;
                assert!(!matches!(error, EngineError::BadDump { .. }), "{error}");
                rig.engine.start(&copy).await.expect_err("never whole");
                rig.engine.remove(&copy).await.expect("removes");
                copy = rig.place(&name, &format!("again{round}"));
                rig.engine.load(&copy, &info.document).await.expect("loads");
            } else {
                rig.engine.start(&copy).await.expect("starts or is adopted");
            }
        } else {
            rig.engine.load(&copy, &info.document).await.expect("loads");
        }
        let found = audited(&rig, &copy);
        for (who, turns) in found.iter().enumerate() {
            assert!(
                before[who] <= *turns && *turns <= after[who],
                "{before:?} {found:?} {after:?}"
            );
        }
        rig.engine.remove(&copy).await.expect("removes");
        std::fs::remove_dir_all(rig.path(&name)).expect("removes");
    }
    let changed = changes.end();
    println!(
        "{count} dumps came back; {killed} servers killed, {failed} of them while they loaded; tables changed {changed} times"
    );
    for writer in writers {
        writer.end();
    }
    assert!(0 < changed);
}
