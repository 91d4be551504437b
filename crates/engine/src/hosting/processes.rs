//! The processes of one cluster: its server's, found by the folder they work in, and all others
//! of its OS user.
//!
//! It does not trust what a server wrote down: the server's user can write it, and numbers are used
//! again. What cannot be read is an error, never a process that is not there.
use std::{
    fs,
    io::{self, ErrorKind},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal},
};
use tokio::time::{Instant, sleep};

use super::{child::own_uid, sweep_user};
use crate::{
    blocking::blocking,
    error::EngineError,
    home::Home,
    proc::{self, Unreadable},
};

/// How long processes are given once they got SIGKILL, or lost their first one.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// How long the server's own emergency exit may take before SIGKILL.
const IMMEDIATE_WAIT: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);
/// How many numbers an error shows.
const PIDS_SHOWN: usize = 20;
/// How long a process may take to become another program.
const BECOMING: Duration = Duration::from_millis(100);
/// A process older than this has become what it is to be.
const YOUNG: Duration = Duration::from_secs(2);

/// How a kind of server is told from other programs, and how it is ended.
#[derive(Debug)]
pub(crate) struct ServerKind {
    /// The file name of its program.
    pub(crate) program: &'static str,
    /// Programs that write its files in its stead, in the data folder. One whose beginner was killed goes on.
    pub(crate) tools: &'static [&'static str],
    /// The number of its first process as it wrote that down, where it does.
    pub(crate) written: fn(&Home) -> Result<Option<u32>, Unreadable>,
    /// What ends it in order.
    pub(crate) in_order: Signal,
    /// What ends it at once.
    pub(crate) at_once: Signal,
}

/// A process, held so that its number cannot come to mean another one.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) handle: OwnedFd,
}

impl Process {
    /// Holds a process; none when it is gone.
    fn open(pid: u32) -> io::Result<Option<Self>> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let number = number.ok_or(ErrorKind::InvalidInput)?;
        match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
            Ok(handle) => Ok(Some(Self { pid, handle })),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn signal(&self, home: &Home, signal: Signal) -> Result<(), EngineError> {
        match rustix::process::pidfd_send_signal(&self.handle, signal) {
            // A process that is gone already is what every signal here wants.
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => {
                let path = home.dir.clone();
                Err(EngineError::io("signal the processes of", path, error))
            }
        }
    }
}

/// The living processes of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    /// The server's first process.
    pub(crate) first: Option<Process>,
    /// The server's other processes.
    pub(crate) others: Vec<u32>,
    /// Whatever else the cluster's OS user runs.
    pub(crate) strangers: Vec<u32>,
}

impl Processes {
    /// Whether there is none at all.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_server() && self.strangers.is_empty()
    }

    /// Whether some process of the server lives.
    pub(crate) fn has_server(&self) -> bool {
        self.first.is_some() || !self.others.is_empty()
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        let first = self.first.iter().map(|process| process.pid);
        let others = self.others.iter().chain(&self.strangers).copied();
        first.chain(others).collect()
    }
}

impl ServerKind {
    /// Finds every process of the cluster.
    ///
    /// # Errors
    /// [`EngineError::CannotTell`] when one of them may be there and could not be read.
    pub(crate) fn look(&self, home: &Home) -> Result<Processes, EngineError> {
        self.find(home).map_err(|error| cannot_tell(home, error))
    }

