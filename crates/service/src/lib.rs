//! What the product does: API actions, background jobs, and the links between regions.
//!
//! It names traits only: which catalog, vault and engine stand behind them is the server's choice.
mod account_limiter;
pub mod analysis;
pub mod audit_trail;
pub mod auth;
pub mod background;
pub mod backup_jobs;
mod backup_replication;
pub mod backups;
pub mod clusters;
pub mod context;
pub mod copies;
pub mod events;
pub mod fault;
pub mod jobs;
pub mod keys;
pub mod link;
mod lived;
pub mod logs;
pub mod metrics;
pub mod nodes;
pub mod outcome;
pub mod pins;
pub mod readiness;
pub mod receipts;
pub mod record_log;
pub mod recovery_points;
pub mod secrets;
pub mod settings;
pub mod sweep;
mod tasks;
pub mod trace;
mod vaults;
pub mod verify;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use catalog::{CatalogError, CatalogExt};
use model::{Clock, Entropy};
use tokio::task::JoinHandle;
use wire::RawRequest;

pub use crate::vaults::{ListRegions, OpenVault};
pub use clusters::address_range::{AddressRange, ClusterAddresses, NoRange};
pub use keys::{CallError, Outside, OutsideKms, RetryPlan};
pub use nodes::membership::StartError;
pub use record_log::{
    batch::Seal,
    checkpoint::RecordLogWriter,
    owner::{OwnerError, succeed},
    read::Findings,
    rebuild::{self, RebuildError},
};
pub use settings::{ClusterTls, EventSource, Membership, Mode, Settings, Webhook};

use crate::{
    auth::authenticate::Access,
    clusters::{
        authority,
        exit::{self, Ends},
        peer_key::PeerKey,
    },
    context::ServiceContext,
    link::LinkServer,
    metrics::{Metrics, gauges},
    nodes::membership,
    readiness::Readiness,
    receipts::ReceiptKey,
};

/// What background tasks have to end at their next step.
const TASKS_PATIENCE: Duration = Duration::from_secs(5);
/// What a server that was started while everything was being stopped gets.
const STRAGGLER_PATIENCE: Duration = Duration::from_millis(500);

/// What the record log has to write the last entries.
const RECORD_LOG_PATIENCE: Duration = Duration::from_secs(1);

/// The rooms that a service stands on.
pub struct Dependencies {
    /// What exists.
    pub catalog: Arc<dyn catalog::Catalog>,
    /// Opens one region's vault; asked once a region.
    pub open_vault: OpenVault,
    /// The regions that have a vault by now.
    pub vault_regions: ListRegions,
    /// Seals key material and access keys.
    pub master_key: Arc<kms::MasterKey>,
    /// Holds the keys in place of the built-in KMS.
    pub outside_kms: Option<Outside>,
    /// Run databases.
    pub engines: engine::EngineRegistry,
    /// Delivers events to webhooks.
    pub webhook_transport: Arc<dyn events::transport::WebhookTransport>,
    /// Reaches regions that other deployments host.
    pub peer_transport: Arc<dyn link::transport::PeerTransport>,
    /// Where records of requests go; none: nowhere.
    pub audit: Option<audit::AuditLog>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws identifiers.
    pub entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dependencies").finish_non_exhaustive()
    }
}

