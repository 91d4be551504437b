//! The load: a number of clients that each send their next request when the last is answered.
//!
//! Invariant: requests are signed before the clock starts, so the generator's own cost does not
//! hide the server's.
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use wire::sigv4::Signer;

use crate::{connection::Connection, signed::Template};

/// Requests signed at once; more are signed between two stretches, with the clock stopped.
const BATCH: u64 = 25_000;

/// One run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the server listens
    #[arg(long, value_name = "ADDRESS:PORT")]
    address: SocketAddr,
    /// The access key's id; its secret is read from SNAPFERRY_BENCH_SECRET
    #[arg(long)]
    access_key_id: String,
    #[arg(
        long,
        env = "SNAPFERRY_BENCH_SECRET",
        hide_env_values = true,
        hide = true
    )]
    secret: String,
    /// The region that requests are signed for
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// The form body of every request; {n} becomes a number
    #[arg(long)]
    body: String,
    /// The first number
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// After this many numbers they begin again [default: never]
    #[arg(long)]
    wrap: Option<u64>,
    /// Clients at once, each with one connection
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// Requests in all
    #[arg(long)]
    requests: u64,
    /// Stop after this many seconds, even when requests are left
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
}

/// What a run saw.
#[derive(Debug, Serialize)]
struct Report {
    requests: usize,
    seconds: f64,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    body_bytes: usize,
    connections: u64,
    generator_cpu_seconds: f64,
}

/// What one client saw.
#[derive(Debug, Default)]
struct Seen {
    micros: Vec<u32>,
    body_bytes: usize,
}

/// Runs the load and prints the report.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(drive(options))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn drive(options: &Options) -> anyhow::Result<Report> {
    if options.clients == 0 || options.requests == 0 {
        bail!("--clients and --requests are at least 1");
    }
    let host = options.address.to_string();
    let template = Template {
        host: &host,
        signer: Signer {
            access_key_id: &options.access_key_id,
            secret: &options.secret,
            security_token: None,
            region: &options.region,
            service: "rds",
        },
        body: &options.body,
    };
    let mut connections = Vec::with_capacity(options.clients);
    for _ in 0..options.clients {
        let mut connection = Connection::new(options.address);
        connection.open().await?;
        connections.push(connection);
    }
    let mut seen = Seen::default();
    let (mut spent, mut cpu) = (Duration::ZERO, 0.0);
    let mut sent = 0;
    while sent < options.requests && spent.as_secs_f64() < options.seconds {
        let count = BATCH.min(options.requests - sent);
        let batch = (sent..sent + count)
            .map(|at| template.request(options.first + at % options.wrap.unwrap_or(u64::MAX)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let left = Duration::from_secs_f64(options.seconds).saturating_sub(spent);
        let (cpu_before, begun) = (own_cpu_seconds()?, Instant::now());
        let part = stretch(&mut connections, batch, begun + left).await?;
        spent += begun.elapsed();
        cpu += own_cpu_seconds()? - cpu_before;
        seen.micros.extend(part.micros);
        seen.body_bytes = part.body_bytes;
        sent += count;
    }
    let opened = connections.iter().map(|one| one.opened).sum();
    Ok(report(seen, spent, opened, cpu))
}

/// Sends one batch over all connections, until it is through or the time is up.
async fn stretch(
    connections: &mut Vec<Connection>,
    batch: Vec<Vec<u8>>,
    end: Instant,
) -> anyhow::Result<Seen> {
    let batch = Arc::new(batch);
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::with_capacity(connections.len());
    for mut connection in connections.drain(..) {
        let (batch, next) = (batch.clone(), next.clone());
        clients.push(tokio::spawn(async move {
            let mut seen = Seen::default();
            while let Some(request) = batch.get(next.fetch_add(1, Ordering::Relaxed)) {
                let begun = Instant::now();
                if end <= begun {
                    break;
                }
                let answer = connection.ask(request).await?;
                seen.micros.push(micros(begun.elapsed()));
                if answer.status != 200 {
                    bail!(
                        "a request was refused ({}): {}",
                        answer.status,
                        connection.last()
                    );
                }
                seen.body_bytes = answer.body_bytes;
            }
            Ok((connection, seen))
        }));
    }
    let mut all = Seen::default();
    for client in clients {
        let (connection, seen) = client.await??;
        connections.push(connection);
        all.micros.extend(seen.micros);
        all.body_bytes = all.body_bytes.max(seen.body_bytes);
    }
    Ok(all)
}

fn micros(spent: Duration) -> u32 {
    u32::try_from(spent.as_micros()).unwrap_or(u32::MAX)
}

fn report(mut seen: Seen, spent: Duration, connections: u64, cpu: f64) -> Report {
    seen.micros.sort_unstable();
    let at = |share: f64| {
        let last = seen.micros.len().saturating_sub(1);
        let place = (last as f64 * share).round() as usize;
        f64::from(seen.micros.get(place).copied().unwrap_or(0)) / 1000.0
    };
    Report {
        requests: seen.micros.len(),
        seconds: spent.as_secs_f64(),
        per_second: seen.micros.len() as f64 / spent.as_secs_f64(),
        p50_ms: at(0.50),
        p99_ms: at(0.99),
        max_ms: at(1.0),
        body_bytes: seen.body_bytes,
        connections,
        generator_cpu_seconds: cpu,
    }
}

/// CPU seconds of this process, from the scheduler's count in nanoseconds.
fn own_cpu_seconds() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat")
        .context("cannot read /proc/self/schedstat")?;
    let nanos: u64 = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .context("/proc/self/schedstat has no number")?;
    Ok(nanos as f64 / 1e9)
}