    /// The server's first process, when it lives. Cheaper than [`Self::look`] where it does.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub(crate) fn first(&self, home: &Home) -> Result<Option<Process>, EngineError> {
        let quick = || -> Result<Option<Process>, Unreadable> {
            let place = Place::of(self, home)?;
            let Some(written) = (self.written)(home)? else {
                return Ok(None);
            };
            let Some(found) = place.member(written)?.filter(|found| found.serves) else {
                return Ok(None);
            };
            // A server's other process has a server's process as its parent.
            match place.member(found.parent)? {
                Some(parent) if parent.serves => Ok(None),
                _ => place.hold(written),
            }
        };
        match quick().map_err(|error| cannot_tell(home, error))? {
            Some(process) => Ok(Some(process)),
            None => Ok(self.look(home)?.first),
        }
    }

    fn find(&self, home: &Home) -> Result<Processes, Unreadable> {
        let place = Place::of(self, home)?;
        let mut serving = Vec::new();
        let mut found = Processes::default();
        for pid in proc::all()? {
            match place.member(pid)? {
                Some(member) if member.serves => serving.push((pid, member.parent)),
                Some(_) => found.strangers.push(pid),
                None => {}
            }
        }
        let written = (self.written)(home)?;
        if let Some(at) = first_of(&serving, written) {
            let (pid, _) = serving.swap_remove(at);
            found.first = place.hold(pid)?;
        }
        found.others = serving.into_iter().map(|(pid, _)| pid).collect();
        Ok(found)
    }

    /// Whether a process is the server's still. One that is about to end is nobody's any more.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub(crate) fn has(&self, home: &Home, pid: u32) -> Result<bool, EngineError> {
        let member = Place::of(self, home).and_then(|place| place.member(pid));
        let member = member.map_err(|error| cannot_tell(home, error))?;
        Ok(member.is_some_and(|member| member.serves))
    }

    /// [`Self::look`] on a thread that may wait.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub(crate) async fn looked(&'static self, home: &Home) -> Result<Processes, EngineError> {
        let home = home.clone();
        blocking(move || self.look(&home)).await
    }

    /// Makes sure that nothing of a server is cleared while the process that it wrote down may be
    /// that server.
    ///
    /// # Errors
    /// [`EngineError::Busy`] when it is, [`EngineError::CannotTell`] when that cannot be told.
    pub(crate) fn check_ended(&self, home: &Home) -> Result<(), EngineError> {
        let named = || {
            let written = (self.written)(home)?;
            let place = Place::of(self, home)?;
            written.map_or(Ok(None), |pid| place.member(pid))
        };
        match named().map_err(|error| cannot_tell(home, error))? {
            None => Ok(()),
            Some(_) => Err(EngineError::Busy {
                home: home.dir.clone(),
            }),
        }
    }

    /// Ends the server: in order, after `patience` at once, and at last with SIGKILL; a `patience` of
    /// zero begins at once. Then everything else that its user runs.
    ///
    /// # Errors
    /// When processes stay, or cannot be told.
    pub(crate) async fn end(
        &'static self,
        home: &Home,
        patience: Duration,
    ) -> Result<(), EngineError> {
        let found = self.looked(home).await?;
        if let Some(first) = &found.first {
            let mut ended = false;
            if !patience.is_zero() {
                first.signal(home, self.in_order)?;
                ended = self.gone_within(home, patience).await?;
                if !ended {
                    tracing::warn!(home = %home.dir.display(), "the server does not stop in order");
                }
            }
            if !ended {
                first.signal(home, self.at_once)?;
                self.gone_within(home, IMMEDIATE_WAIT).await?;
            }
        }
        self.kill_all(home).await
    }

    /// Waits for a server's processes whose first one is gone, which end by themselves, and ends
    /// those that do not, and all else that its user runs: a new server cannot begin before.
    ///
    /// # Errors
    /// When processes stay, or cannot be told.
    pub(crate) async fn end_orphans(&'static self, home: &Home) -> Result<(), EngineError> {
        self.gone_within(home, LAST_WAIT / 5).await?;
        self.kill_all(home).await
    }

    async fn kill_all(&'static self, home: &Home) -> Result<(), EngineError> {
        let deadline = Instant::now() + LAST_WAIT;
        loop {
            let left = self.looked(home).await?;
            if left.is_empty() {
                return Ok(());
            }
            if deadline < Instant::now() {
                let mut pids = left.pids();
                pids.truncate(PIDS_SHOWN);
                return Err(EngineError::WillNotEnd {
                    home: home.dir.clone(),
                    pids,
                });
            }
            if let Some(user) = home.os_uid.filter(|_| is_alone(home)) {
                sweep_user::kill(user).await;
            }
            let at = home.clone();
            blocking(move || {
                // Stopped first, so that none of them makes another one meanwhile.
                for signal in [Signal::STOP, Signal::KILL] {
                    self.signal_each(&at, &left, signal)?;
                }
                Ok(())
            })
            .await?;
            sleep(POLL).await;
        }
    }

    /// Holds one process at a time: a user may have made more than there are descriptors.
    fn signal_each(
        &self,
        home: &Home,
        found: &Processes,
        signal: Signal,
    ) -> Result<(), EngineError> {
        let place = Place::of(self, home).map_err(|error| cannot_tell(home, error))?;
        for pid in found.pids() {
            let held = place.hold(pid).map_err(|error| cannot_tell(home, error))?;
            if let Some(process) = held {
                process.signal(home, signal)?;
            }
        }
        Ok(())
    }

    async fn gone_within(
        &'static self,
        home: &Home,
        patience: Duration,
    ) -> Result<bool, EngineError> {
        let deadline = Instant::now() + patience;
        loop {
            if !self.looked(home).await?.has_server() {
                return Ok(true);
            }
            if deadline <= Instant::now() {
                return Ok(false);
            }
            sleep(POLL).await;
        }
    }
}

