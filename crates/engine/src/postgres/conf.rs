//! The files that tell a server how to behave. They are always written here, never taken from a
//! dump, and lie outside the data folder, where the server's user cannot change them.
use std::{collections::HashMap, fs, io::ErrorKind, net::SocketAddr, path::Path};

use zeroize::Zeroizing;

use super::{
    left,
    parameters::owned::{FORCE_TLS, LOGICAL},
};
use crate::{
    certify::Tls,
    error::EngineError,
    home::{Home, Replication, Upstream, shown},
    hosting::{
        chosen::{self, Values},
        files::{make_folder, replace, replace_private},
        identity,
    },
    parameters::SYNCHRONOUS_BACKUP,
};

/// The role and the database of Snapferry's own sessions.
pub(super) const ADMIN: &str = "rdsadmin";

/// The role of servers that follow another one. On one node it has no password, and is let in at the
/// socket alone; over the network it has one, and needs TLS.
pub(super) const REPLICATOR: &str = "rdsrepladmin";

/// The role of checks of clusters that are restored for a test, which only those have. It has no password,
/// and is let in at the socket alone.
pub(super) const CHECKER: &str = "rdscheckadmin";

/// The slot that keeps the log until it is kept elsewhere, and the name of the connection that commits
/// may wait for.
pub(super) const SLOT: &str = "vault_log";

/// Bytes of a socket's full name at most: the system has 108 with the closing zero, and some
/// tools fewer.
const SOCKET_PATH_BYTES_MAX: usize = 103;

/// What a server proves itself with to one that it follows over the network.
const PEER_PASSWORD: &str = "peer.pass";

/// How far a recovery goes, and where its log comes from.
const REPLAY: &str = "replay.conf";

/// The settings that depend on what is installed.
const LIBRARIES: &str = "libraries.conf";

/// What the server is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Serve clients.
    Serve,
    /// Recover from the files of a dump.
    Recover,
    /// Recover from the files of a dump and the log that is given, as the file [`REPLAY`] says.
    Replay,
    /// Recover, with nobody else let in.
    Alone,
}

