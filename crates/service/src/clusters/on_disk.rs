//! The databases of a data folder, told by its files alone: for the verbs that work while no server has
//! the folder, and need no catalog.
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use engine::{
    EngineError, EngineRegistry, Home, LeftBehindError, Replication, ServerState, end_left_behind,
};
use futures_util::future::join_all;

use super::{
    files::{blocking, short_name, socket_dir_of},
    users::Users,
};

/// A home lies so deep below the folder of clusters, at most.
const DEPTH_MAX: usize = 4;

/// The databases of one data folder.
#[derive(Debug)]
pub struct OnDisk<'a> {
    engines: &'a EngineRegistry,
    users: Users,
    data_dir: PathBuf,
    homes: Vec<(Home, Others)>,
}

/// Who else has a home's OS user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// Nobody.
    None,
    /// Other servers of its cluster.
    Members,
    /// Other clusters, as an older release left it; or it cannot be told.
    Clusters,
}

/// A database that did not end, or was not removed.
#[derive(Debug)]
pub struct Kept {
    /// Its folder.
    pub folder: PathBuf,
    /// Why.
    pub error: EngineError,
}

impl<'a> OnDisk<'a> {
    /// Finds them; those of a folder that is not there are none.
    ///
    /// # Errors
    /// The file system's.
    pub async fn find(
        engines: &'a EngineRegistry,
        own_users: bool,
        data_dir: &Path,
    ) -> io::Result<Self> {
        let clusters = data_dir.join("clusters");
        let found = blocking(move || homes_below(&clusters, DEPTH_MAX)).await?;
        let users = Users::new(own_users);
        let mut homes = Vec::new();
        for dir in found {
            homes.push(home_at(&users, own_users, data_dir, dir).await?);
        }
        share_among_members(&mut homes);
        Ok(Self {
            engines,
            users,
            data_dir: data_dir.to_owned(),
            homes,
        })
    }

    /// How many there are, running or not.
    pub fn count(&self) -> usize {
        self.homes.len()
    }

    /// How many servers run, or may run.
    pub async fn running(&self) -> usize {
        let all = self.homes.iter().map(|(home, _)| async move {
            for engine in self.engines.all() {
                match engine.state(home).await {
                    Ok(ServerState::Ended) => {}
                    Ok(_) | Err(_) => return true,
                }
            }
            false
        });
        let all = join_all(all).await;
        all.into_iter().filter(|runs| *runs).count()
    }

    /// Stops their servers, and whatever else their users run; answers how many servers ran, and which
    /// did not end.
    pub async fn stop(&self, patience: Duration) -> (usize, Vec<Kept>) {
        // Servers of one cluster have one user: first each ends in order, then all else that it runs.
        let all = self.homes.iter();
        let all = all.map(|(home, _)| self.stop_one(home, patience));
        let mut outcomes = join_all(all).await;
        for (home, others) in &self.homes {
            if *others == Others::Members {
                let mut alone = home.clone();
                alone.os_uid_shared = false;
                outcomes.push(self.stop_one(&alone, Duration::ZERO).await);
            }
        }
        let (mut ended, mut kept) = (0, Vec::new());
        for outcome in outcomes {
            match outcome {
                Ok(ran) => ended += usize::from(ran),
                Err(one) => kept.push(one),
            }
        }
        (ended, kept)
    }

    async fn stop_one(&self, home: &Home, patience: Duration) -> Result<bool, Kept> {
        let kept = |error| Kept {
            folder: home.dir.clone(),
            error,
        };
        let mut ran = false;
        // To an engine another's server is but a program of the home's user, which it would kill.
        for engine in self.engines.all() {
            if engine.state(home).await.map_err(kept)? != ServerState::Ended {
                ran = true;
                engine.stop(home, patience).await.map_err(kept)?;
            }
        }
        for engine in self.engines.all() {
            engine.stop(home, patience).await.map_err(kept)?;
        }
        Ok(ran)
    }

    /// Deletes their files and sockets; answers which are still there.
    pub async fn remove(&self) -> Vec<Kept> {
        let all = self.homes.iter().map(|(home, _)| async move {
            for engine in self.engines.all() {
                engine.remove(home).await.map_err(|error| Kept {
                    folder: home.dir.clone(),
                    error,
                })?;
            }
            Ok(())
        });
        let done: Vec<Result<(), Kept>> = join_all(all).await;
        done.into_iter().filter_map(Result::err).collect()
    }

