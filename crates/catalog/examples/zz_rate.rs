use std::{sync::Arc, time::Instant};
use catalog::*;
use catalog::conformance::samples;
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let c: Arc<dyn Catalog> = Arc::new(SqliteCatalog::open(&dir.path().join("c.db"), Arc::new(model::SystemClock)).unwrap());
    for conc in [1u32, 16, 64, 256] {
        let before = c.commits();
        let t = Instant::now();
        let total = 20_000u32.min(conc * 400);
        let mut set = tokio::task::JoinSet::new();
        for w in 0..conc {
            let c = c.clone();
            set.spawn(async move {
                for i in 0..total / conc {
                    let name = format!("s{conc}-{w}-{i}");
                    let r: Result<_, CatalogError> = c.write(move |tx| {
                        let s = samples::snapshot(&name);
                        snapshots::count_manual(tx, &s.region, &s.account)?;
                        let st = snapshots::insert(tx, s)?;
                        outbox::push(tx, &st.value.region, "records/x", &[0; 1500])?;
                        Ok(())
                    }).await;
                    r.unwrap();
                }
            });
        }
        set.join_all().await;
        let el = t.elapsed().as_secs_f64();
        println!("conc {conc}: {:.0}/s, commits {}", f64::from(total) / el, c.commits() - before);
    }
    let t = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..32 { let c = c.clone(); set.spawn(async move { for i in 0..2000u32 {
        let name = format!("s256-1-{}", i % 70);
        let r: Result<_, CatalogError> = c.read(move |tx| { let s = samples::snapshot(&name); snapshots::get(tx, &s.region, &s.account, &s.name) }).await; assert!(r.unwrap().is_some()); } }); }
    set.join_all().await;
    println!("gets {:.0}/s", 64000.0 / t.elapsed().as_secs_f64());
    let t = Instant::now();
    for _ in 0..200 { let r: Result<_, CatalogError> = c.read(|tx| { let s = snapshots::Selection{owned_by: Some(samples::account(1)), ..Default::default()}; snapshots::page(tx, &samples::region(), &s, None, 100) }).await; assert_eq!(r.unwrap().len(), 100); }
    println!("pages of 100 {:.0}/s", 200.0 / t.elapsed().as_secs_f64());
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", s.lines().find(|l| l.starts_with("VmRSS")).unwrap());
}
