//! Where a PostgreSQL catalog is: the URL, its TLS mode, and the name shown in messages.
//!
//! It does not connect.
use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};

use super::{
    error::in_words,
    tls::{Tls, TlsMode},
};
use crate::error::{CatalogError, ErrorKind};

/// How long connecting to one address may take.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// A server that acknowledges nothing for this long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long a connection is idle before the system asks whether the server is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);

/// Where a catalog is, and how it is reached.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) config: Config,
    pub(super) tls: Tls,
    /// Without the password: for messages.
    pub(super) shown: PathBuf,
}

impl Place {
    /// Reads `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=FILE`.
    /// Several hosts may be named; the one that can be written to is taken.
    pub(super) fn parse(url: &str) -> Result<Self, CatalogError> {
        let (url, mode, roots) = take_tls(url)?;
        let mut config: Config = url
            .parse()
            .map_err(|error: tokio_postgres::Error| refused(Arc::new(error)))?;
        if config.get_user().is_none() || config.get_dbname().is_none() {
            return Err(refused(in_words(
                "the URL names no user or no database: postgres://USER@HOST/DATABASE",
            )));
        }
        config
            .ssl_mode(match mode {
                TlsMode::Disable => SslMode::Disable,
                TlsMode::Require | TlsMode::VerifyFull => SslMode::Require,
            })
            .application_name("snapferry")
            .connect_timeout(CONNECT_WAIT)
            .tcp_user_timeout(SILENCE_MAX)
            .keepalives_idle(KEEPALIVE_IDLE)
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(Self {
            tls: Tls::new(mode, roots.as_deref())?,
            shown: shown(&config),
            config,
        })
    }
}

fn refused(source: std::sync::Arc<dyn std::error::Error + Send + Sync>) -> CatalogError {
    CatalogError::Failed {
        doing: "reading its postgres:// URL",
        kind: ErrorKind::Repair,
        source,
    }
}

/// Takes the parameters out of the URL that the driver does not know.
fn take_tls(url: &str) -> Result<(String, TlsMode, Option<PathBuf>), CatalogError> {
    let (mut mode, mut roots) = (TlsMode::Disable, None);
    let Some((start, query)) = url.split_once('?') else {
        return Ok((url.to_owned(), mode, roots));
    };
    let mut kept = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", "disable")) => mode = TlsMode::Disable,
            Some(("sslmode", "require")) => mode = TlsMode::Require,
            Some(("sslmode", "verify-full")) => mode = TlsMode::VerifyFull,
            Some(("sslmode", other)) => {
                return Err(refused(in_words(format!(
                    "sslmode={other} is not one of disable, require, verify-full"
                ))));
            }
            Some(("sslrootcert", path)) => roots = Some(PathBuf::from(path)),
            _ => kept.push(pair),
        }
    }
    if kept.is_empty() {
        Ok((start.to_owned(), mode, roots))
    } else {
        Ok((format!("{start}?{}", kept.join("&")), mode, roots))
    }
}

fn shown(config: &Config) -> PathBuf {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(index, host)| {
            let ports = config.get_ports();
            let port = ports.get(index).or(ports.first()).unwrap_or(&5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(folder) => format!("{}:{port}", folder.display()),
            }
        })
        .collect();
    let name = config.get_dbname().unwrap_or_default();
    PathBuf::from(format!("postgres://{}/{name}", hosts.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_their_password() {
        let place = Place::parse("postgres://ferry:hush@db1:6000,db2:6001/snap?sslmode=disable")
            .expect("a URL");
        assert_eq!(
            place.shown,
            PathBuf::from("postgres://db1:6000,db2:6001/snap")
        );
        assert_eq!(place.config.get_ssl_mode(), SslMode::Disable);
        let place =
            Place::parse("postgresql:///snap?host=/run/pg&port=7000&user=ferry&sslmode=disable")
                .expect("a URL");
        assert_eq!(place.shown, PathBuf::from("postgres:///run/pg:7000/snap"));
        let place = Place::parse("postgres://ferry@db1/snap?sslmode=require").expect("a URL");
        assert_eq!(place.config.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn what_is_no_place_is_refused_in_words() {
        for (url, word) in [
            ("postgres://db1/snap", "user"),
            ("postgres://ferry@db1", "database"),
            ("postgres://ferry@db1/snap?sslmode=prefer", "sslmode=prefer"),
            (
                "postgres://ferry@db1/snap?sslmode=verify-full&sslrootcert=/nowhere",
                "/nowhere",
            ),
            ("postgres://ferry@db1:x/snap", "connection string"),
        ] {
            let error = Place::parse(url)
                .err()
                .unwrap_or_else(|| panic!("{url} was taken"));
            let CatalogError::Failed { source, .. } = error else {
                panic!("{error:?}");
            };
            assert!(source.to_string().contains(word), "{url}: {source}");
        }
    }
}
