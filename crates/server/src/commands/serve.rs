//! `snapferry serve`: puts the rooms together, serves until a signal, and leaves in order.
//!
//! It does not know any action or job; the service does.
use clap::Args;
use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use catalog::Catalog;
use engine::{Engine, EngineRegistry, Programs};
use kms::MasterKey;
use model::{SystemClock, SystemEntropy};
use rustix::process::geteuid;
use service::{Dependencies, Membership, Mode, Service};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::timeout,
};
use tracing_subscriber::Layer as _;

use crate::{
    commands::{
        announce::{
            introduce, say_ready, tell_left_behind, tell_missing_capabilities, tell_stopped,
        },
        arguments::MasterKeySource,
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
    },
    console::{Console, Reached},
    deployment::{
        audit_log, catalogs, credentials,
        data_dir::{DataDir, default_path, keep_private},
        master_key,
        vaults::{self, Vaults},
    },
    http::{
        connection_slots::{Bounds, ConnectionSlots},
        home_page::HomePage,
        host_check::HostCheck,
        listen,
        metrics_page::MetricsPage,
        router::Router,
    },
    logging::{self, Spans},
    outbound::{
        kms_client, peer_transport::HttpPeerTransport, webhook_sender::HttpWebhookTransport,
    },
    process::{
        cluster_limits, conceal, descriptors, memory, open_files::OpenFiles,
        service_manager::ServiceManager, user_limits,
    },
    settings::{Layer, catalog_place::CatalogUrl, vault_place::VaultPlace},
    traces::{Sender, Traces, is_traced},
};

/// When it is set, it alone is searched for databases' programs.
const ENGINE_BIN: &str = "SNAPFERRY_ENGINE_BIN";
/// Work that blocks (dumps, restores, look-ups) on threads of its own, at most. Dumps that wait for
/// their servers have a third of them at most.
const BLOCKING_THREADS_MAX: usize = 96;
/// A database that ends with the server has this long to stop in order; then it is made to.
const PATIENCE: Duration = Duration::from_secs(8);
/// The whole end, with that of databases.
const STOP_TIMEOUT: Duration = Duration::from_millis(9_500);
/// What still runs on blocking threads after that is left behind: jobs can stop anywhere.
const RUNTIME_TIMEOUT: Duration = Duration::from_millis(100);

/// Serve the API until SIGTERM or Ctrl-C
///
/// Standard output carries one line once requests are answered: `snapferry is ready at http://...`.
/// Logs go to standard error. The databases of clusters run on when the server ends, and the next one
/// adopts them; --stop-clusters-on-exit, which --dev implies, stops them with it.
///
/// Each setting can be given as a flag, as an environment variable (SNAPFERRY_...), or as a key of
/// the TOML file that --config names; the first of these that says something wins. A key has the
/// name of its flag, as in `listen = "127.0.0.1:9000"` or `snapshot-memory = "256MiB"`.
///
/// At its first start on a data folder the server makes a master key (DATA/master.key) and, unless
/// --dev is given, an administrator's access key (DATA/credentials). Keep a copy of the master key
/// elsewhere: without it nothing that the folder holds can be opened.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    snapferry serve\n  \
    snapferry serve --data /srv/snapferry --listen 127.0.0.1:9000\n  \
    snapferry serve --dev --listen 127.0.0.1:0\n  \
    snapferry serve --listen 0.0.0.0:8085 --host ferry.example.net --tls-certificate cert.pem --tls-key key.pem\n  \
    snapferry serve --config /etc/snapferry.toml --log-format json")]
pub(crate) struct Serve {
    /// Settings file in TOML
    #[arg(long, env = "SNAPFERRY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    master_key: MasterKeySource,
    #[command(flatten)]
    layer: Layer,
}

impl Run for Serve {
    fn run(self, invocation: &Invocation) -> Result<Outcome, Failure> {
        run(self, invocation.had_secrets)?;
        Ok(Outcome::Done)
    }
}