fn cannot_tell(home: &Home, error: Unreadable) -> EngineError {
    EngineError::CannotTell {
        home: home.dir.clone(),
        lacking: crate::capabilities::explain(&error.source),
        path: error.path,
        source: error.source,
    }
}

/// Which of the server's processes (number and parent) is its first one: the one whose parent is
/// none of them.
fn first_of(serving: &[(u32, u32)], written: Option<u32>) -> Option<usize> {
    let is_root = |(_, parent): &(u32, u32)| !serving.iter().any(|(pid, _)| pid == parent);
    let has_children = |(pid, _): &(u32, u32)| serving.iter().any(|(_, parent)| parent == pid);
    let at = |wanted: &dyn Fn(&(u32, u32)) -> bool| serving.iter().position(wanted);
    at(&|one| Some(one.0) == written && is_root(one))
        .or_else(|| at(&|one| is_root(one) && has_children(one)))
        // Alone, and no file yet: a server that has just begun.
        .or_else(|| (serving.len() == 1 && written.is_none()).then_some(0))
}

/// The data folder and the user that tell a cluster's processes from all others.
struct Place {
    /// The file name of the server's program.
    program: &'static str,
    /// Those of the programs that write its files.
    tools: &'static [&'static str],
    /// Device and inode; none when there is no such folder, and then no process works in it.
    folder: Option<(u64, u64)>,
    user: u32,
    /// Whether the user is this cluster's alone: all that it runs is the cluster's.
    alone: bool,
}

/// Whether the cluster has a user that runs nothing else.
pub(crate) fn is_alone(home: &Home) -> bool {
    home.os_uid.is_some() && !home.os_uid_shared
}

/// A process of the cluster.
struct Member {
    parent: u32,
    /// Whether it is one of the server's.
    serves: bool,
}

