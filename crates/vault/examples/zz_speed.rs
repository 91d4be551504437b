use model::VolumeRef;
use std::{io::Read, sync::Arc, time::Instant};
use vault::*;
struct Pages {
    n: u64,
    next: u64,
    pool: Vec<u8>,
    salt: u64,
    every: u64,
}
impl Read for Pages {
    fn read(&mut self, b: &mut [u8]) -> std::io::Result<usize> {
        if self.next == self.n {
            return Ok(0);
        }
        let at = ((self.next * 7919) % 4000) as usize * 8192;
        b[..8192].copy_from_slice(&self.pool[at..at + 8192]);
        b[..8].copy_from_slice(&self.next.to_le_bytes());
        if self.every > 0 && self.next % self.every == 0 {
            b[9] = self.salt as u8;
        }
        self.next += 1;
        Ok(8192)
    }
}
fn cpu() -> f64 { let s = std::fs::read_to_string("/proc/self/stat").unwrap(); let f: Vec<&str> = s.split(' ').collect(); eprintln!("   user {} sys {}", f[13], f[14]); (f[13].parse::<f64>().unwrap() + f[14].parse::<f64>().unwrap()) / 100.0 }
fn main() {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let rt = tokio::runtime::Runtime::new().unwrap();
    let _e = rt.enter();
    let volume = VolumeRef {
        origin: "us-east-1".parse().unwrap(),
        account: "123456789012".parse().unwrap(),
        id: "5e4a1f3e-0000-4000-8000-000000000001".parse().unwrap(),
    };
    let v = Vault::local_folder(&dir.join("v")).unwrap();
    let w = Vault::local_folder(&dir.join("w")).unwrap();
    let key = DataKey::from_bytes([1; 32]);
    let c = Condemned::new();
    let mut pool = vec![0u8; 4001 * 8192];
    for (i, p) in pool.chunks_mut(64).enumerate() {
        let h = blake3::hash(&(i as u64).to_le_bytes());
        p[..20].copy_from_slice(&h.as_bytes()[..20]);
        p[20..].fill(b'x');
    }
    let mut base: Option<Base> = None;
    let n = 250_000u64;
    for round in 0..3u64 {
        let (t, c0) = (Instant::now(), cpu());
        let mut s = SnapshotWriter::begin(
            &v,
            &volume,
            Sealing::Sealed(key.clone()),
            base.clone(),
            &c,
            WriteOptions {
                memory_bytes: 128 << 20,
                observer: Arc::new(Unobserved),
            },
        )
        .unwrap();
        for f in 0..2 {
            s.file(
                &format!("f{f}"),
                0o600,
                &mut Pages {
                    n: n / 2,
                    next: 0,
                    pool: pool.clone(),
                    salt: round,
                    every: if round == 2 { 100 } else { 0 },
                },
            )
            .unwrap();
        }
        let out = s.finish(String::new()).unwrap();
        println!(
            "write {round}: wall {:?} cpu {:.2} {out:?}",
            t.elapsed(),
            cpu() - c0
        );
        base = Some(Base {
            manifest: out.manifest,
            data_key: Some(key.clone()),
        });
    }
    let m = base.unwrap().manifest;
    let (t, c0) = (Instant::now(), cpu());
    let s = rt
        .block_on(ship(
            Shipment {
                from: &v,
                to: &w,
                volume: &volume,
                manifest: m,
                condemned_here: &c,
                condemned_there: &c,
                throttle: None,
            },
            &Unobserved,
        ))
        .unwrap();
    println!("ship: {:?} cpu {:.2} {s:?}", t.elapsed(), cpu() - c0);
    let (t, c0) = (Instant::now(), cpu());
    restore(
        &w,
        &volume,
        m,
        Some(&key),
        &c,
        &dir.join("out"),
        &Unobserved,
    )
    .unwrap();
    println!("restore: {:?} cpu {:.2}", t.elapsed(), cpu() - c0);
    let hwm = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", hwm.lines().find(|l| l.starts_with("VmHWM")).unwrap());
}
