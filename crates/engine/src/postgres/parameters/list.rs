//! What parameters the servers of a version have: the server's own list, asked of a scratch cluster that
//! is thrown away. The program alone tells neither units nor choices (`postgres --describe-config`).
use std::{
    collections::HashMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use model::{Entropy, SystemEntropy};
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    nobody,
    owned::{self, FORCE_TLS, LOGICAL},
};
use crate::hosting::{
    child::{last_lines, run_as},
    files,
};
use crate::{
    blocking::blocking,
    error::EngineError,
    parameters::{Parameter, ParameterType, SYNCHRONOUS_BACKUP},
    postgres::{
        conf, create::run_initdb, extensions, handle::Postgres, install::Install, profile::PROFILE,
    },
    programs::command,
    removal::remove_tree,
};

/// How long the server's program may take.
const ASK_WAIT: Duration = Duration::from_secs(60);
/// Columns of a line of the answer.
const COLUMNS: usize = 10;
/// What is asked. Single-user mode takes one statement a line.
const STATEMENT: &str = "COPY (SELECT name, context, vartype, coalesce(unit, ''), coalesce(min_val, ''), \
    coalesce(max_val, ''), coalesce(array_to_string(enumvals, ','), ''), coalesce(boot_val, ''), category, \
    short_desc FROM pg_catalog.pg_settings WHERE context <> 'internal' ORDER BY name) TO STDOUT\n";
/// What single-user mode writes before the answer to a statement.
const PROMPT: &str = "backend> ";

impl Postgres {
    /// The parameters of a version's servers, by name.
    pub(in crate::postgres) async fn list(
        &self,
        version: &str,
    ) -> Result<Arc<Vec<Parameter>>, EngineError> {
        let install = self.installs.of(version)?;
        if let Some(found) = self.lists.get(&install.version) {
            return Ok(found);
        }
        let forced = self.tls.get().is_some_and(|tls| tls.forced);
        let made = Arc::new(ask(install, forced).await?);
        self.lists.keep(&install.version, made.clone());
        Ok(made)
    }
}

/// Asks a cluster that is made for that.
async fn ask(install: &Install, tls_is_forced: bool) -> Result<Vec<Parameter>, EngineError> {
    let libraries = owned::libraries(install);
    let folder = scratch()?;
    let answer = ask_in(install, &folder, &libraries).await;
    let tree = folder.clone();
    blocking(move || remove_tree(&tree).map_err(EngineError::removal)).await?;
    let answer = answer?;
    let mut own = conf::own_values();
    let preloaded = extensions::PRELOADED.into_iter();
    let preloaded = preloaded.filter(|name| libraries.iter().any(|found| found == name));
    own.insert(
        owned::PRELOADED.to_owned(),
        preloaded.collect::<Vec<_>>().join(","),
    );
    let mut found: Vec<Parameter> = answer
        .lines()
        .filter_map(|line| read(line, &libraries, &own))
        .collect();
    found.extend(beside(tls_is_forced));
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// A folder that the program's user can enter.
fn scratch() -> Result<PathBuf, EngineError> {
    let name = format!("snapferry-parameters-{}", SystemEntropy.uuid().simple());
    let folder = std::env::temp_dir().join(name);
    let failed = |source| EngineError::io("make the folder", &folder, source);
    fs::create_dir(&folder).map_err(failed)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).map_err(failed)?;
    Ok(folder)
}