impl Place {
    fn of(kind: &ServerKind, home: &Home) -> Result<Self, Unreadable> {
        let folder = match fs::symlink_metadata(home.data()) {
            Ok(facts) => Some((facts.dev(), facts.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(source) => {
                let path = home.data();
                return Err(Unreadable { path, source });
            }
        };
        Ok(Self {
            program: kind.program,
            tools: kind.tools,
            folder,
            user: home.os_uid.unwrap_or_else(own_uid),
            alone: is_alone(home),
        })
    }

    /// What a process is to the cluster; none when it is nothing to it, or gone.
    fn member(&self, pid: u32) -> Result<Option<Member>, Unreadable> {
        let facts = match proc::facts(pid) {
            Ok(Some(facts)) => facts,
            Ok(None) => return Ok(None),
            Err(error) => return self.unread(pid, error),
        };
        let user_is_it = match self.alone {
            true => facts.users.contains(&self.user),
            false => facts.users[0] == self.user,
        };
        if !user_is_it {
            return Ok(None);
        }
        let program = self.program(pid)?;
        let is = |wanted: &str| program.as_deref().is_some_and(|it| is_named(it, wanted));
        let serves = is(self.program);
        let is_its_own = serves || self.alone || self.tools.iter().any(|tool| is(tool));
        Ok(is_its_own.then_some(Member {
            parent: facts.parent,
            serves,
        }))
    }

    /// Whose a process is that cannot be read: that of another user is nothing to the cluster.
    fn unread(&self, pid: u32, error: Unreadable) -> Result<Option<Member>, Unreadable> {
        let refused = error.source.kind() == ErrorKind::PermissionDenied;
        match proc::owner(pid)? {
            None => Ok(None),
            Some(owner) if refused && owner != self.user => Ok(None),
            Some(_) => Err(error),
        }
    }

    /// The program of a process that works in the folder, by the file it runs: in a process that has
    /// just become a server, its name comes after both.
    fn program(&self, pid: u32) -> Result<Option<String>, Unreadable> {
        if self.folder.is_none() || self.working_folder(pid)? != self.folder {
            return Ok(None);
        }
        proc::program(pid)
    }

    /// Where a process of the user works; none when it is gone, or keeps that to itself and is no
    /// server. A process keeps it to itself also for a moment while it becomes another program.
    fn working_folder(&self, pid: u32) -> Result<Option<(u64, u64)>, Unreadable> {
        let until = std::time::Instant::now() + BECOMING;
        loop {
            match proc::working_folder(pid) {
                Err(error) if error.source.kind() == ErrorKind::PermissionDenied => {
                    let facts = proc::facts(pid)?;
                    if facts.is_some_and(|facts| facts.name.starts_with(self.program)) {
                        return Err(error);
                    }
                    let is_young = proc::age(pid)?.is_some_and(|age| age < YOUNG);
                    if !is_young || until < std::time::Instant::now() {
                        return Ok(None);
                    }
                    std::thread::sleep(BECOMING / 50);
                }
                told => return told,
            }
        }
    }

    /// Holds a process that is the cluster's; none when it is not, or is gone.
    fn hold(&self, pid: u32) -> Result<Option<Process>, Unreadable> {
        let opened = Process::open(pid).map_err(|source| Unreadable {
            path: format!("/proc/{pid}").into(),
            source,
        })?;
        // Looked at again: only now can the number not change its meaning.
        Ok(match opened {
            Some(process) if self.member(pid)?.is_some() => Some(process),
            _ => None,
        })
    }
}

/// Whether a program's file has that name. After an upgrade of the package it ends in " (deleted)".
fn is_named(file: &str, name: &str) -> bool {
    let rest = file.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::Stdio,
    };

    use super::*;

    static KIND: ServerKind = ServerKind {
        program: "aserver",
        tools: &["atool"],
        written: |_| Ok(None),
        in_order: Signal::TERM,
        at_once: Signal::KILL,
    };

    fn home_in(folder: &std::path::Path) -> Home {
        let home = Home {
            dir: folder.to_owned(),
            socket_dir: folder.join("sockets"),
            host: "127.0.0.1".to_owned(),
            port: 1,
            os_uid: None,
            os_uid_shared: false,
            version: "1.0".to_owned(),
            replication: Default::default(),
        };
        fs::create_dir(home.data()).expect("a folder");
        home
    }

    #[tokio::test]
    async fn a_tool_that_goes_on_alone_is_found_and_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = home_in(folder.path());
        for (tool, is_its) in [("atool", true), ("another", false)] {
            let program = folder.path().join(tool);
            fs::copy("/bin/sleep", &program).expect("a program");
            let mut child = crate::programs::command(&program)
                .arg("60")
                .current_dir(home.data())
                .spawn()
                .expect("it runs");
            let found = KIND.look(&home).expect("it can be told");
            assert_eq!(found.strangers == [child.id()], is_its, "{tool}");
            assert!(!found.has_server());
            // It is a child of this process: reaped while its end is waited for.
            let reaped = tokio::task::spawn_blocking(move || {
                if !is_its {
                    child.kill().expect("it ends");
                }
                child.wait().expect("it ends")
            });
            KIND.end(&home, Duration::ZERO).await.expect("ends");
            reaped.await.expect("it has ended");
        }
    }

    #[test]
    fn a_server_is_one_whatever_it_is_called() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = home_in(folder.path());
        let program = folder.path().join(KIND.program);
        fs::copy("/bin/bash", &program).expect("a program");
        // As one is that has just become the server: the name is still that of what it was.
        let mut child = crate::programs::command(&program)
            .args(["-c", "echo tokio-rt > /proc/$$/comm; echo; read -r _"])
            .current_dir(home.data())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let said =
            BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut String::new());
        said.expect("it has its name");
        let found = KIND.look(&home).expect("it can be told");
        assert_eq!(found.first.map(|it| it.pid), Some(child.id()));
        child.kill().expect("it ends");
        child.wait().expect("it ends");
        assert!(KIND.look(&home).expect("it can be told").is_empty());
    }

    #[test]
    fn the_first_process_is_the_one_without_a_parent_among_them() {
        // A first process 10 under another program, with two children.
        let serving = [(11, 10), (10, 5), (12, 10)];
        assert_eq!(first_of(&serving, Some(10)), Some(1));
        // A lock file that names another of them, or none, does not mislead.
        assert_eq!(first_of(&serving, Some(11)), Some(1));
        assert_eq!(first_of(&serving, None), Some(1));
        // Orphans: their first one is gone.
        assert_eq!(first_of(&[(11, 1), (12, 1)], Some(10)), None);
        // It has just begun.
        assert_eq!(first_of(&[(10, 5)], None), Some(0));
        assert_eq!(first_of(&[(10, 5)], Some(9)), None);
    }
}
