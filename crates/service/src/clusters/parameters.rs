//! Gives this node's servers the parameters that their own and their clusters' groups set, and notes
//! how each stands to them.
//!
//! It does not know how a server comes to have a parameter; the engine does.
use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{
    CatalogError, CatalogExt, Tx,
    instances::{self, Member},
    keyed,
    parameter_status::{self, ParameterStatus},
};
use engine::{Configured, EngineError, SYNCHRONOUS_BACKUP, WantedParameters, WantedValue};
use model::{
    ApplyMethod, Cluster, ClusterStatus, GroupScope, Instance, InstanceId, ParameterGroup,
    Placement, Told,
};

use super::{addresses, files::home};
use crate::{
    background::{Next, Task, TaskError},
    context::ServiceContext,
    events::kinds::{self, OfCluster},
    fault::chain,
    jobs::JobError,
};

/// How often it is looked whether a cluster has another group, or a server was started.
const POLL: Duration = Duration::from_secs(5);
/// How long the server of a cluster that nobody has seen yet may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// Names that an event lists.
const NAMES_MAX: usize = 10;

/// What is wanted of a cluster's servers.
fn wanted(tx: &mut dyn Tx, cluster: &Cluster) -> Result<WantedParameters, CatalogError> {
    named(
        tx,
        cluster,
        GroupScope::Cluster,
        cluster.options.parameter_group.as_deref(),
    )
}

/// What the groups of a member set.
#[derive(Debug)]
struct Groups {
    cluster: WantedParameters,
    own: WantedParameters,
}

impl Groups {
    fn of(tx: &mut dyn Tx, member: &Member) -> Result<Self, CatalogError> {
        let Member { cluster, instance } = member;
        let own = instance.options.parameter_group.as_deref();
        Ok(Self {
            cluster: wanted(tx, cluster)?,
            own: named(tx, cluster, GroupScope::Instance, own)?,
        })
    }

    /// What is wanted of the member's server: what its own group sets comes before its cluster's.
    fn wanted(self, context: &ServiceContext, cluster: &Cluster) -> WantedParameters {
        let mut found = self.cluster;
        let engine = context.engines.named(&cluster.engine).ok();
        let may_differ = |name: &str| engine.is_some_and(|engine| !engine.is_cluster_wide(name));
        found.extend(self.own.into_iter().filter(|(name, _)| may_differ(name)));
        possible(context, found)
    }
}

/// What a server gets: where no log goes to the vault, no commit can wait for it.
fn possible(context: &ServiceContext, mut wanted: WantedParameters) -> WantedParameters {
    if context.settings.no_automated_backups {
        wanted.remove(SYNCHRONOUS_BACKUP);
    }
    wanted
}

/// What a group of the cluster's account sets.
fn named(
    tx: &mut dyn Tx,
    cluster: &Cluster,
    scope: GroupScope,
    name: Option<&str>,
) -> Result<WantedParameters, CatalogError> {
    let Some(name) = name else {
        return Ok(WantedParameters::new());
    };
    let key = [cluster.account.as_str(), scope.as_str(), name];
    // A default group is not kept, and sets nothing.
    let group = keyed::get::<ParameterGroup>(tx, &cluster.region, &key)?;
    Ok(group.map_or_else(WantedParameters::new, |group| of_group(&group.value)))
}

fn of_group(group: &ParameterGroup) -> WantedParameters {
    let set = group.parameters.iter();
    set.map(|(name, set)| {
        let wanted = WantedValue {
            value: set.value.clone(),
            at_restart: set.apply_method == ApplyMethod::PendingReboot,
        };
        (name.clone(), wanted)
    })
    .collect()
}

/// Gives the server of a cluster that is being made all of its parameters, those that need a restart
/// included: nobody uses it yet.
///
/// # Errors
/// The catalog's and the engine's.
pub(crate) async fn settle(
    context: &ServiceContext,
    cluster: &Cluster,
    place: Placement,
) -> Result<Placement, JobError> {
    if cluster.options.parameter_group.is_none() {
        return Ok(place);
    }
    let asked = cluster.clone();
    let read = move |tx: &mut dyn Tx| wanted(tx, &asked);
    let wanted = possible(context, context.catalog.read(read).await?);
    let (engine, home) = (context.engine_of(cluster)?, home(context, cluster, &place));
    if !engine.configure(&home, &wanted).await?.waits {
        return Ok(place);
    }
    engine.stop(&home, STOP_PATIENCE).await?;
    addresses::start(context, cluster, place).await
}

/// Starts the server of a member, or adopts it, with all that its groups set by now: the keeper may not
/// have got to a change that was made just before. One that cannot be told starts with what it had.
///
/// # Errors
/// As [`addresses::start`].
pub(crate) async fn start(
    context: &ServiceContext,
    cluster: &Cluster,
    instance: &Instance,
) -> Result<Placement, JobError> {
    if let Err(error) = give_next(context, cluster, instance).await {
        tracing::warn!(cluster = %cluster.name, cause = %chain(&error), "a server starts without the latest values of its parameters");
    }
    addresses::start(context, cluster, instance.placement.clone()).await
}