/// The running service: every request and every job.
#[derive(Debug)]
pub struct Service {
    context: Arc<ServiceContext>,
    access: Arc<Access>,
    /// Names this process among those that had, or will have, the node's name.
    incarnation: String,
    link: LinkServer,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Service {
    /// Takes up where the last process left off: adopts or starts clusters, runs jobs.
    ///
    /// # Errors
    /// When the catalog does not answer, or the node's name is another's.
    pub async fn start(parts: Dependencies, settings: Settings) -> Result<Arc<Self>, StartError> {
        let access = Access::new(
            parts.catalog.clone(),
            parts.master_key.clone(),
            parts.clock.clone(),
            &settings,
        );
        let webhook_transport = parts.webhook_transport.clone();
        let master_key = parts.master_key.clone();
        let context = Arc::new(ServiceContext::new(
            parts,
            settings,
            jobs::registry::narrow(),
        ));
        let incarnation = context.entropy.uuid().to_string();
        membership::check_vaults(&context).await?;
        membership::enter(&context, &incarnation).await?;
        let (clock, tls) = (context.clock.clone(), &context.settings.cluster_tls);
        let tls = authority::tls(&*context.catalog, &master_key, clock, tls).await?;
        context
            .engines
            .all()
            .for_each(|engine| engine.use_tls(tls.clone()));
        let key = ReceiptKey::open(&*context.catalog, &master_key).await?;
        // The first one stays.
        let _ = context.receipt_key.set(Arc::new(key));
        if context.settings.membership.is_some() {
            let key = PeerKey::open(&*context.catalog, &master_key).await?;
            // The first one stays.
            let _ = context.peer_key.set(key);
        }
        let settings = &context.settings;
        context
            .users
            .enter(&*context.catalog, &settings.node, &settings.data_dir)
            .await?;
        let tasks = tasks::begin(&context, &incarnation, &webhook_transport).await?;
        let access = Arc::new(access);
        let link = LinkServer::new(context.clone(), access.clone());
        Ok(Arc::new(Self {
            context,
            access,
            incarnation,
            link,
            tasks: Mutex::new(tasks),
        }))
    }

    /// What actions and jobs share.
    pub fn context(&self) -> &Arc<ServiceContext> {
        &self.context
    }

    /// Checks who asks.
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// Answers another deployment's message.
    pub async fn handle_link(&self, request: &RawRequest) -> http::Response<Bytes> {
        self.link.handle(request).await
    }

    /// Whether the catalog answers, and no damage was met in it.
    pub async fn is_healthy(&self) -> bool {
        let answers = self
            .context
            .catalog
            .read(|_| Ok::<_, CatalogError>(()))
            .await;
        answers.is_ok() && !catalog::damage_seen()
    }

    /// Where everything is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.context.metrics
    }

    /// All metrics as they are now, in Prometheus' text format; with those of each cluster, which
    /// name it and its account, when `named`.
    pub async fn scrape(&self, named: bool) -> String {
        gauges::refresh(&self.context).await;
        let mut text = self.context.metrics.text();
        if named {
            text.push_str(&self.context.scraped.named());
        }
        text
    }

    /// Whether this node can do its work, and if not, why.
    pub async fn readiness(&self) -> Readiness {
        readiness::look(&self.context).await
    }

    /// Lets the record log look at once: records were changed beside the service.
    pub fn records_changed(&self) {
        self.context.records_changed.notify_one();
    }

    /// Resolves once the service has to end for a reason of its own.
    pub async fn ended(&self) {
        self.context.stopped().await;
    }

    /// Ends jobs at their next step, and the servers that are not to run on: fast, and at once after
    /// `patience`. Answers how many databases run on.
    pub async fn stop(&self, patience: Duration) -> usize {
        self.context.begin_stop();
        let ends = match self.context.settings.stop_clusters_on_exit {
            true => Ends::All,
            false => Ends::Unfinished,
        };
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = async {
            for task in tasks {
                if let Err(error) = task.await {
                    tracing::warn!(%error, "a background task ended badly");
                }
            }
        };
        // One that waits for a catalog which is down does not keep the databases from their end.
        let ended = tokio::time::timeout(TASKS_PATIENCE, ended);
        let (_, ended) = tokio::join!(exit::stop(&self.context, ends, patience), ended);
        if ended.is_err() {
            tracing::warn!("background tasks have not ended; the next start takes up their work");
        }
        // A job that was stopped on its way may have started a server after the first look.
        let run_on = exit::stop(&self.context, ends, STRAGGLER_PATIENCE).await;
        let settled = tokio::time::timeout(RECORD_LOG_PATIENCE, record_log::settle(&self.context));
        if settled.await.is_err() {
            tracing::warn!("the record log was not written to its end; the next start goes on");
        }
        audit_trail::keeper::close(&self.context).await;
        membership::leave(&self.context, &self.incarnation, STRAGGLER_PATIENCE).await;
        run_on
    }
}