/// Serves until a signal.
///
/// # Errors
/// Whatever kept the server from starting.
fn run(arguments: Serve, had_secrets: bool) -> Result<(), Failure> {
    let file = arguments
        .config
        .as_deref()
        .map(Layer::read)
        .transpose()?
        .unwrap_or_default();
    let layer = arguments.layer.over(file);
    layer.check()?;
    let traces = layer.otlp_endpoint.as_deref().map(Traces::begin);
    let log = logging::begin(
        layer.log_format.unwrap_or_default(),
        layer.log_level.as_deref(),
        traces.as_ref().map(|traces| Spans {
            are_wanted: is_traced,
            heard: traces.collector().boxed(),
        }),
    )?;
    if had_secrets {
        tracing::warn!("{}", conceal::ADVICE);
    }
    keep_private();
    descriptors::keep_to_this_process();
    let files = OpenFiles::raise()?;
    files.tell();
    user_limits::bound_processes(layer.cluster_processes_max);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(
            thread::available_parallelism()
                .map_or(2, usize::from)
                .clamp(2, 4),
        )
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .map_err(|source| Failure::Io {
            doing: "start",
            source,
        })?;
    runtime.spawn(log.clone().keep_telling());
    let master_key_fd = arguments.master_key.master_key_fd;
    let served = runtime.block_on(serve(layer, master_key_fd, files, traces));
    runtime.shutdown_timeout(RUNTIME_TIMEOUT);
    log.tell_left_out();
    served
}

