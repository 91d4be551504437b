//! Sees to the audit log: tries again what could not be written, removes what is too old, and keeps in
//! the catalog where the chain begins and ends, so that whoever cuts it is found.
//!
//! It does not know what is recorded, nor when changes are refused.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use audit::{AuditError, AuditLog, Known};
use catalog::{CatalogExt, meta};

use crate::{
    background::{Next, Task, TaskError},
    context::ServiceContext,
};

/// What is cut off a chain that was written in the last one is not missed.
const PERIOD: Duration = Duration::from_secs(15);

/// The name of the catalog's fact about a node's audit log, which is a [`Known`] as JSON.
pub fn fact(node: &str) -> String {
    format!("audit:{node}")
}

/// The task.
#[derive(Debug, Default)]
pub(crate) struct AuditKeeper {
    /// What the catalog has.
    kept: Option<Known>,
}

#[async_trait]
impl Task for AuditKeeper {
    fn name(&self) -> String {
        "audit_log".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        PERIOD
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let Some(log) = &context.audit else {
            return Ok(Next::Period);
        };
        let failed = |error| TaskError::doing("audit records cannot be written", &error);
        log.check().await.map_err(failed)?;
        let (head, excess) = look(context, log).await.map_err(failed)?;
        let Some(head) = head else {
            return Ok(Next::Period);
        };
        let (first, gone) = match excess {
            Some((first, gone)) => (first, gone),
            None => (self.first(context).await?, Vec::new()),
        };
        let known = Known {
            head: Some(head),
            first,
        };
        // Before files go, so that those are never missed.
        if self.kept.as_ref() != Some(&known) {
            keep(context, &known).await?;
            self.kept = Some(known);
        }
        if !gone.is_empty() {
            let log = log.clone();
            let removed = tokio::task::spawn_blocking(move || log.remove(gone)).await;
            removed.unwrap_or(Ok(())).map_err(failed)?;
        }
        Ok(Next::Period)
    }
}

impl AuditKeeper {
    /// The first record that is not too old, as the catalog has it.
    async fn first(&self, context: &ServiceContext) -> Result<u64, TaskError> {
        if let Some(kept) = &self.kept {
            return Ok(kept.first);
        }
        let name = fact(&context.settings.node);
        let read = context.catalog.read(move |tx| meta::get(tx, &name)).await;
        let text = read.map_err(|error| {
            TaskError::doing("what is known of the audit log is not read", &error)
        })?;
        let known = text.and_then(|text| serde_json::from_str::<Known>(&text).ok());
        Ok(known.map_or(1, |known| known.first))
    }
}

type Look = (Option<audit::Head>, Option<(u64, Vec<std::path::PathBuf>)>);

/// Where the chain ends on the disk, and which of its files are too many or too old.
async fn look(context: &ServiceContext, log: &AuditLog) -> Result<Look, AuditError> {
    let settings = &context.settings;
    let bytes_max = settings.audit_bytes_max as u64;
    let days = Duration::from_secs(settings.audit_days as u64 * 86_400);
    let before = context.now().minus(days).seconds();
    let log = log.clone();
    let looked = tokio::task::spawn_blocking(move || {
        Ok((log.synced_head()?, log.excess(bytes_max, before)?))
    });
    looked.await.unwrap_or(Ok((None, None)))
}

async fn keep(context: &ServiceContext, known: &Known) -> Result<(), TaskError> {
    let text = serde_json::to_string(known).expect("plain texts and numbers serialize");
    let name = fact(&context.settings.node);
    let kept = context.catalog.write(move |tx| meta::set(tx, &name, &text));
    kept.await
        .map_err(|error| TaskError::doing("where the audit log ends is not kept", &error))
}

/// Ends the log of a process that ends: all that waits is written, and the catalog knows where it ends.
pub(crate) async fn close(context: &Arc<ServiceContext>) {
    let Some(log) = context.audit.clone() else {
        return;
    };
    let closed = tokio::task::spawn_blocking(move || {
        let head = log.close().and_then(|()| log.synced_head())?;
        Ok::<_, AuditError>(head)
    });
    let head = match closed.await {
        Ok(Ok(Some(head))) => head,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(error)) => {
            tracing::error!(%error, "the audit log is not written to its end");
            return;
        }
    };
    let first = AuditKeeper::default().first(context).await;
    let kept = match first {
        Ok(first) => {
            let known = Known {
                head: Some(head),
                first,
            };
            keep(context, &known).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = kept {
        tracing::warn!(%error, "the next start tells the catalog where the audit log ends");
    }
}