async fn give_next(
    context: &ServiceContext,
    cluster: &Cluster,
    instance: &Instance,
) -> Result<(), JobError> {
    let member = Member {
        cluster: cluster.clone(),
        instance: instance.clone(),
    };
    let read = move |tx: &mut dyn Tx| Groups::of(tx, &member);
    let groups: Groups = context.catalog.read(read).await?;
    let wanted = groups.wanted(context, cluster);
    let home = home(context, cluster, &instance.placement);
    context
        .engine_of(cluster)?
        .configure(&home, &wanted)
        .await?;
    Ok(())
}

/// What was last wanted of a server, and how it stood to that.
#[derive(Debug)]
struct Given {
    wanted: WantedParameters,
    configured: Configured,
}

/// Gives servers their parameters.
#[derive(Debug, Default)]
pub(crate) struct ParameterKeeper {
    given: HashMap<InstanceId, Given>,
}

#[async_trait]
impl Task for ParameterKeeper {
    fn name(&self) -> String {
        "cluster_parameters".to_owned()
    }

    fn period(&self, _: &ServiceContext) -> Duration {
        POLL
    }

    async fn woken(&self, context: &ServiceContext) {
        context.parameters.notified().await;
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let node = context.settings.node.clone();
        let members = context.catalog.read(move |tx| {
            let members = instances::on_node(tx, &node)?.into_iter();
            let served = members.filter(is_served);
            served
                .map(|member| {
                    let status = parameter_status::of(tx, &member.instance.id)?;
                    Ok((Groups::of(tx, &member)?, status, member))
                })
                .collect::<Result<Vec<_>, CatalogError>>()
        });
        let members = members.await?;
        let here = |id: &InstanceId| {
            members
                .iter()
                .any(|(_, _, member)| member.instance.id == *id)
        };
        self.given.retain(|id, _| here(id));
        if members.is_empty() {
            return Ok(Next::Changed);
        }
        let mut failed = None;
        for (groups, status, member) in members {
            let wanted = groups.wanted(context, &member.cluster);
            if let Err(error) = self.give(context, &member, wanted, status).await {
                tracing::warn!(cluster = %member.cluster.name, cause = %chain(&error), "the cluster's server is not given its parameters");
                failed.get_or_insert(error);
            }
        }
        match failed {
            None => Ok(Next::Period),
            Some(error) => Err(TaskError::doing("parameters were not applied", &error)),
        }
    }
}

/// Whether a member has a server, or files for one.
fn is_served(member: &Member) -> bool {
    let is_none = matches!(
        member.cluster.status,
        ClusterStatus::Creating | ClusterStatus::Deleting | ClusterStatus::Failed
    );
    !is_none && member.instance.placement.is_whole()
}

impl ParameterKeeper {
    async fn give(
        &mut self,
        context: &ServiceContext,
        member: &Member,
        wanted: WantedParameters,
        status: ParameterStatus,
    ) -> Result<(), JobError> {
        let (cluster, instance) = (&member.cluster, &member.instance);
        let before = self.given.get(&instance.id);
        // What waits may have been started meanwhile.
        let is_settled = |given: &Given| {
            given.wanted == wanted && !given.configured.waits && given.configured.refused.is_none()
        };
        // It says so until here, also where another group has the same values.
        let is_told = status != ParameterStatus::Applying;
        if is_told && before.is_some_and(is_settled) {
            return Ok(());
        }
        let home = home(context, cluster, &instance.placement);
        let configured = match context.engine_of(cluster)?.configure(&home, &wanted).await {
            // Its server is being started or stopped: the next look sees how that went.
            Err(EngineError::Busy { .. } | EngineError::CannotTell { .. }) => return Ok(()),
            other => other?,
        };
        let same = |given: &Given| given.configured == configured;
        if !is_told || !before.is_some_and(same) {
            note(context, member, &configured).await?;
        }
        let given = Given { wanted, configured };
        self.given.insert(instance.id.clone(), given);
        Ok(())
    }
}

/// Notes how a server stands to its parameters, and tells of those with which it did not start.
async fn note(
    context: &ServiceContext,
    member: &Member,
    configured: &Configured,
) -> Result<(), CatalogError> {
    let status = match (&configured.refused, configured.waits) {
        (Some(_), _) => ParameterStatus::Refused,
        (None, true) => ParameterStatus::PendingReboot,
        (None, false) => ParameterStatus::InSync,
    };
    let names = configured.refused.clone().unwrap_or_default();
    let (cluster, id) = (member.cluster.clone(), member.instance.id.clone());
    let noted = context.catalog.write(move |tx| {
        let is_news = parameter_status::note(tx, &id, status)?;
        if is_news && status == ParameterStatus::Refused {
            let listed: Vec<&str> = names.iter().take(NAMES_MAX).map(String::as_str).collect();
            let why = Told::answered(format!(
                "its server did not start with the values of {}, and has those before",
                listed.join(", ")
            ));
            kinds::cluster(tx, &cluster, OfCluster::ParametersRefused(&why))?;
        }
        Ok::<_, CatalogError>(())
    });
    noted.await
}