async fn serve(
    layer: Layer,
    master_key_fd: Option<u32>,
    files: OpenFiles,
    traces: Option<Traces>,
) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let tls = match (&layer.tls_certificate, &layer.tls_key) {
        (Some(certificate), Some(key)) => Some(listen::tls(certificate, key)?),
        _ => None,
    };
    if let (Some(certificate), Some(key)) = (&layer.cluster_tls_certificate, &layer.cluster_tls_key)
    {
        // Looked at here, where a wrong one is told; the servers read it later.
        listen::tls(certificate, key)?;
    }
    let mode = layer.mode();
    let listener = listen::bind(layer.listen()).await?;
    let address = listener.local_addr().map_err(|source| Failure::Io {
        doing: "listen",
        source,
    })?;
    let extra = [&layer.engine_bin, &layer.mysql_dir].into_iter().flatten();
    let engines = engines(extra.cloned().collect())?;
    let looked_for: Vec<Arc<dyn Engine>> = engines.all().cloned().collect();
    tell_missing_capabilities();
    let path = match &layer.data {
        Some(path) => path.clone(),
        None => default_path(mode)?,
    };
    check_reach(&path, &engines)?;
    let dir = DataDir::acquire(&path, mode)?;
    for engine in engines.all() {
        let name = engine.profile().title.to_lowercase();
        engine.keep_templates(dir.path().join("templates").join(&name));
        engine.keep_programs(dir.path().join("programs").join(name));
        engine.know_changes(layer.change_maps.unwrap_or_default().into());
        if let Some(seconds) = &layer.mysql_lock_seconds {
            engine.bound_dumps(Duration::from_secs(seconds.0));
        }
    }
    let node = catalogs::node_of(&dir, layer.node.as_ref())?;
    let (catalog, master_key) = open(&dir, layer.catalog.as_ref(), master_key_fd).await?;
    if !master_key.is_locked() {
        tracing::warn!(
            "the master key may reach the swap: the system locks no memory for this process; raise `ulimit -l` (LimitMEMLOCK=), or encrypt the swap"
        );
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    let endpoint = format!("{scheme}://{address}");
    let mut settings = layer.service(dir.path().to_owned(), geteuid().is_root())?;
    cluster_limits::confine(&engines, settings.cluster_limits);
    let sender = traces.map(|traces| begin_sending(&traces, &node.name));
    settings.node = node.name;
    if layer.catalog.is_some() {
        catalogs::check_mode(&*catalog, mode).await?;
        settings.membership = Some(Membership {
            home: node.home,
            endpoint: endpoint.clone(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            zone: layer.zone.as_ref().map(|zone| zone.0.clone()),
        });
    }
    let vaults = vaults::open(&layer, &dir).await?;
    let audit = match layer.no_audit {
        Some(true) => None,
        _ => Some(audit_log::open(&dir)?),
    };
    let (region, master_key) = (settings.default_region.clone(), Arc::new(master_key));
    let service = Service::start(
        parts(
            vaults,
            Arc::clone(&catalog),
            Arc::clone(&master_key),
            engines,
            kms_client::open(&layer.kms),
            audit,
        ),
        settings,
    )
    .await?;
    // Not before the vaults were asked whose they are: a new catalog in a lost one's place must not
    // write over the credentials.
    let administrator = match mode {
        Mode::Closed => {
            credentials::ensure_administrator(&dir, &*catalog, &master_key, &region).await
        }
        Mode::Dev => Ok(None),
    };
    let administrator = match administrator {
        Ok(made) => made,
        Err(error) => {
            service.stop(PATIENCE).await;
            return Err(error.into());
        }
    };
    service.records_changed();
    let slots = ConnectionSlots::new(Bounds::of(files.connections_max()), layer.proxy.clone());
    let router = Arc::new(Router::new(
        HostCheck::new(
            address,
            &layer.host,
            tls.is_some(),
            layer.external_url.clone(),
        ),
        HomePage::new(mode, scheme, &shown_credentials(address, &dir)),
        metrics_page(&layer, &dir),
        console(&layer, &service, address.ip().is_loopback(), tls.is_some()),
        Arc::clone(&service),
        Arc::clone(&slots),
    ));
    let (stop, stopped) = watch::channel(());
    introduce(
        mode,
        &endpoint,
        &dir,
        administrator.as_ref(),
        layer.log_format.unwrap_or_default(),
    );
    let connections = tokio::spawn(listen::run(listener, tls, router, slots, stopped));
    say_ready(&endpoint);
    let manager = Arc::new(ServiceManager::of_environment());
    manager.say_ready(&endpoint);
    let told = Arc::clone(&manager);
    tokio::spawn(async move { told.keep_alive().await });
    tokio::spawn(memory::settle());
    // One engine is enough to start with. To ask the others for their versions would take nearly as long as the start.
    tokio::task::spawn_blocking(move || looked_for.iter().for_each(|one| tell_installed(&**one)));
    tell_left_behind(&dir);

    tokio::select! {
        name = signals.next() => tracing::info!(signal = name, "stopping"),
        () = service.ended() => tracing::error!("stopping"),
    }
    manager.say_stopping();
    tokio::spawn(async move {
        let name = signals.next().await;
        tracing::warn!(
            signal = name,
            "stopping at once; databases run on until the next start"
        );
        std::process::exit(1);
    });
    let leave = async {
        drop(stop);
        tokio::join!(connections, service.stop(PATIENCE))
    };
    match timeout(STOP_TIMEOUT, leave).await {
        Ok((listened, run_on)) => {
            if let Err(error) = listened {
                tracing::error!(%error, "the listener failed");
            }
            tell_stopped(run_on, dir.path());
        }
        Err(_) => tracing::warn!("stopped before everything had ended; the next start takes it up"),
    }
    if let Some(sender) = sender {
        sender.finish().await;
    }
    Ok(())
}

/// Has spans sent from now on.
fn begin_sending(traces: &Traces, node: &str) -> Arc<Sender> {
    let sender = traces.sender(node);
    let sending = Arc::clone(&sender);
    tokio::spawn(async move { sending.run().await });
    sender
}

/// Who is told which metrics, and the disks that they are of.
fn metrics_page(layer: &Layer, dir: &DataDir) -> MetricsPage {
    let vault = match &layer.vault {
        Some(VaultPlace::Bucket(_)) => None,
        Some(VaultPlace::Folder(folder)) => Some(folder.clone()),
        None => Some(dir.vaults()),
    };
    let vault = vault.map(|folder| ("vault", folder));
    let certificate = layer.tls_certificate.as_ref();
    MetricsPage {
        token: layer.metrics_token.clone().map(|token| token.0),
        is_open: layer.mode() == Mode::Dev,
        disks: [("data", dir.path().to_owned())]
            .into_iter()
            .chain(vault)
            .collect(),
        not_after: certificate.and_then(|file| listen::not_after(file)),
    }
}

/// The console, if it is wanted.
fn console(layer: &Layer, service: &Arc<Service>, loopback: bool, tls: bool) -> Option<Console> {
    let outside = layer.external_url.as_ref().map(|url| url.tls);
    let reached = Reached {
        tls: outside.unwrap_or(tls),
        safely: tls || loopback || outside == Some(true),
    };
    (layer.no_console != Some(true)).then(|| Console::new(Arc::clone(service), reached))
}

/// Where the help page says that the credentials are: strangers elsewhere are not told of folders.
fn shown_credentials(address: SocketAddr, dir: &DataDir) -> PathBuf {
    if address.ip().is_loopback() {
        dir.credentials()
    } else {
        PathBuf::from("credentials")
    }
}

/// The engines, if there is a database for one of them to run.
fn engines(extra: Vec<PathBuf>) -> Result<EngineRegistry, Failure> {
    let engines = EngineRegistry::open(&Programs {
        instead: env::var_os(ENGINE_BIN)
            .filter(|only| !only.is_empty())
            .map(PathBuf::from),
        extra,
    });
    if engines.all().all(|engine| engine.installed().is_empty()) {
        let missing = engines.all();
        return Err(Failure::NoEngine {
            missing: missing
                .map(|engine| (engine.profile(), engine.searched()))
                .collect(),
        });
    }
    Ok(engines)
}

fn tell_installed(engine: &dyn Engine) {
    let (profile, versions) = (engine.profile(), engine.installed());
    tracing::debug!(?versions, "looked for {}", profile.title);
    if versions.is_empty() {
        tracing::info!(
            "no {} was found, so no clusters of {} can be made: install it with `{}`",
            profile.wanted,
            profile.names.join(" and "),
            profile.install
        );
    }
}

/// As root, clusters run as users of their own, which have to get to their files. Asked before
/// the folder is made, so that a refusal leaves nothing behind.
fn check_reach(path: &Path, engines: &EngineRegistry) -> Result<(), Failure> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let users = engines.all().flat_map(|engine| engine.helper_uids());
    match users
        .chain([engine::FIRST_OS_USER])
        .find_map(|uid| engine::first_unreachable(path, uid))
    {
        Some(folder) => Err(Failure::Unreachable { folder }),
        None => Ok(()),
    }
}

