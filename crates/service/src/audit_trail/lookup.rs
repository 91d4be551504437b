//! An account's own records, the newest first.
//!
//! It does not know how they are asked for. Invariant: one look at a time, of a bounded part of the
//! log; where that is not enough, the caller goes on from where it ended.
use std::ops::ControlFlow;

use audit::{Before, newest_first, read_record};
use model::{Account, Region};
use serde_json::Value;

use crate::{
    context::ServiceContext,
    fault::{Code, Fault},
};

/// So much of the log is read for one look.
const LOOK_BYTES_MAX: usize = 32 << 20;

/// Which records are wanted.
#[derive(Debug)]
pub struct Wanted {
    /// Whose.
    pub account: Account,
    /// Of requests in this region.
    pub region: Region,
    /// From this second on, `2024-01-02T03:04:05Z`.
    pub from: Option<String>,
    /// Until this second.
    pub to: Option<String>,
    /// What else a record has to be.
    pub matches: fn(&Value, &str) -> bool,
    /// What that is told.
    pub value: String,
    /// Only those that are older than this one.
    pub before: Option<Before>,
    /// So many, at most.
    pub most: usize,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The records, in CloudTrail's form.
    pub records: Vec<Value>,
    /// Where to go on; none at the end.
    pub next: Option<Before>,
}

/// Finds records in this node's log.
///
/// # Errors
/// When this server keeps none, or it cannot be read.
pub async fn look_up(context: &ServiceContext, wanted: Wanted) -> Result<Found, Fault> {
    let Some(log) = &context.audit else {
        return Err(Fault::new(
            Code::KmsUnsupported,
            "This server keeps no audit log: it was started with --no-audit.",
        ));
    };
    let (folder, account) = (log.folder().to_owned(), wanted.account.clone());
    let looked = context.looks.run(&account, move || look(&folder, &wanted));
    looked.await.map_err(|error| Fault::internal(&error))
}

fn look(folder: &std::path::Path, wanted: &Wanted) -> std::io::Result<Found> {
    let mut records = Vec::new();
    let mut is_over = false;
    // Most lines are others', and need not be read as JSON.
    let theirs = format!("\"recipientAccountId\":\"{}\"", wanted.account);
    let next = newest_first(folder, wanted.before, LOOK_BYTES_MAX, |line| {
        let text = String::from_utf8_lossy(line);
        if !text.contains(&theirs) {
            return ControlFlow::Continue(());
        }
        let Some(record) = read_record(line) else {
            return ControlFlow::Continue(());
        };
        let at = record["eventTime"].as_str().unwrap_or_default();
        // Records are in the order of their times.
        is_over = wanted.from.as_deref().is_some_and(|from| at < from);
        if is_over {
            return ControlFlow::Break(());
        }
        if is_wanted(wanted, &record, at) {
            records.push(record);
        }
        match records.len() < wanted.most {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    Ok(Found {
        records,
        next: next.filter(|_| !is_over),
    })
}

fn is_wanted(wanted: &Wanted, record: &Value, at: &str) -> bool {
    record["recipientAccountId"] == wanted.account.as_str()
        && record["awsRegion"] == wanted.region.as_str()
        && wanted.to.as_deref().is_none_or(|to| at <= to)
        && (wanted.matches)(record, &wanted.value)
}
