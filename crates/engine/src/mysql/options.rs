//! What a server is begun with. All of it comes from the command line and from files of ours beside the data
//! folder, where the server's user cannot change them: nothing that lies among the data is ever a setting.
use std::{
    ffi::OsString,
    fs,
    os::unix::{fs::symlink, net::UnixStream},
    path::PathBuf,
};

use super::{
    install::{Install, SOCKET_MODULE},
    quoted::quoted_text,
    replicating::{Purpose, logs, replicating},
    semi_sync,
};
use crate::{
    certify::Tls,
    error::EngineError,
    folder::Folder,
    home::{Home, shown},
    hosting::{
        address,
        chosen::{self, Values},
        files::{make_folder, replace},
        identity, users,
    },
};

/// The user of Snapferry's own sessions.
pub(super) const ADMIN: &str = "rdsadmin";

/// Memory for pages of a server that serves.
pub(super) const POOL_BYTES: u64 = 32 << 20;
/// And of one that recovers a dump: with less it reads the same pages again and again.
const RECOVERY_POOL_BYTES: u64 = 256 << 20;
/// Bytes of the log that a server keeps before it writes pages down.
const LOG_CAPACITY_BYTES: u64 = 100 << 20;

/// Modules that a server may load. It sees no others, whatever its tables name.
const LOADABLE: [&str; 5] = [
    SOCKET_MODULE,
    HASHING_MODULE,
    REFERENCE_MODULE,
    semi_sync::MODULES[0],
    semi_sync::MODULES[1],
];
/// MD5() and SHA1(), which left the server in 9.x.
pub(super) const HASHING_MODULE: &str = "component_classic_hashing.so";

/// A part of the server's own that it loads at every start where there is one.
const REFERENCE_MODULE: &str = "component_reference_cache.so";

const SOCKET: &str = "mysql.sock";
const NUMBER: &str = "mysqld.pid";
/// Statements that a server runs before it takes sessions.
const FIRST_STATEMENTS: &str = "init.sql";
/// Links to the modules of [`LOADABLE`].
const MODULES: &str = "modules";
/// Bytes of a socket's full name at most: the system has 108 with the closing zero, and some
/// tools fewer.
const SOCKET_PATH_BYTES_MAX: usize = 103;

/// The settings of every server that say more than its own defaults. What parameters may set of them is what
/// `parameters` does not keep.
pub(super) const OWN: &[(&str, &str)] = &[
    ("mysqlx", "OFF"),
    ("persisted_globals_load", "OFF"),
    ("secure_file_priv", "NULL"),
    ("local_infile", "OFF"),
    ("skip_name_resolve", "ON"),
    ("log_output", "NONE"),
    ("log_error_verbosity", "2"),
    // Rows that name another server may lie in a snapshot.
    ("skip_replica_start", "ON"),
    ("innodb_flush_log_at_trx_commit", "1"),
    ("innodb_flush_method", "fsync"),
    ("innodb_doublewrite", "ON"),
    ("partial_revokes", "ON"),
    ("lower_case_table_names", "0"),
    ("auto_generate_certs", "OFF"),
    (
        "disabled_storage_engines",
        "MyISAM,MRG_MYISAM,CSV,ARCHIVE,BLACKHOLE,FEDERATED,EXAMPLE",
    ),
    ("default_time_zone", "+00:00"),
    // What a cluster takes while nobody uses it.
    ("performance_schema", "OFF"),
    ("table_open_cache", "400"),
    ("table_definition_cache", "400"),
    ("innodb_log_buffer_size", "8388608"),
    ("key_buffer_size", "1048576"),
    ("host_cache_size", "0"),
];

