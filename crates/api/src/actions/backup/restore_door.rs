//! Restores for tests, asked for as their accounts would: see `service::backup_jobs::door`.
use std::sync::{Arc, Weak};

use catalog::CatalogExt;
use model::{ArnKind, BackupJob, Snapshot, SnapshotStatus, Tag};
use serde_json::json;

use crate::{
    action::{Action as _, ActionContext},
    actions::rds::{
        delete_db_cluster::DeleteDbCluster,
        restore_db_cluster_from_snapshot::RestoreDbClusterFromSnapshot,
    },
    backup::{faults::invalid, points, restore},
};
use service::{
    Service,
    auth::{authenticate::Access, caller::Caller},
    backup_jobs::door::{Asked, Metadata, RestoreDoor},
    context::ServiceContext,
    fault::Fault,
};

/// The door; it does not keep the service alive, which has it.
#[derive(Debug)]
pub(crate) struct Door {
    service: Weak<ServiceContext>,
    access: Arc<Access>,
}

impl Door {
    /// Opens it for a service. The first one stays.
    pub(crate) fn open(service: &Service) {
        let context = service.context();
        let door = Self {
            service: Arc::downgrade(context),
            access: service.access().clone(),
        };
        let _ = context.restores.set(Arc::new(door));
    }

    fn context(&self, job: &BackupJob) -> Result<ActionContext, Fault> {
        let service = self.service.upgrade();
        let service = service.ok_or_else(|| Fault::internal(&std::fmt::Error))?;
        Ok(ActionContext {
            service,
            access: self.access.clone(),
            caller: Caller {
                account: job.account.clone(),
                access_key_id: String::new(),
                session: None,
            },
            region: job.region.clone(),
        })
    }
}

impl RestoreDoor for Door {
    fn inferred(&self, snapshot: &Snapshot) -> Metadata {
        restore::inferred(snapshot)
    }

    fn restore<'a>(&'a self, job: &'a BackupJob, tags: &'a [Tag]) -> Asked<'a> {
        Box::pin(self.ask_restore(job, tags))
    }

    fn delete<'a>(&'a self, job: &'a BackupJob) -> Asked<'a> {
        Box::pin(self.ask_delete(job))
    }
}

impl Door {
    async fn ask_restore(&self, job: &BackupJob, tags: &[Tag]) -> Result<(), Fault> {
        let cx = self.context(job)?;
        let given = job.point_arn().to_string();
        let wanted = points::wanted(&cx, &given)?;
        let found = cx
            .service
            .catalog
            .read(move |tx| points::anywhere(tx, &wanted, &given));
        let snapshot = found.await?.value;
        if snapshot.status != SnapshotStatus::Available {
            return Err(Fault::not_available("restore from", &snapshot));
        }
        let metadata = job.restore.as_ref().map(|of| &of.metadata);
        let schema = schemars::schema_for!(RestoreDbClusterFromSnapshot);
        let empty = Metadata::new();
        let mut request = restore::request(metadata.unwrap_or(&empty), &snapshot, &schema)?;
        let tags = tags.iter();
        let tags = tags.map(|tag| json!({"Key": tag.key, "Value": tag.value}));
        request["Tags"] = tags.collect();
        ask(request)?.run(&cx).await.map(drop)
    }

    async fn ask_delete(&self, job: &BackupJob) -> Result<(), Fault> {
        let cx = self.context(job)?;
        let cluster = job.restore.as_ref().map(|of| &of.cluster);
        let located = cluster.and_then(|arn| arn.locate(ArnKind::Cluster));
        let Some(located) = located else {
            return Ok(());
        };
        let request = json!({
            "DBClusterIdentifier": located.name, "SkipFinalSnapshot": true,
        });
        let request: DeleteDbCluster =
            serde_json::from_value(request).map_err(|error| Fault::internal(&error))?;
        request.run(&cx).await.map(drop)
    }
}

/// Reads the request of RDS.
pub(crate) fn ask(request: serde_json::Value) -> Result<RestoreDbClusterFromSnapshot, Fault> {
    serde_json::from_value(request).map_err(|error| {
        let why = crate::backup::faults::shown(&error.to_string());
        invalid(
            "Metadata",
            format!("The restore metadata does not read: {why}."),
        )
    })
}