/// Checks what goes into the settings before anything is written.
pub(super) fn check(home: &Home) -> Result<(), EngineError> {
    let refuse = |what, value: &str, why| {
        Err(EngineError::BadValue {
            what,
            value: value.chars().take(200).collect(),
            why,
        })
    };
    if home.port == 0 {
        return refuse("the port", "0", "is not a port");
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || ".:-_".contains(c);
    if home.host.is_empty() || !home.host.chars().all(legal) {
        return refuse("the address", &home.host, "is no host name or IP address");
    }
    for (what, dir) in [
        ("the folder", &home.dir),
        ("the socket's folder", &home.socket_dir),
    ] {
        let text = dir.to_str();
        // A comma separates folders in the server's setting, and `@` begins an abstract name.
        let legal = |text: &str| {
            dir.is_absolute() && !text.chars().any(|c| c.is_control() || c == ',' || c == '"')
        };
        if !text.is_some_and(legal) {
            return refuse(
                what,
                &shown(dir),
                "must be absolute, without commas, quotes and control characters",
            );
        }
    }
    let replication = &home.replication;
    for name in std::iter::once(&replication.name).chain(&replication.followers) {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.chars().all(legal) {
            return refuse(
                "a server's name among its cluster's",
                name,
                "has other characters than lower-case letters, digits and underscores",
            );
        }
    }
    let socket = socket_path(home);
    if SOCKET_PATH_BYTES_MAX < socket.as_os_str().len() {
        return refuse(
            "the socket's path",
            &shown(&socket),
            "is longer than 103 bytes, which the system cannot use",
        );
    }
    Ok(())
}

/// The socket that the server makes in its folder.
pub(super) fn socket_path(home: &Home) -> std::path::PathBuf {
    home.socket_dir.join(format!(".s.PGSQL.{}", home.port))
}

/// A setting's value in single quotes.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// Writes the settings for `purpose`; the server reads them when it starts or is told to. Answers
/// whether anything is new.
///
/// # Errors
/// When a file cannot be written, or there is no certificate.
pub(super) fn write(
    home: &Home,
    own_user: &str,
    purpose: Purpose,
    tls: Option<&Tls>,
) -> Result<bool, EngineError> {
    let dir = home.conf();
    let failed = |source| EngineError::io("write the server's settings in", &dir, source);
    make_folder(&dir, 0o711).map_err(failed)?;
    let mut is_new = match tls {
        Some(tls) => identity::write(home, tls)?,
        None => false,
    };
    let follows = follows(home)?;
    is_new |= match follows {
        true => write_secret(home)?,
        false => remove_secret(home)?,
    };
    let ident_user = own_user.replace('"', "");
    let chosen = match purpose {
        Purpose::Serve => chosen::in_effect(home)?,
        // A dump is recovered by our own settings alone.
        Purpose::Recover | Purpose::Replay | Purpose::Alone => Values::new(),
    };
    let mut settings = server_settings(home, purpose, tls, waits_for_vault(&chosen), follows)
        + &chosen_settings(&chosen);
    if purpose == Purpose::Replay {
        let path = quoted(&dir.join(REPLAY).display().to_string());
        settings.push_str(&format!("include = {path}\n"));
    }
    for (name, text) in [
        ("postgresql.conf", settings),
        ("pg_hba.conf", access_rules(home, tls, &chosen)),
        (
            "pg_ident.conf",
            format!("snapferry \"{ident_user}\" {ADMIN}\nsnapferry \"{ident_user}\" {CHECKER}\n"),
        ),
    ] {
        is_new |= replace(&dir, name, text.as_bytes(), home.os_uid).map_err(failed)?;
    }
    Ok(is_new)
}

/// Writes what the server proves itself with to one that it follows over the network, for it and the
/// programs that run as its user. Answers whether that is new.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_secret(home: &Home) -> Result<bool, EngineError> {
    let Some(secret) = &home.replication.secret else {
        return Ok(false);
    };
    let dir = home.conf();
    let failed = |source| EngineError::io("write the server's settings in", &dir, source);
    make_folder(&dir, 0o711).map_err(failed)?;
    let line = Zeroizing::new(format!("*:*:*:{REPLICATOR}:{}\n", *secret.password));
    replace_private(&dir, PEER_PASSWORD, line.as_bytes(), home.os_uid).map_err(failed)
}

/// Takes away what a server that has left its writer proved itself with: a receiver that begins to connect
/// from here on is let in nowhere. Answers whether it was there.
fn remove_secret(home: &Home) -> Result<bool, EngineError> {
    let path = home.conf().join(PEER_PASSWORD);
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(EngineError::io("delete", path, error)),
    }
}

/// Whether a server that follows goes on with it: it has not left that writer.
///
/// # Errors
/// When that cannot be read.
pub(super) fn follows(home: &Home) -> Result<bool, EngineError> {
    let upstream = home.replication.upstream.as_ref();
    match upstream.and_then(|upstream| upstream.term) {
        Some(term) => Ok(left::last(home)? < Some(term)),
        None => Ok(true),
    }
}

/// Writes which libraries the next server loads at its start.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_libraries(home: &Home, libraries: &[&str]) -> Result<(), EngineError> {
    let dir = home.conf();
    let text = format!(
        "shared_preload_libraries = {}\n",
        quoted(&libraries.join(","))
    );
    replace(&dir, LIBRARIES, text.as_bytes(), home.os_uid)
        .map(drop)
        .map_err(|source| EngineError::io("write the server's settings in", &dir, source))
}

/// Writes how far a recovery goes, and where its log comes from.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_replay(home: &Home, settings: &[(&str, String)]) -> Result<(), EngineError> {
    let dir = home.conf();
    let failed = |source| EngineError::io("write the server's settings in", &dir, source);
    make_folder(&dir, 0o711).map_err(failed)?;
    let lines = settings
        .iter()
        .map(|(name, value)| format!("{name} = {}\n", quoted(value)));
    let text: String = lines.collect();
    replace(&dir, REPLAY, text.as_bytes(), home.os_uid)
        .map(drop)
        .map_err(failed)
}

