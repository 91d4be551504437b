//! Sees to the audit log: tries again what could not be written, removes what is too old, and keeps in
//! the catalog where the chain begins and ends, so that whoever cuts it is found.
//!
//! It does not know what is recorded, nor when changes are refused.
use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use audit::{AuditError, AuditLog, Known};
use catalog::{CatalogExt, meta};
use model::Told;

use crate::{
    background::{Next, Task, TaskError},
    context::ServiceContext,
    events::kinds,
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
    /// Of how many records it was known that they are left out when somebody was told that none can be
    /// written; none while they can.
    told_at: Option<u64>,
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
        let stands = log.check().await;
        self.tell(context, log, stands.as_ref().err()).await?;
        stands.map_err(failed)?;
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
    /// Tells the operator's account, once, that no records can be written, and that they can again.
    async fn tell(
        &mut self,
        context: &ServiceContext,
        log: &AuditLog,
        failure: Option<&AuditError>,
    ) -> Result<(), TaskError> {
        let omitted = log.counts().omitted;
        let stands = match (failure, self.told_at) {
            (Some(error), None) => Err(reason(error)),
            (None, Some(before)) => Ok(omitted.saturating_sub(before)),
            _ => return Ok(()),
        };
        let settings = &context.settings;
        let (region, account) = (
            settings.default_region.clone(),
            settings.default_account.clone(),
        );
        let (node, now_told) = (
            settings.node.clone(),
            stands.as_ref().err().map(|_| omitted),
        );
        let told = context.catalog.write(move |tx| {
            let stands = stands.as_ref().copied();
            kinds::audit_log(tx, (&region, &account), &node, stands)
        });
        told.await
            .map_err(|error| TaskError::doing("nobody is told of the audit log", &error))?;
        self.told_at = now_told;
        Ok(())
    }

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

/// Why no records can be written, without the host's paths: those are in the log.
fn reason(error: &AuditError) -> Told {
    match error {
        AuditError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
            Told::new("the disk is full")
        }
        AuditError::Io { .. } => Told::new("its folder takes none, and the server's log says why"),
        AuditError::Taken { .. } => Told::new("another process has its folder"),
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