/// Checks what becomes options before anything is written.
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
        // A colon separates folders in the server's setting.
        let legal = |text: &str| {
            dir.is_absolute() && !text.chars().any(|c| c.is_control() || c == ':' || c == ';')
        };
        if !dir.to_str().is_some_and(legal) {
            return refuse(
                what,
                &shown(dir),
                "must be absolute, without colons, semicolons and control characters",
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
pub(super) fn socket_path(home: &Home) -> PathBuf {
    home.socket_dir.join(SOCKET)
}

/// The folder of the server's own temporary files.
pub(super) fn temporary(home: &Home) -> PathBuf {
    home.dir.join("tmp")
}

/// What belongs to a program, whatever it is begun for.
pub(super) fn of_install(install: &Install) -> Vec<OsString> {
    let mut words = vec!["--no-defaults".into(), option("basedir", &install.root)];
    if let Some(shared) = &install.shared {
        words.push(option("lc_messages_dir", shared));
        words.push(option("character_sets_dir", shared.join("charsets")));
    }
    words
}

pub(super) fn option(name: &str, value: impl Into<OsString>) -> OsString {
    let mut word = OsString::from(format!("--{name}="));
    word.push(value.into());
    word
}

/// What the server's programs call variables that have other names once they run.
const RENAMED: [(&str, &str); 1] = [("time_zone", "default_time_zone")];

/// The name of a variable among the program's options.
pub(super) fn option_name(variable: &str) -> &str {
    let renamed = RENAMED.iter().find(|(name, _)| *name == variable);
    renamed.map_or(variable, |(_, option)| option)
}

/// A variable's value as an option.
pub(super) fn of_parameter(variable: &str, value: &str) -> OsString {
    option(option_name(variable), value)
}

/// The words that begin a home's server.
///
/// # Errors
/// When what was chosen for it cannot be read.
pub(super) fn words(
    home: &Home,
    install: &Install,
    purpose: Purpose,
    tls: Option<&Tls>,
) -> Result<Vec<OsString>, EngineError> {
    let conf = home.conf();
    let mut words = of_install(install);
    words.extend(OWN.iter().map(|(name, value)| option(name, *value)));
    words.extend([
        option("datadir", home.data()),
        option("tmpdir", temporary(home)),
        option("socket", socket_path(home)),
        option("pid_file", home.socket_dir.join(NUMBER)),
        option("plugin_dir", conf.join(MODULES)),
        option("plugin_load_add", SOCKET_MODULE),
        option("init_file", conf.join(FIRST_STATEMENTS)),
        option("innodb_redo_log_capacity", LOG_CAPACITY_BYTES.to_string()),
    ]);
    match tls {
        Some(tls) => {
            words.push(option("ssl_cert", conf.join(identity::CERTIFICATE)));
            words.push(option("ssl_key", conf.join(identity::KEY)));
            words.push(option("tls_version", "TLSv1.2,TLSv1.3"));
            let forced = if tls.forced { "ON" } else { "OFF" };
            words.push(option("require_secure_transport", forced));
        }
        None => words.push(option("tls_version", "")),
    }
    let pool = match purpose {
        Purpose::Serve | Purpose::Confirm | Purpose::Ask => POOL_BYTES,
        Purpose::Recover | Purpose::Alone | Purpose::Replay => RECOVERY_POOL_BYTES,
    };
    words.push(option("innodb_buffer_pool_size", pool.to_string()));
    match purpose {
        Purpose::Serve | Purpose::Confirm => words.extend(listening(home)),
        Purpose::Recover => {
            words.extend(listening(home));
            words.push(option("offline_mode", "ON"));
        }
        Purpose::Alone | Purpose::Ask | Purpose::Replay => {
            words.push("--skip-networking".into());
        }
    }
    if matches!(purpose, Purpose::Recover | Purpose::Replay) {
        words.push(option("event_scheduler", "OFF"));
        words.push(option("log_error_verbosity", "3"));
    }
    if purpose.serves() {
        // A dump is recovered by our own settings alone. The last word counts.
        let chosen: Values = chosen::in_effect(home)?;
        words.extend(chosen.iter().map(|(name, value)| of_parameter(name, value)));
        if logs(home)?
            && let Some(settings) = semi_sync::settings(home, install)?
        {
            let modules = semi_sync::MODULES.iter();
            words.extend(modules.map(|name| option("plugin_load_add", name)));
            words.extend(settings.iter().map(|(name, value)| option(name, value)));
        }
    }
    if purpose == Purpose::Confirm {
        // Behind what was chosen for it.
        words.push(option("offline_mode", "ON"));
        words.push(option("event_scheduler", "OFF"));
    }
    let replicating = replicating(home, purpose, has_source(home))?;
    words.extend(replicating.iter().map(|(name, value)| option(name, value)));
    Ok(words)
}

/// Whether the server that a home's follows takes connections.
fn has_source(home: &Home) -> bool {
    let upstream = home.replication.upstream.as_ref();
    let source = upstream.map(|upstream| socket_path(&upstream.home(home)));
    source.is_none_or(|socket| UnixStream::connect(socket).is_ok())
}

fn listening(home: &Home) -> [OsString; 2] {
    [
        option("port", home.port.to_string()),
        option("bind_address", &home.host),
    ]
}

/// Writes the files that a server reads when it begins: its first statements, its modules, its certificate.
///
/// # Errors
/// When a file cannot be written, or there is no certificate.
pub(super) fn write(home: &Home, install: &Install, tls: Option<&Tls>) -> Result<(), EngineError> {
    let dir = home.conf();
    let failed = |source| EngineError::io("write the server's settings in", &dir, source);
    make_folder(&dir, 0o711).map_err(failed)?;
    write_identity(home, tls)?;
    let statements = first_statements(&users::need_own_user_name()?);
    replace(&dir, FIRST_STATEMENTS, statements.as_bytes(), home.os_uid).map_err(failed)?;
    link_modules(home, install).map_err(failed)
}

/// Writes the certificate that the server is to show, where that is another one than it has. Answers whether
/// it is.
///
/// # Errors
/// As [`write`].
pub(super) fn write_identity(home: &Home, tls: Option<&Tls>) -> Result<bool, EngineError> {
    match tls {
        Some(tls) => identity::write(home, tls),
        None => Ok(false),
    }
}

/// Where a home's server sees a module, if it may load it and there is one.
pub(super) fn module(home: &Home, name: &str) -> PathBuf {
    home.conf().join(MODULES).join(name)
}

fn link_modules(home: &Home, install: &Install) -> std::io::Result<()> {
    let modules = home.conf().join(MODULES);
    make_folder(&modules, 0o711)?;
    for name in LOADABLE {
        let (link, to) = (modules.join(name), install.modules.join(name));
        match fs::remove_file(&link) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if to.try_exists()? {
            symlink(to, link)?;
        }
    }
    Ok(())
}

/// The administrator's user is told by who is at the socket's other end. Nobody has a password that does as
/// much, and nobody else is left of those that a new data folder has.
fn first_statements(own_user: &str) -> String {
    let (admin, own_user) = (quoted_text(ADMIN), quoted_text(own_user));
    let way = format!("IDENTIFIED WITH auth_socket AS {own_user}");
    // Every server of a cluster sees to its own.
    format!(
        "SET sql_log_bin = 0;\n\
         CREATE USER IF NOT EXISTS {admin}@'localhost' {way};\n\
         ALTER USER {admin}@'localhost' {way} ACCOUNT UNLOCK PASSWORD EXPIRE NEVER;\n\
         GRANT ALL PRIVILEGES ON *.* TO {admin}@'localhost' WITH GRANT OPTION;\n\
         DROP USER IF EXISTS 'root'@'localhost';\n"
    )
}

/// Notes where the server that is about to begin listens, if it is for clients.
///
/// # Errors
/// When it cannot be written.
pub(super) fn note_address(home: &Home, purpose: Purpose) -> Result<(), EngineError> {
    let path = home.dir.join(address::NOTE);
    let failed = |source| EngineError::io("write the server's settings in", &path, source);
    let (Some(dir), Some(name)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        return Ok(());
    };
    let note = match purpose.has_address() {
        true => address::note(home),
        false => String::new(),
    };
    replace(dir, name, note.as_bytes(), None)
        .map(drop)
        .map_err(failed)
}

/// Whether the running server was begun at the home's address.
///
/// # Errors
/// When that cannot be read.
pub(super) fn listens_as_wanted(home: &Home) -> Result<bool, EngineError> {
    let path = home.dir.join(address::NOTE);
    let socket = socket_path(home);
    let has_socket = socket.try_exists();
    let has_socket = has_socket.map_err(|source| EngineError::io("look at", &socket, source))?;
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text == address::note(home) && has_socket),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(EngineError::io("read", path, error)),
    }
}