fn tls_settings(home: &Home, tls: Option<&Tls>) -> String {
    let file = |name: &str| quoted(&home.conf().join(name).display().to_string());
    match tls {
        None => "ssl = off".to_owned(),
        Some(_) => format!(
            "ssl = on\nssl_cert_file = {}\nssl_key_file = {}\nssl_min_protocol_version = 'TLSv1.2'",
            file(identity::CERTIFICATE),
            file(identity::KEY)
        ),
    }
}

fn server_settings(
    home: &Home,
    purpose: Purpose,
    tls: Option<&Tls>,
    waits_for_vault: bool,
    follows: bool,
) -> String {
    let path = |path: &Path| quoted(&path.display().to_string());
    let conf = home.conf();
    let host = match purpose {
        Purpose::Serve | Purpose::Recover | Purpose::Replay => home.host.as_str(),
        Purpose::Alone => "",
    };
    let restore_command = match purpose {
        Purpose::Serve | Purpose::Replay | Purpose::Alone => "",
        // All the log there is lies in pg_wal; to find no more in an archive ends the recovery.
        Purpose::Recover => "false",
    };
    format!(
        "\
# Written by snapferry at every start: changes here are lost.
listen_addresses = {host}
port = {port}
unix_socket_directories = {sockets}
unix_socket_permissions = 0700
hba_file = {hba}
ident_file = {ident}
{tls}
password_encryption = scram-sha-256

fsync = on
full_page_writes = on
synchronous_commit = on
wal_level = replica
max_wal_senders = 20
max_replication_slots = 20
max_slot_wal_keep_size = 32GB
archive_mode = off
archive_command = ''
restore_command = {restore}
recovery_init_sync_method = syncfs
{replication}

# Every user of the machine can read the titles of processes.
update_process_title = off

shared_buffers = 32MB
max_connections = 100
include_if_exists = {libraries}
session_preload_libraries = ''
local_preload_libraries = ''

# Messages go to the file that snapferry opened, and cuts when it grows.
logging_collector = off
log_destination = 'stderr'
log_line_prefix = '%m [%p] '
log_statement = 'none'
# A failed statement may hold a password.
log_min_error_statement = panic
log_checkpoints = off
log_timezone = 'UTC'

timezone = 'UTC'
datestyle = 'iso, mdy'
lc_messages = 'C.UTF-8'
lc_monetary = 'C.UTF-8'
lc_numeric = 'C.UTF-8'
lc_time = 'C.UTF-8'
default_text_search_config = 'pg_catalog.english'
",
        host = quoted(host),
        replication = replication_settings(home, purpose, waits_for_vault, follows),
        tls = tls_settings(home, tls),
        port = home.port,
        sockets = path(&home.socket_dir),
        hba = path(&conf.join("pg_hba.conf")),
        ident = path(&conf.join("pg_ident.conf")),
        restore = quoted(restore_command),
        libraries = path(&conf.join(LIBRARIES)),
    )
}

/// A follower that takes over has no slot for whoever reads the cluster's log, and its own checkpoint
/// would remove what was not read yet.
pub(super) const LOG_KEPT_BYTES: u64 = 256 << 20;

fn log_kept() -> String {
    format!("wal_keep_size = '{}MB'", LOG_KEPT_BYTES >> 20)
}

/// Whether commits wait until their log is in the vault.
pub(super) fn waits_for_vault(chosen: &Values) -> bool {
    let chosen = chosen.get(SYNCHRONOUS_BACKUP);
    chosen.is_some_and(|value| chosen::is_yes(value))
}

/// Whom commits wait for. The server knows one list with one number: the vault and one of several
/// readers cannot be said, so with the vault all readers are waited for.
fn waited_for(synchronous: &[String], waits_for_vault: bool) -> String {
    let vault = waits_for_vault.then_some(SLOT).into_iter();
    let names = vault.chain(synchronous.iter().map(String::as_str));
    let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    let count = match waits_for_vault {
        true => names.len(),
        false => 1,
    };
    match names.is_empty() {
        true => String::new(),
        false => format!("ANY {count} ({})", names.join(", ")),
    }
}