    /// Ends what runs on clusters' folders that were removed by hand; answers how many processes.
    ///
    /// # Errors
    /// When they cannot be told, or do not end.
    pub async fn end_left_behind(&self) -> Result<usize, LeftBehindError> {
        let mut busy = Vec::new();
        let above = self.data_dir.join("clusters");
        for uid in engine::users_left_behind(&above)? {
            if self.users.has_cluster(uid).await {
                busy.push(uid);
            }
        }
        end_left_behind(&above, |uid| !busy.contains(&uid)).await
    }
}

/// The folders that hold a database, whose name for it is `data`. Only this process's user makes any
/// above that.
fn homes_below(folder: &Path, depth: usize) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        if entry.file_name() == "data" {
            return Ok(vec![folder.to_owned()]);
        }
        if 1 < depth {
            found.extend(homes_below(&entry.path(), depth - 1)?);
        }
    }
    Ok(found)
}

/// Notes of each home whether others of its cluster have its user too.
fn share_among_members(homes: &mut [(Home, Others)]) {
    let mut seen = BTreeMap::new();
    for uid in homes.iter().filter_map(|(home, _)| home.os_uid) {
        *seen.entry(uid).or_insert(0_usize) += 1;
    }
    for (home, others) in homes {
        let servers = home.os_uid.and_then(|uid| seen.get(&uid));
        if *others == Others::None && servers.is_some_and(|servers| 1 < *servers) {
            *others = Others::Members;
        }
        home.os_uid_shared = *others != Others::None;
    }
}

async fn home_at(
    users: &Users,
    own_users: bool,
    data_dir: &Path,
    dir: PathBuf,
) -> io::Result<(Home, Others)> {
    let data = dir.join("data");
    let owner = blocking(move || Ok(fs::symlink_metadata(data)?.uid())).await?;
    // Before it is handed over, a folder is root's or a helper's.
    let os_uid = Some(owner).filter(|uid| own_users && engine::FIRST_OS_USER <= *uid);
    let others = match os_uid {
        Some(uid) if users.clusters_of(uid).await.len() != 1 => Others::Clusters,
        _ => Others::None,
    };
    let home = Home {
        socket_dir: socket_dir_of(data_dir, own_users, &socket_name(data_dir, &dir)),
        dir,
        // Nothing is started.
        host: String::new(),
        port: 0,
        os_uid,
        os_uid_shared: false,
        version: String::new(),
        replication: Replication::default(),
    };
    Ok((home, others))
}

/// The name of a home's socket folder: that of its member, or its cluster's.
fn socket_name(data_dir: &Path, dir: &Path) -> String {
    let attempt = dir.file_name().unwrap_or_default().to_string_lossy();
    if let Some((member, _)) = attempt.split_once("-try-") {
        return member.to_owned();
    }
    let below = dir.strip_prefix(data_dir.join("clusters"));
    let cluster = below.ok().and_then(|below| below.components().next());
    let cluster = cluster.map(|name| name.as_os_str().to_string_lossy());
    short_name(&cluster.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_found_however_deep_and_nothing_in_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let clusters = folder.path().join("clusters");
        assert!(homes_below(&clusters, DEPTH_MAX).expect("none").is_empty());
        for at in [
            "a/try-1/data/x/data",
            "b/members/k3v-try-2/data",
            "c/try-3",
            "sample-x/try-1/data",
        ] {
            fs::create_dir_all(clusters.join(at)).expect("a folder");
        }
        let mut found = homes_below(&clusters, DEPTH_MAX).expect("they read");
        found.sort();
        let wanted = ["a/try-1", "b/members/k3v-try-2", "sample-x/try-1"];
        assert_eq!(found, wanted.map(|name| clusters.join(name)));
        let names = ["cluster-ABCDEFGHIJKLMNO/try-1", "cluster-ABC/k3v-try-2"];
        let names = names.map(|name| socket_name(folder.path(), &clusters.join(name)));
        assert_eq!(names, ["ABCDEFGHIJKL", "k3v"]);
    }
}