async fn ask_in(
    install: &Install,
    folder: &Path,
    libraries: &[String],
) -> Result<String, EngineError> {
    let data = folder.join("data");
    let failed = |source| EngineError::io("make the folder", &data, source);
    files::make_folder(&data, 0o700).map_err(failed)?;
    run_initdb(install.program("initdb"), &data, nobody()).await?;
    let program = install.program("postgres");
    let mut server = command(&program);
    server.arg("--single").arg("-D").arg(&data);
    server
        .arg("-c")
        .arg(format!("shared_preload_libraries={}", libraries.join(",")));
    server.args(["-c", "fsync=off", "-c", "log_checkpoints=off", "template1"]);
    server.current_dir("/");
    run_as(&mut server, nobody());
    let mut server = tokio::process::Command::from(server);
    server
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let asked = async {
        let mut child = server.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(STATEMENT.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let wrong = |status: String, tail: &[u8]| EngineError::Program {
        title: PROFILE.title,
        program: "postgres",
        status,
        tail: last_lines(tail),
    };
    let Ok(output) = timeout(ASK_WAIT, asked).await else {
        return Err(wrong("no end in time".to_owned(), &[]));
    };
    let output = output.map_err(|source| EngineError::io("run", program, source))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(wrong(output.status.to_string(), &output.stderr)),
    }
}

/// Reads a line of the answer; none for what is no parameter.
fn read(line: &str, libraries: &[String], own: &HashMap<String, String>) -> Option<Parameter> {
    let line = line.strip_prefix(PROMPT).unwrap_or(line);
    let fields: Vec<&str> = line.split('\t').collect();
    let [
        name,
        context,
        kind,
        unit,
        least,
        most,
        words,
        default,
        category,
        about,
    ] = *fields
        .first_chunk::<COLUMNS>()
        .filter(|_| fields.len() == COLUMNS)?;
    let words = || -> Vec<String> { words.split(',').map(str::to_owned).collect() };
    let values = match kind {
        "bool" => ParameterType::Boolean,
        "integer" => ParameterType::Integer(least.parse().ok()?, most.parse().ok()?),
        "real" => ParameterType::Real(least.to_owned(), most.to_owned()),
        "enum" => ParameterType::Choice(words()),
        _ if name == owned::PRELOADED => ParameterType::List(libraries.to_vec()),
        _ => ParameterType::Text,
    };
    let description = match unit {
        "" => about.to_owned(),
        unit => format!("({unit}) {about}"),
    };
    let kept = owned::kept(name, category, kind);
    let own = own.get(name).filter(|_| kept.is_none());
    Some(Parameter {
        description,
        default: Some(unescaped(default)).filter(|default| !default.is_empty()),
        own: own
            .map(|own| in_units(own, unit))
            .filter(|own| !own.is_empty()),
        is_static: context == "postmaster",
        kept,
        name: name.to_owned(),
        values,
    })
}

/// As COPY writes a backslash.
fn unescaped(text: &str) -> String {
    text.replace("\\\\", "\\")
}

/// `32MB` of units of 8 kB is 4096.
fn in_units(value: &str, unit: &str) -> String {
    let split = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    let (number, suffix) = value.split_at(split);
    let kilobytes = |suffix: &str| match suffix {
        "kB" => Some(1),
        "8kB" => Some(8),
        "MB" => Some(1 << 10),
        "GB" => Some(1 << 20),
        _ => None,
    };
    let scaled = || {
        let number: u64 = number.parse().ok()?;
        Some((number * kilobytes(suffix)? / kilobytes(unit)?).to_string())
    };
    scaled().unwrap_or_else(|| value.to_owned())
}

/// What RDS and Snapferry have beside the server's own.
fn beside(tls_is_forced: bool) -> [Parameter; 3] {
    let yes_or_no = |name: &str, description: &str, is_on: bool, is_static| Parameter {
        name: name.to_owned(),
        description: description.to_owned(),
        values: ParameterType::Boolean,
        default: Some(u8::from(is_on).to_string()),
        own: None,
        is_static,
        kept: None,
    };
    let mut force = yes_or_no(
        FORCE_TLS,
        "See SSL documentation; 0: clients may come without TLS, 1: they are refused.",
        tls_is_forced,
        false,
    );
    if tls_is_forced {
        // What the deployment forces, no group takes back.
        force.values = ParameterType::Choice(vec!["1".to_owned()]);
    }
    let about = "Whether the write-ahead log tells what logical decoding needs.";
    let logical = yes_or_no(LOGICAL, about, false, true);
    let about = "Whether a commit waits until its log is in the vault.";
    [
        force,
        logical,
        yes_or_no(SYNCHRONOUS_BACKUP, about, false, false),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let own = HashMap::from([("shared_buffers".to_owned(), "32MB".to_owned())]);
        let line = "backend> shared_buffers\tpostmaster\tinteger\t8kB\t16\t1073741823\t\t16384\tResource Usage / Memory\tSets it.";
        let found = read(line, &[], &own).expect("a parameter");
        assert_eq!(found.description, "(8kB) Sets it.");
        assert_eq!(
            (found.own.as_deref(), found.default.as_deref()),
            (Some("4096"), Some("16384"))
        );
        assert_eq!(found.allowed().as_deref(), Some("16-1073741823"));
        assert!(found.is_static && found.kept.is_none());
        let line = "log_statement\tsuperuser\tenum\t\t\t\tnone,ddl\tnone\tReporting and Logging / What to Log\tSets it.";
        let found = read(line, &[], &own).expect("a parameter");
        assert_eq!(found.allowed().as_deref(), Some("none,ddl"));
        assert!(!found.is_static);
        assert_eq!(
            read("PostgreSQL stand-alone backend 15.18", &[], &own),
            None
        );
        assert_eq!(read("backend> ", &[], &own), None);
    }
}
