//! Whether this node can do its work now, and if not, why.
//!
//! It does not know who asks: the reasons name no path, address or record, and may be told to anyone.
use std::time::Duration;

use catalog::{CatalogExt, meta};
use serde::Serialize;

use crate::context::ServiceContext;

/// How long is waited for the catalog.
const PATIENCE: Duration = Duration::from_secs(2);
/// Tasks that fail when a vault takes nothing.
const VAULT_TASKS: [&str; 2] = ["record_log", "vault_ownership"];

/// One thing that the node needs; without a reason it is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is looked at.
    pub name: &'static str,
    /// Why it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// All that the node needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether all is well.
    pub ready: bool,
    /// Each.
    pub checks: Vec<Check>,
}

/// Looks.
pub(crate) async fn look(context: &ServiceContext) -> Readiness {
    let read = context.catalog.read(|tx| meta::get(tx, meta::MASTER_KEY));
    let marked = match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(marked)) if !catalog::damage_seen() => Some(marked),
        _ => None,
    };
    let other_key = |marked: &Option<String>| {
        let fingerprint = context.kms.master_key_fingerprint();
        marked.as_ref().is_some_and(|marked| *marked != fingerprint)
    };
    let has_other_key = marked.as_ref().is_some_and(other_key);
    let tasks = context.tasks.all();
    let fails = |name: &&str| tasks.get(*name).is_some_and(|task| task.error.is_some());
    let check = |name, is_wrong: bool, reason| Check {
        name,
        reason: is_wrong.then_some(reason),
    };
    let checks = vec![
        check(
            "catalog",
            marked.is_none(),
            "the catalog does not answer, or is damaged",
        ),
        check(
            "vaults",
            VAULT_TASKS.iter().any(fails),
            "a vault cannot be written to; the server's log and `snapferry node show` say which, and why",
        ),
        check(
            "master-key",
            has_other_key,
            "the catalog is sealed under another master key than this process has: it was rotated; restart with the new one",
        ),
        check(
            "audit",
            context.settings.audit_required
                && context
                    .audit
                    .as_ref()
                    .is_some_and(|log| log.failure().is_some()),
            "changes are refused, since no record of them can be written; the server's log says why",
        ),
        check(
            "drain",
            context.is_draining(),
            "the node is drained; a restart ends that",
        ),
        check("process", context.is_stopping(), "the process is ending"),
    ];
    Readiness {
        ready: checks.iter().all(|check| check.reason.is_none()),
        checks,
    }
}