/// Whom the server follows, and which of those that follow it its commits wait for.
fn replication_settings(
    home: &Home,
    purpose: Purpose,
    waits_for_vault: bool,
    follows: bool,
) -> String {
    let replication = &home.replication;
    let waits = || {
        let names = waited_for(&replication.synchronous, waits_for_vault);
        format!("synchronous_standby_names = {}", quoted(&names))
    };
    if purpose != Purpose::Serve {
        // It may let clients in for a moment, whose commits nobody else would have.
        let waits = match purpose == Purpose::Recover && replication.is_spread() {
            true => format!("\n{}", waits()),
            false => String::new(),
        };
        let kept = match replication.is_spread() {
            true => format!("\n{}", log_kept()),
            false => String::new(),
        };
        return format!("hot_standby = off{waits}{kept}");
    }
    let Some(upstream) = &replication.upstream else {
        let kept = match replication.followers.is_empty() {
            true => String::new(),
            false => format!("\n{}", log_kept()),
        };
        return format!("hot_standby = off\n{}{kept}", waits());
    };
    let mut lines = vec!["hot_standby = on".to_owned(), log_kept()];
    if follows {
        let name = &replication.name;
        lines.extend([
            format!(
                "primary_conninfo = {}",
                quoted(&connection(home, upstream, name))
            ),
            format!("primary_slot_name = {}", quoted(name)),
            "wal_retrieve_retry_interval = '500ms'".to_owned(),
        ]);
    }
    if replication.is_spread() {
        // Once it takes writes, there is no moment in which a commit waits for nobody.
        lines.push(waits());
    }
    lines.join("\n")
}

/// How a server, or a program that runs as its user, reaches the one that it follows.
///
/// Over the network it asks for TLS, and for a channel that is bound to the proof of the password: nobody
/// but a server that knows it, too, can be at the other end, whatever certificate is shown.
pub(super) fn connection(home: &Home, upstream: &Upstream, name: &str) -> String {
    let quoted = |path: &Path| {
        let text = path.display().to_string();
        text.replace('\\', "\\\\").replace('\'', "\\'")
    };
    let role = format!("user={REPLICATOR} dbname={ADMIN} application_name={name}");
    let port = upstream.port;
    match upstream.term {
        None => format!("host='{}' port={port} {role}", quoted(&upstream.socket_dir)),
        Some(_) => format!(
            "host='{}' port={port} {role} passfile='{}' sslmode=require channel_binding=require \
             gssencmode=disable connect_timeout=5 keepalives_idle=5 keepalives_interval=2 keepalives_count=3",
            quoted(Path::new(&upstream.host)),
            quoted(&home.conf().join(PEER_PASSWORD)),
        ),
    }
}

/// What the cluster's owner chose. None of it is set above where Snapferry needs its own value.
fn chosen_settings(chosen: &Values) -> String {
    let mut text = String::new();
    for (name, value) in chosen {
        match name.as_str() {
            FORCE_TLS | SYNCHRONOUS_BACKUP => {}
            LOGICAL if chosen::is_yes(value) => text.push_str("wal_level = logical\n"),
            LOGICAL => {}
            name => text.push_str(&format!("{name} = {}\n", quoted(value))),
        }
    }
    match text.is_empty() {
        true => text,
        false => format!("\n# Chosen by parameter groups.\n{text}"),
    }
}

/// The values of these settings that say more than the server's own defaults, by name.
pub(super) fn own_values() -> HashMap<String, String> {
    let home = Home {
        dir: "/".into(),
        socket_dir: "/".into(),
        host: String::new(),
        port: 0,
        os_uid: None,
        os_uid_shared: false,
        version: String::new(),
        replication: Replication::default(),
    };
    let settings = server_settings(&home, Purpose::Serve, None, false, true);
    let lines = settings.lines().filter_map(|line| line.split_once(" = "));
    lines
        .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
        .collect()
}

/// Where a server with these settings listens.
pub(super) fn address_in(settings: &str) -> Option<SocketAddr> {
    let value = |key: &str| {
        let mut lines = settings.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))
    };
    let host = value("listen_addresses")?.trim_matches('\'').parse().ok()?;
    Some(SocketAddr::new(host, value("port")?.parse().ok()?))
}

