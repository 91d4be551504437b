//! What becomes of this node's servers when the process ends.
//!
//! It does not know how a server is begun or ended; the engine does.
use std::{collections::HashSet, path::Path, time::Duration};

use catalog::instances::Member;
use engine::{Home, ServerState};
use futures_util::future::join_all;
use model::Placement;
use tokio::time::timeout;

use super::{
    files::{attempts, folder, home},
    here,
    on_disk::OnDisk,
};
use crate::{context::ServiceContext, fault::chain};

/// How long the catalog may take to list the clusters: of the time that a stop has.
const LIST_WAIT: Duration = Duration::from_secs(2);
/// A server that tells nothing for so long is counted as one that runs on.
const COUNT_WAIT: Duration = Duration::from_millis(500);

/// Which servers end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// All of this node's.
    All,
    /// Those of attempts that are no cluster yet, or no longer: nobody uses them, and the next process
    /// begins anew what they are for.
    Unfinished,
}

/// Stops servers of this node; answers how many run on.
pub(crate) async fn stop(context: &ServiceContext, ends: Ends, patience: Duration) -> usize {
    let found = match timeout(LIST_WAIT, here::members(context)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::warn!(cause = %chain(&error), "the list of clusters could not be read, so their files tell");
            return stop_by_files(context, ends, patience).await;
        }
        Err(_) => {
            tracing::warn!("the list of clusters is not answered, so their files tell");
            return stop_by_files(context, ends, patience).await;
        }
    };
    let kept: Vec<(&Member, Home)> = match ends {
        Ends::All => Vec::new(),
        Ends::Unfinished => found.iter().filter_map(|one| kept(context, one)).collect(),
    };
    let folders: HashSet<&Path> = kept.iter().map(|(_, home)| &*home.dir).collect();
    let ending = found.iter().map(|member| async {
        let mut homes = attempts_of(context, member).await;
        homes.retain(|home| !folders.contains(&*home.dir));
        let stops = homes
            .iter()
            .map(|home| end(context, member, home, patience));
        join_all(stops).await;
    });
    let running = kept
        .iter()
        .map(|(member, home)| runs(context, member, home));
    let (_, running) = tokio::join!(join_all(ending), join_all(running));
    running.into_iter().filter(|runs| *runs).count()
}

/// Without the catalog nobody can tell what is not whole: all servers end, or none.
async fn stop_by_files(context: &ServiceContext, ends: Ends, patience: Duration) -> usize {
    let settings = &context.settings;
    let found = OnDisk::find(&context.engines, settings.os_users, &settings.data_dir).await;
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "the clusters' files cannot be listed, so their servers run on");
            return 0;
        }
    };
    if ends == Ends::Unfinished {
        return found.running().await;
    }
    let (_, kept) = found.stop(patience).await;
    for one in &kept {
        tracing::warn!(folder = %one.folder.display(), cause = %chain(&one.error), "a cluster's server does not stop");
    }
    kept.len()
}

/// Where the server is that a member's clients use.
fn kept<'a>(context: &ServiceContext, member: &'a Member) -> Option<(&'a Member, Home)> {
    let place = &member.instance.placement;
    place
        .is_whole()
        .then(|| (member, home(context, &member.cluster, place)))
}

async fn attempts_of(context: &ServiceContext, member: &Member) -> Vec<Home> {
    let (cluster, place) = (&member.cluster, &member.instance.placement);
    let at = folder(context, cluster);
    let found = match attempts(&at).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(cluster = %cluster.name, folder = %at.display(), %error, "the cluster's attempts cannot be told, so the last one alone is looked at");
            vec![place.attempt.clone()]
        }
    };
    let own = found
        .into_iter()
        .filter(|attempt| place.has_attempt(attempt));
    let homes = own.map(|attempt| {
        let place = Placement {
            attempt,
            ..place.clone()
        };
        home(context, cluster, &place)
    });
    homes.collect()
}

async fn end(context: &ServiceContext, member: &Member, home: &Home, patience: Duration) {
    let cluster = &member.cluster;
    let ended = match context.engine_of(cluster) {
        Ok(engine) => engine.stop(home, patience).await,
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::warn!(cluster = %cluster.name, cause = %chain(&error), "the cluster's server does not stop");
    }
}

async fn runs(context: &ServiceContext, member: &Member, home: &Home) -> bool {
    let Ok(engine) = context.engine_of(&member.cluster) else {
        return false;
    };
    !matches!(
        timeout(COUNT_WAIT, engine.state(home)).await,
        Ok(Ok(ServerState::Ended))
    )
}