/// Removes what a server that is gone left behind, and what could steer a new one.
///
/// # Errors
/// When it cannot be removed.
pub(super) fn clear_traces(home: &Home) -> Result<(), EngineError> {
    let data = home.data();
    let failed = |source| EngineError::io("clear", &data, source);
    let folder = Folder::open(&data).map_err(failed)?;
    for name in [
        "my.cnf",
        "mysqld.my",
        "mysqld-auto.cnf",
        "mysqld-auto.cnf.backup",
    ] {
        folder.unlink(name).map_err(failed)?;
    }
    let failed = |source| EngineError::io("clear", &home.socket_dir, source);
    let folder = match Folder::open(&home.socket_dir) {
        Ok(folder) => folder,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for name in [
        SOCKET.to_owned(),
        format!("{SOCKET}.lock"),
        NUMBER.to_owned(),
    ] {
        folder.unlink(&name).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(dir: &str, host: &str) -> Home {
        Home {
            dir: dir.into(),
            socket_dir: "/s".into(),
            host: host.to_owned(),
            port: 3_307,
            os_uid: None,
            os_uid_shared: false,
            version: "9.7.4".to_owned(),
            replication: Default::default(),
        }
    }

    #[test]
    fn what_could_break_out_of_an_option_is_refused() {
        assert!(check(&home("/d/a", "127.0.0.1")).is_ok());
        assert!(check(&home("/d/it's", "::1")).is_ok());
        for (dir, host) in [
            ("/d", "*"),
            ("/d", "a --x"),
            ("/d\nx", "h"),
            ("d", "h"),
            ("/d:e", "h"),
        ] {
            assert!(check(&home(dir, host)).is_err(), "{dir} {host}");
        }
    }

    #[test]
    fn names_in_the_first_statements_are_quoted() {
        let text = first_statements("o'hara");
        assert!(
            text.contains("AS 'o''hara'") && text.lines().count() == 5,
            "{text}"
        );
    }
}