fn access_rules(home: &Home, tls: Option<&Tls>, chosen: &Values) -> String {
    // The socket's folder lets in nobody but the servers' own user, who can read the files anyway.
    let followers = match home.replication.is_shared() && !home.replication.is_spread() {
        true => format!("local replication {REPLICATOR} trust\nlocal {ADMIN} {REPLICATOR} trust\n"),
        false => String::new(),
    };
    // Those on other nodes come from addresses that nobody here knows; the secret is theirs alone.
    let afar = match home.replication.is_spread() {
        true => format!(
            "hostssl replication {REPLICATOR} all scram-sha-256\nhostssl {ADMIN} {REPLICATOR} all scram-sha-256\n"
        ),
        false => String::new(),
    };
    let forced = chosen
        .get(FORCE_TLS)
        .is_some_and(|value| chosen::is_yes(value));
    // A server that speaks none lets nobody in then.
    let (kind, others) = match forced || tls.is_some_and(|tls| tls.forced) {
        true => ("hostssl", "hostnossl all all all reject\n"),
        false => ("host", ""),
    };
    format!(
        "\
# Written by snapferry at every start: changes here are lost. The first rule that fits counts.
local all,replication {ADMIN} peer map=snapferry
local all {CHECKER} peer map=snapferry
{followers}local all all reject
{afar}host all {ADMIN},{REPLICATOR} all reject
host all {CHECKER} all reject
host {ADMIN} all all reject
{kind} all all all scram-sha-256
{others}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(dir: &str, sockets: &str, host: &str) -> Home {
        Home {
            dir: dir.into(),
            socket_dir: sockets.into(),
            host: host.to_owned(),
            port: 15_432,
            os_uid: None,
            os_uid_shared: false,
            version: "15.18".to_owned(),
            replication: Default::default(),
        }
    }

    #[test]
    fn what_could_break_out_of_a_setting_is_refused() {
        assert!(check(&home("/d/a", "/s", "127.0.0.1")).is_ok());
        assert!(check(&home("/d/a", "/s", "::1")).is_ok());
        assert!(check(&home("/d/it's", "/s's", "localhost")).is_ok());
        for (dir, sockets, host) in [
            ("/d", "/s", "*"),
            ("/d", "/s", "a'\nport = 1"),
            ("/d\nx", "/s", "h"),
            ("d", "/s", "h"),
            ("/d", "/s,/t", "h"),
            ("/d", "@s", "h"),
        ] {
            assert!(
                check(&home(dir, sockets, host)).is_err(),
                "{dir} {sockets} {host}"
            );
        }
        let long = format!("/{}", "s".repeat(100));
        let error = check(&home("/d", &long, "h")).expect_err("too long");
        assert!(error.to_string().contains("103 bytes"), "{error}");
    }

    #[test]
    fn the_address_is_found_in_the_settings() {
        for host in ["127.77.1.2", "::1"] {
            let text =
                server_settings(&home("/d/a", "/s", host), Purpose::Serve, None, false, true);
            let found = address_in(&text).map(|found| (found.ip().to_string(), found.port()));
            assert_eq!(found, Some((host.to_owned(), 15_432)));
        }
        assert_eq!(address_in("port = 1"), None);
    }

    #[test]
    fn a_server_follows_or_has_followers_that_its_commits_wait_for() {
        let alone = home("/d/a", "/s", "127.0.0.1");
        let text = server_settings(&alone, Purpose::Serve, None, false, true);
        assert!(text.contains("synchronous_standby_names = ''") && !text.contains("primary"));
        assert!(!text.contains(&log_kept()));
        assert!(!access_rules(&alone, None, &Values::new()).contains("trust"));
        let mut writer = alone.clone();
        writer.replication.followers = vec!["member_b".to_owned(), "member_c".to_owned()];
        writer.replication.synchronous = writer.replication.followers.clone();
        let text = server_settings(&writer, Purpose::Serve, None, false, true);
        let with_vault = server_settings(&writer, Purpose::Serve, None, true, true);
        let all = r#"synchronous_standby_names = 'ANY 3 ("vault_log", "member_b", "member_c")'"#;
        assert!(with_vault.contains(all), "{with_vault}");
        assert_eq!(waited_for(&[], true), r#"ANY 1 ("vault_log")"#);
        let expected = r#"synchronous_standby_names = 'ANY 1 ("member_b", "member_c")'"#;
        assert!(
            text.contains(expected) && text.contains(&log_kept()),
            "{text}"
        );
        assert!(
            access_rules(&writer, None, &Values::new())
                .contains("local replication rdsrepladmin trust")
        );
        for purpose in [Purpose::Recover, Purpose::Alone] {
            let text = server_settings(&writer, purpose, None, true, true);
            assert!(!text.contains("synchronous_standby"), "nothing may wait");
        }
        let mut reader = alone;
        reader.replication.name = "member_b".to_owned();
        reader.replication.upstream = Some(Upstream {
            socket_dir: "/it's".into(),
            port: 5,
            host: "h".to_owned(),
            dir: "/d".into(),
            term: None,
        });
        let text = server_settings(&reader, Purpose::Serve, None, false, true);
        let expected = r"primary_conninfo = 'host=''/it\\''s'' port=5 user=rdsrepladmin dbname=rdsadmin application_name=member_b'";
        assert!(
            text.contains(expected) && text.contains(&log_kept()),
            "{text}"
        );
        reader.replication.name = "a\" b".to_owned();
        assert!(check(&reader).is_err());
    }

    #[test]
    fn a_server_on_another_node_is_followed_with_a_secret_over_tls() {
        let mut reader = home("/d/a", "/s", "127.0.0.1");
        let secret = crate::PeerSecret {
            password: "open sesame".to_owned().into(),
            mark: "m1".to_owned(),
        };
        reader.replication.name = "member_b".to_owned();
        reader.replication.synchronous = vec!["member_a".to_owned(), "member_c".to_owned()];
        reader.replication.secret = Some(secret);
        reader.replication.upstream = Some(Upstream {
            socket_dir: "/s".into(),
            port: 5,
            host: "10.0.0.1".to_owned(),
            dir: "/d".into(),
            term: Some(2),
        });
        let text = |follows| server_settings(&reader, Purpose::Serve, None, false, follows);
        let waits = r#"synchronous_standby_names = 'ANY 1 ("member_a", "member_c")'"#;
        let follows = text(true);
        for part in [
            "host=''10.0.0.1'' port=5",
            "sslmode=require channel_binding=require",
            waits,
        ] {
            assert!(follows.contains(part), "{part}: {follows}");
        }
        assert!(!follows.contains("sesame"));
        let left = text(false);
        assert!(!left.contains("primary_conninfo") && left.contains(waits));
        let recovering = server_settings(&reader, Purpose::Recover, None, false, true);
        assert!(recovering.contains(waits), "clients may be let in");
        let rules = access_rules(&reader, None, &Values::new());
        let (ours, others) = (
            rules.find("hostssl rdsadmin rdsrepladmin all scram-sha-256"),
            rules.find("host all rdsadmin,rdsrepladmin all reject"),
        );
        assert!(ours.is_some() && ours < others, "{rules}");
        assert!(!rules.contains("trust"));
    }

    #[test]
    fn what_was_chosen_comes_last_and_forces_tls() {
        let chosen = [
            ("work_mem", "8192"),
            (FORCE_TLS, "1"),
            (LOGICAL, "1"),
            ("search_path", "it's"),
        ];
        let chosen: Values = chosen
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let text = chosen_settings(&chosen);
        assert!(
            text.ends_with("wal_level = logical\nsearch_path = 'it''s'\nwork_mem = '8192'\n"),
            "{text}"
        );
        assert_eq!(chosen_settings(&Values::new()), "");
        let home = home("/d/a", "/s", "::1");
        let rules = |chosen: &Values| access_rules(&home, None, chosen);
        assert!(
            !rules(&Values::new()).contains("hostssl"),
            "nothing forces it"
        );
        let forced = rules(&chosen);
        assert!(
            forced.contains("\nhostssl all all all scram")
                && !forced.contains("\nhost all all all"),
            "a server without TLS lets nobody in then: {forced}"
        );
        assert_eq!(own_values()["shared_buffers"], "32MB");
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quoted(r"it's a \"), r"'it''s a \\'");
    }
}
