//! What the service manager that began this process is told: that it is ready, that it lives, that it stops.
//!
//! The protocol is that of `sd_notify(3)`: one datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET`
//! names. Without that variable nobody listens, and nothing is sent.
use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

/// A manager whose queue is full is not waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service manager, if there is one.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: Option<UnixDatagram>,
    /// How often it wants to hear that the process lives.
    keep_alive: Option<Duration>,
}

impl ServiceManager {
    /// The one that this process's environment names.
    pub(crate) fn of_environment() -> Self {
        let variable = |name| env::var(name).ok();
        Self::at(
            env::var_os("NOTIFY_SOCKET").as_deref(),
            watchdog(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID")),
        )
    }

    fn at(address: Option<&OsStr>, watchdog: Option<Duration>) -> Self {
        let socket = address.and_then(|address| {
            connect(address)
                .inspect_err(|error| {
                    tracing::warn!(%error, ?address, "the service manager cannot be told that this server is ready");
                })
                .ok()
        });
        Self {
            keep_alive: watchdog.filter(|_| socket.is_some()),
            socket,
        }
    }

    /// Requests are answered at this address.
    pub(crate) fn say_ready(&self, endpoint: &str) {
        self.say(&format!("READY=1\nSTATUS=Serving at {endpoint}"));
    }

    /// The end has begun.
    pub(crate) fn say_stopping(&self) {
        self.say("STOPPING=1\nSTATUS=Stopping");
    }

    /// Says for as long as the runtime turns that the process lives, if it is asked for.
    pub(crate) async fn keep_alive(&self) {
        let Some(period) = self.keep_alive else {
            return;
        };
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.say("WATCHDOG=1");
        }
    }

    fn say(&self, state: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(state.as_bytes()) {
            tracing::warn!(%error, state, "the service manager was not told");
        }
    }
}

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let bytes = address.as_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// Half of the time after which the manager takes the process for dead. The variables are inherited, so the second
/// says whom they are for.
fn watchdog(micros: Option<String>, pid: Option<String>) -> Option<Duration> {
    if pid.is_some_and(|pid| pid != process::id().to_string()) {
        return None;
    }
    let micros: u64 = micros?.parse().ok()?;
    (micros > 1).then(|| Duration::from_micros(micros / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).expect("a datagram");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn a_socket_without_a_path_hears_it_too() {
        let name = format!("snapferry-test-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("bound");
        let manager = ServiceManager::at(Some(OsStr::new(&format!("@{name}"))), None);
        manager.say_ready("http://127.0.0.1:1");
        assert_eq!(
            heard(&socket),
            "READY=1\nSTATUS=Serving at http://127.0.0.1:1"
        );
        manager.say_stopping();
        assert!(heard(&socket).starts_with("STOPPING=1\n"));
    }

    #[test]
    fn nobody_listens_and_nothing_is_said() {
        let second = Some(Duration::from_secs(1));
        let nobody = ServiceManager::at(Some(OsStr::new("/nonexistent/notify")), second);
        nobody.say_ready("http://127.0.0.1:1");
        assert!(nobody.socket.is_none() && nobody.keep_alive.is_none());
        assert!(ServiceManager::at(None, second).keep_alive.is_none());
    }

    #[test]
    fn a_watchdog_of_another_process_is_not_fed() {
        let text = |text: &str| Some(text.to_owned());
        let own = Some(process::id().to_string());
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog(text("2000000"), own), second);
        assert_eq!(watchdog(text("2000000"), None), second);
        assert_eq!(watchdog(text("2000000"), text("1")), None);
        assert_eq!(watchdog(None, None), None);
        assert_eq!(watchdog(text("0"), None), None);
    }
}