async fn open(
    dir: &DataDir,
    url: Option<&CatalogUrl>,
    master_key_fd: Option<u32>,
) -> Result<(Arc<dyn Catalog>, MasterKey), Failure> {
    let (catalog, master_key) = match url {
        Some(url) => {
            let catalog = catalogs::open_shared(url)?;
            let begun = master_key::is_begun(&*catalog).await?;
            (catalog, master_key::obtain(dir, master_key_fd, begun)?)
        }
        None => {
            let master_key = master_key::obtain(dir, master_key_fd, false)?;
            (catalogs::open(dir, None)?, master_key)
        }
    };
    catalogs::check_whole(&*catalog).await?;
    master_key::check(&*catalog, &master_key).await?;
    Ok((catalog, master_key))
}

fn parts(
    vaults: Vaults,
    catalog: Arc<dyn Catalog>,
    master_key: Arc<MasterKey>,
    engines: EngineRegistry,
    outside_kms: Option<service::Outside>,
    audit: Option<audit::AuditLog>,
) -> Dependencies {
    Dependencies {
        catalog,
        open_vault: vaults.open,
        vault_regions: vaults.regions,
        master_key,
        outside_kms,
        engines,
        peer_transport: Arc::new(HttpPeerTransport::default()),
        webhook_transport: Arc::new(HttpWebhookTransport::default()),
        audit,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    }
}

/// The signals that end the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let wait_for = |kind| {
            signal(kind).map_err(|source| Failure::Io {
                doing: "wait for signals",
                source,
            })
        };
        Ok(Self {
            terminate: wait_for(SignalKind::terminate())?,
            interrupt: wait_for(SignalKind::interrupt())?,
            hangup: wait_for(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}
