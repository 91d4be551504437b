//! The address of a cluster's server: held by this process while no server has it, and watched
//! while one does, so that nobody else can have it in between.
//!
//! It does not know which addresses there are, nor why a server ends.
//!
//! A held address is a socket that is bound and does not listen: connections to it are refused,
//! and the system lets nobody else bind it, or all addresses at its port. While a server runs,
//! this process has a second handle on the server's own listening socket: when the server dies,
//! the socket lives on and becomes the held one. What stays open is the moment between letting
//! go and the new server's bind: no database's server can be handed a socket.
use std::{
    collections::HashMap,
    fs, io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, Shutdown, SocketFlags, SocketType, sockopt},
    process::PidfdGetfdFlags,
};
use tokio::{io::unix::AsyncFd, sync::Notify};

use super::{
    child::own_uid,
    listeners::{self, Listener},
    processes::Process,
};
use crate::{error::EngineError, home::Home};

/// The addresses of this process's clusters, each by the folder of its cluster's socket.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    state: Mutex<State>,
    /// A server that was watched has ended.
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<SocketAddr, Held>,
    watched: HashMap<PathBuf, Watched>,
}

#[derive(Debug)]
struct Held {
    by: PathBuf,
    _socket: OwnedFd,
}

/// A running server, and its listening socket where the system gives it.
#[derive(Debug)]
struct Watched {
    postmaster: u32,
    address: SocketAddr,
    socket: Option<OwnedFd>,
}

/// Where a home's server listens; none when the host is a name, which is the server's to look up.
pub(crate) fn of(home: &Home) -> Option<SocketAddr> {
    let host: IpAddr = home.host.parse().ok()?;
    Some(SocketAddr::new(host, home.port))
}

/// The file of a home's that tells where its server listens, where nothing else does.
pub(crate) const NOTE: &str = "conf/address";

/// What stands in such a file.
pub(crate) fn note(home: &Home) -> String {
    format!(
        "{} {} {}\n",
        home.host,
        home.port,
        home.socket_dir.display()
    )
}

/// The address in such a file; none when the host is a name.
pub(crate) fn noted(text: &str) -> Option<SocketAddr> {
    let mut words = text.split(' ');
    let host: IpAddr = words.next()?.parse().ok()?;
    Some(SocketAddr::new(host, words.next()?.parse().ok()?))
}

impl Addresses {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the home's address, unless its own server was just found to have it.
    ///
    /// # Errors
    /// [`EngineError::PortInUse`], [`EngineError::NoSuchAddress`].
    pub(crate) fn hold(&self, home: &Home) -> Result<(), EngineError> {
        let Some(address) = of(home) else {
            return Ok(());
        };
        let mut state = self.state();
        match state.held.get(&address) {
            Some(held) if held.by == home.socket_dir => return Ok(()),
            Some(_) => return Err(in_use(home)),
            None => {}
        }
        let socket = bind(address).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => in_use(home),
            // A machine without IPv6 has none of its addresses.
            _ if is_absent(&error) => EngineError::NoSuchAddress {
                host: home.host.clone(),
            },
            _ => EngineError::io("hold the address", address.to_string(), error),
        })?;
        let by = home.socket_dir.clone();
        state.held.insert(
            address,
            Held {
                by,
                _socket: socket,
            },
        );
        Ok(())
    }

    /// Lets go of the home's address, for its server to bind it.
    pub(crate) fn let_go(&self, home: &Home) {
        let Some(address) = of(home) else { return };
        let mut state = self.state();
        if state
            .held
            .get(&address)
            .is_some_and(|held| held.by == home.socket_dir)
        {
            state.held.remove(&address);
        }
    }

    /// Forgets all that belongs to the home's cluster, its server's end included.
    pub(crate) fn release(&self, home: &Home) {
        let mut state = self.state();
        state.watched.remove(&home.socket_dir);
        state.held.retain(|_, held| held.by != home.socket_dir);
    }

    /// Watches the home's server, which listens, from here on: when it ends, its address is held.
    /// Answers whether that is new.
    pub(crate) fn watch(self: &Arc<Self>, home: &Home, postmaster: Process) -> bool {
        let Some(address) = of(home) else {
            return false;
        };
        let pid = postmaster.pid;
        let mut state = self.state();
        if state
            .watched
            .get(&home.socket_dir)
            .is_some_and(|watched| watched.postmaster == pid)
        {
            return false;
        }
        let socket = match second_handle(&postmaster.handle, pid, address) {
            Ok(socket) => Some(socket),
            // Without it the address is bound anew once the server's end is seen.
            Err(error) => {
                tracing::debug!(home = %home.dir.display(), %error, "the server's listening socket is not given");
                None
            }
        };
        state.watched.insert(
            home.socket_dir.clone(),
            Watched {
                postmaster: pid,
                address,
                socket,
            },
        );
        drop(state);
        let (this, home) = (Arc::clone(self), home.clone());
        tokio::spawn(async move {
            match ended(postmaster.handle).await {
                Ok(()) => this.take_back_from(&home, Some(pid)),
                Err(error) => tracing::warn!(%error, "the end of a server is not watched"),
            }
        });
        true
    }

    /// Holds the address of a server that has ended, and says so to who waits for it.
    pub(crate) fn take_back(&self, home: &Home) {
        self.take_back_from(home, None);
    }

    fn take_back_from(&self, home: &Home, pid: Option<u32>) {
        let mut state = self.state();
        let same = |watched: &Watched| pid.is_none_or(|pid| pid == watched.postmaster);
        if !state.watched.get(&home.socket_dir).is_some_and(same) {
            return;
        }
        let Some(watched) = state.watched.remove(&home.socket_dir) else {
            return;
        };
        let address = watched.address;
        let kept = watched.socket.and_then(|socket| match quiet(&socket) {
            Ok(()) => Some(socket),
            Err(error) => {
                tracing::warn!(%address, %error, "the address of an ended server is not held");
                None
            }
        });
        let kept = kept.map_or_else(|| bind(address), Ok);
        match kept {
            Ok(socket) => {
                let by = home.socket_dir.clone();
                state.held.insert(
                    address,
                    Held {
                        by,
                        _socket: socket,
                    },
                );
            }
            Err(error) => {
                tracing::warn!(%address, %error, "the address of an ended server is not held");
            }
        }
        drop(state);
        self.ended.notify_waiters();
    }

    /// Resolves when a watched server ends.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
    }
}

