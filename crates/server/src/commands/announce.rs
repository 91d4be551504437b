//! What a server says to people at its start and at its end, beside its log of what happens.
//!
//! It does not know how it is run.
use std::{
    io::{self, IsTerminal, Write},
    path::Path,
};

use rustix::process::geteuid;
use service::{Mode, fault::chain};

use crate::{
    deployment::{
        credentials::{self, NewAccessKey},
        data_dir::DataDir,
    },
    settings::LogFormat,
};

/// What stands before lines for a shell.
const PASTE: &str = "\nTo connect, paste:\n";

/// As root, clusters run as users of their own, which takes several of root's rights.
pub(crate) fn tell_missing_capabilities() {
    if !geteuid().is_root() {
        return;
    }
    match engine::missing_capabilities() {
        Ok(missing) => {
            for one in missing {
                tracing::warn!(
                    capability = one.name,
                    "this process is root without {}: {}; give it back, with CapabilityBoundingSet= of a systemd unit or --cap-add of a container",
                    one.name,
                    one.without
                );
            }
        }
        Err(error) => {
            tracing::warn!(%error, "it cannot be told which of root's rights this process has");
        }
    }
}

/// Tells people how to connect; the secret only at the first start, and only on a terminal.
pub(crate) fn introduce(
    mode: Mode,
    endpoint: &str,
    dir: &DataDir,
    administrator: Option<&NewAccessKey>,
    format: LogFormat,
) {
    tracing::info!(endpoint, data = %dir.path().display(), version = env!("CARGO_PKG_VERSION"), "serving");
    if mode == Mode::Dev {
        tracing::warn!(
            "--dev: signatures are not checked; whoever reaches this port can do everything"
        );
    }
    if format == LogFormat::Json {
        return;
    }
    let mut text = String::new();
    if mode == Mode::Dev {
        text.push_str(PASTE);
        text.push_str(&credentials::dev_export_lines(endpoint));
        text.push('\n');
    }
    if let Some(key) = administrator {
        text.push_str(&format!(
            "\nMade the administrator's access key {} of account {}, in {}.\n",
            key.id,
            key.account,
            dir.credentials().display()
        ));
        if io::stderr().is_terminal() {
            text.push_str(&format!(
                "Its secret, shown only now: {}\n",
                key.secret.as_str()
            ));
        }
        text.push_str(&format!(
            "Keep a copy of {} elsewhere: without it nothing here can be opened.\n",
            dir.master_key().display()
        ));
    }
    if mode == Mode::Closed && dir.credentials().try_exists().is_ok_and(|there| there) {
        text.push_str(PASTE);
        text.push_str(&credentials::export_lines(endpoint, &dir.credentials()));
        text.push('\n');
    }
    // Without anyone to read it, it needs not be said.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// The only line on standard output.
pub(crate) fn say_ready(endpoint: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "snapferry is ready at {endpoint}").and_then(|()| out.flush())
    {
        tracing::warn!(%error, "cannot say on standard output that the server is ready");
    }
}

/// Says, once it was looked at, what runs on clusters' folders that were removed by hand.
pub(crate) fn tell_left_behind(dir: &DataDir) {
    let (clusters, data) = (dir.clusters(), dir.path().to_owned());
    tokio::task::spawn_blocking(move || match engine::left_behind(&clusters) {
        Ok(left) if left.is_empty() => {}
        Ok(processes) => tracing::warn!(
            ?processes,
            "programs run in a clusters' folder that was removed: stop this server, and end them with snapferry data stop-clusters --data {}",
            data.display()
        ),
        Err(error) => {
            tracing::warn!(cause = %chain(&error), "it is not known whether a removed folder left programs")
        }
    });
}

/// Says what still runs, and how to end it.
pub(crate) fn tell_stopped(run_on: usize, data: &Path) {
    if run_on == 0 {
        tracing::info!("stopped");
        return;
    }
    let which = match run_on {
        1 => "1 database runs on".to_owned(),
        count => format!("{count} databases run on"),
    };
    tracing::info!(
        run_on,
        "stopped; {which}, and the next start adopts what runs; to end it: snapferry data stop-clusters --data {}",
        data.display()
    );
}
