//! Timings of the hot paths, each against a plain timer.
//!
//! It does not judge them. Paths inside the rooms are reached through doors of
//! their own, which nothing else uses.
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, Method, header};
use wire::{
    Parameters, RawRequest,
    sigv4::{self, Scope, Signer, SigningKey},
};

/// How long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Seconds that each path is timed for
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

const AT_SECS: i64 = 1_700_000_000;
const SECRET: &str = "bench-secret";
/// Runs between two looks at the clock.
const STRETCH: u32 = 16;
/// Timings of each path; the middle one counts.
const TIMINGS: u32 = 9;
const BLOCK_BYTES: usize = 8 << 10;
const FRAME_BYTES: usize = 256 << 10;
const BODY: &str = "Action=CopyDBClusterSnapshot&Version=2014-10-31\
    &SourceDBClusterSnapshotIdentifier=arn%3Aaws%3Ards%3Aus-east-1%3A000000000000%3Acluster-snapshot%3Amonday\
    &TargetDBClusterSnapshotIdentifier=monday-copy&CopyTags=true\
    &Tags.Tag.1.Key=team&Tags.Tag.1.Value=ferry&Tags.Tag.2.Key=stage&Tags.Tag.2.Value=test";

/// Times every path.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let timer = Timer {
        each: Duration::from_secs_f64(options.seconds.max(0.01) / f64::from(TIMINGS)),
    };
    doorway(&timer)?;
    blocks(&timer);
    Ok(())
}

struct Timer {
    each: Duration,
}

impl Timer {
    /// Times a path and prints a line; with `bytes` also how many of them a second.
    fn time<T>(&self, name: &str, bytes: usize, mut path: impl FnMut() -> T) {
        let mut nanos: Vec<f64> = (0..TIMINGS)
            .map(|_| {
                let (begun, mut runs) = (Instant::now(), 0);
                while begun.elapsed() < self.each {
                    for _ in 0..STRETCH {
                        black_box(path());
                    }
                    runs += STRETCH;
                }
                begun.elapsed().as_secs_f64() * 1e9 / f64::from(runs)
            })
            .collect();
        nanos.sort_by(f64::total_cmp);
        let middle = nanos[nanos.len() / 2];
        let rate = match bytes {
            0 => String::new(),
            bytes => format!("  {:8.0} MB/s", bytes as f64 / middle * 1e3),
        };
        println!("{name:<34} {middle:12.0} ns{rate}");
    }
}

/// Paths of `wire`: what each request costs.
fn doorway(timer: &Timer) -> anyhow::Result<()> {
    let signer = Signer {
        access_key_id: "AKIABENCH",
        secret: SECRET,
        security_token: None,
        region: "us-east-1",
        service: "rds",
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8085"));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"),
    );
    let mut request = RawRequest {
        method: Method::POST,
        path: "/".to_owned(),
        query: String::new(),
        headers,
        body: Bytes::from_static(BODY.as_bytes()),
    };
    let added = signer.sign_header(&request, AT_SECS)?;
    request.headers.extend(added);
    let scope = Scope::at(AT_SECS, "us-east-1", "rds").context("the time can be written")?;
    let key = SigningKey::derive(SECRET, &scope);
    timer.time("derive a signing key", 0, || {
        SigningKey::derive(SECRET, &scope)
    });
    timer.time("verify a signature", 0, || {
        let claim = sigv4::read(&request).ok().flatten()?;
        claim.verify(&request, Some(&key), AT_SECS).ok()
    });
    timer.time("read a Query body", BODY.len(), || {
        Parameters::parse("", BODY).ok()
    });
    let answer = Page {
        rows: (0..100).map(row).collect(),
    };
    let write = || wire::xml::response("DescribeDBClusterSnapshots", NAMESPACE, &answer, "id");
    timer.time("write a page of 100 as XML", write().len(), write);
    Ok(())
}

/// As long as RDS's.
const NAMESPACE: &str = "http://rds.example.com/doc/2000-01-01/..";

#[derive(serde::Serialize)]
struct Page {
    #[serde(rename = "DBClusterSnapshots")]
    rows: Vec<DbClusterSnapshot>,
}

#[derive(serde::Serialize)]
#[serde(rename = "DBClusterSnapshot", rename_all = "PascalCase")]
struct DbClusterSnapshot {
    #[serde(rename = "DBClusterSnapshotIdentifier")]
    name: String,
    #[serde(rename = "DBClusterSnapshotArn")]
    arn: String,
    engine: &'static str,
    status: &'static str,
    allocated_storage: u32,
    storage_encrypted: bool,
    availability_zones: Vec<String>,
}

fn row(number: u32) -> DbClusterSnapshot {
    DbClusterSnapshot {
        name: format!("copy-{number}"),
        arn: format!("arn:aws:rds:us-east-1:000000000000:cluster-snapshot:copy-{number}"),
        engine: "aurora-postgresql",
        status: "available",
        allocated_storage: 1,
        storage_encrypted: true,
        availability_zones: ["a", "b", "c"]
            .map(|zone| format!("us-east-1{zone}"))
            .into(),
    }
}

/// Paths of `vault` and `engine`: what each block and page costs.
fn blocks(timer: &Timer) {
    let frame = vault::bench_hooks::sample(FRAME_BYTES);
    let block = &frame[..BLOCK_BYTES];
    timer.time("a block's id", BLOCK_BYTES, || {
        vault::bench_hooks::block_id(block)
    });
    timer.time("the ids of a frame's blocks", FRAME_BYTES, || {
        vault::bench_hooks::block_ids(&frame)
    });
    let mut other = frame.clone();
    other[BLOCK_BYTES - 1] ^= 1;
    timer.time("compare two blocks", BLOCK_BYTES, || {
        black_box(block) == black_box(&other[..BLOCK_BYTES])
    });
    let mut sealed = vault::bench_hooks::Frames::new();
    timer.time("compress and seal a frame", FRAME_BYTES, || {
        sealed.write(&frame)
    });
    timer.time("open and decompress a frame", FRAME_BYTES, || sealed.read());
    let stored = sealed.write(&vault::bench_hooks::noise(FRAME_BYTES));
    timer.time("open and seal a frame anew", stored, || sealed.reencrypt());
    let mut pack = vault::bench_hooks::WholePack::new();
    timer.time("seal a pack anew, hashed", pack.stored_bytes(), || {
        pack.reencrypt()
    });
    let mut page = [0; BLOCK_BYTES];
    page.copy_from_slice(block);
    timer.time("a page's checksum", BLOCK_BYTES, || {
        engine::postgres::page_checksum(&page, 7)
    });
}