/// Waits for the end of a process.
async fn ended(process: OwnedFd) -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe for those who close the descriptor; this one is owned"
    )]
    let process = AsyncFd::new(process)?;
    process.readable().await.map(drop)
}

pub(crate) fn in_use(home: &Home) -> EngineError {
    EngineError::PortInUse {
        host: home.host.clone(),
        port: home.port,
    }
}

/// A socket that has the address and does not listen. It does not share it (SO_REUSEADDR is off).
fn bind(address: SocketAddr) -> io::Result<OwnedFd> {
    match bind_with(address, false) {
        // Connections that are over keep an address for a minute after whoever had them; one that
        // listens keeps it also from this.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => bind_with(address, true),
        other => other,
    }
}

fn bind_with(address: SocketAddr, reuse: bool) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    sockopt::set_socket_reuseaddr(&socket, reuse)?;
    rustix::net::bind(&socket, &address)?;
    // From here on nobody can listen beside it.
    sockopt::set_socket_reuseaddr(&socket, false)?;
    Ok(socket)
}

fn is_absent(error: &io::Error) -> bool {
    let errors = [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT].map(Errno::raw_os_error);
    error
        .raw_os_error()
        .is_some_and(|error| errors.contains(&error))
}

/// Makes a server's listening socket, whose server is gone, one that only has the address.
fn quiet(socket: impl AsFd) -> io::Result<()> {
    // Set first: from the moment that it does not listen, others could bind beside it.
    sockopt::set_socket_reuseaddr(&socket, false)?;
    rustix::net::shutdown(&socket, Shutdown::Both)?;
    Ok(())
}

/// A handle on the socket that a process listens with at this address.
fn second_handle(process: impl AsFd, pid: u32, address: SocketAddr) -> io::Result<OwnedFd> {
    let listener = listeners::all()?
        .into_iter()
        .find(|listener| listener.address == address)
        .ok_or(io::ErrorKind::NotFound)?;
    let name = format!("socket:[{}]", listener.inode);
    let fd = fs::read_dir(format!("/proc/{pid}/fd"))?
        .flatten()
        .find(|entry| fs::read_link(entry.path()).is_ok_and(|link| *link == *name))
        .and_then(|entry| entry.file_name().to_str()?.parse().ok())
        .ok_or(io::ErrorKind::NotFound)?;
    let socket = rustix::process::pidfd_getfd(process, fd, PidfdGetfdFlags::empty())?;
    // The number may have come to mean something else meanwhile.
    if rustix::fs::fstat(&socket)?.st_ino != listener.inode {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(socket)
}

/// Refuses a server that does not have the home's address, whoever has it.
///
/// # Errors
/// [`EngineError::PortInUse`]; when the system's list of listeners cannot be read.
pub(crate) fn check_owner(home: &Home) -> Result<(), EngineError> {
    let Some(address) = of(home) else {
        return Ok(());
    };
    let uid = home.os_uid.unwrap_or_else(own_uid);
    let found = listeners::all()
        .map_err(|error| EngineError::io("read the listeners in", "/proc/net/tcp", error))?;
    let ours = |listener: &Listener| listener.address == address && listener.uid == uid;
    if found.iter().any(ours) {
        Ok(())
    } else {
        Err(in_use(home))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn an_address_is_held_beside_connections_that_are_over_and_by_nobody_else() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = TcpStream::connect(address).expect("it listens");
        let (accepted, _) = listener.accept().expect("a connection");
        bind(address).expect_err("it listens");
        // Who closes first keeps the address.
        drop(accepted);
        drop(client);
        drop(listener);
        let plain = bind_with(address, false).expect_err("a connection is over");
        assert_eq!(plain.kind(), io::ErrorKind::AddrInUse);
        let held = bind(address).expect("nobody listens");
        // The standard library's has SO_REUSEADDR.
        TcpListener::bind(address).expect_err("it is held");
        drop(held);
        TcpListener::bind(address).expect("it was let go");
    }
}
