//! What variables the servers of a version have: the server's own list, asked of a scratch cluster that is
//! thrown away. The program alone tells neither types nor bounds (`mysqld --verbose --help`).
use std::{
    collections::BTreeSet, fs, os::unix::fs::PermissionsExt, process::Stdio, sync::Arc,
    time::Duration,
};

use model::{Entropy, SystemEntropy};
use tokio::time::timeout;

use super::owned;
use crate::{
    blocking::blocking,
    error::EngineError,
    home::Home,
    hosting::{
        child::{own_uid, run_as},
        users,
    },
    mysql::{
        handle::MySql,
        install::Install,
        options::{self, OWN, POOL_BYTES, option_name},
        process::SERVER,
        profile::PROFILE,
        quoted::quoted_name,
        replicating::Purpose,
        session::{Session, code_of},
    },
    parameters::{Parameter, ParameterType},
    programs::command,
    removal::remove_tree,
};

/// How long the server's program may take to list its options.
const HELP_WAIT: Duration = Duration::from_secs(20);
/// "Variable is a read only variable", and one of which there is none but a session's.
const READ_ONLY: u16 = 1_238;
/// Versions that tell what a variable is and does.
const METADATA: &str = "SELECT VARIABLE_NAME, DATA_TYPE, coalesce(MIN_VALUE, ''), coalesce(MAX_VALUE, ''), \
    coalesce(DOCUMENTATION, '') FROM performance_schema.variables_metadata \
    WHERE VARIABLE_SCOPE <> 'SESSION_ONLY' ORDER BY VARIABLE_NAME";
/// Older ones tell bounds alone.
const INFO: &str = "SELECT i.VARIABLE_NAME, '', coalesce(i.MIN_VALUE, ''), coalesce(i.MAX_VALUE, ''), '' \
    FROM performance_schema.variables_info i JOIN performance_schema.global_variables g USING (VARIABLE_NAME) \
    ORDER BY i.VARIABLE_NAME";
/// The variable by which clients without TLS are refused.
const FORCE_TLS: &str = "require_secure_transport";

/// What a server tells of a variable.
struct Told {
    name: String,
    kind: String,
    least: String,
    most: String,
    about: String,
    value: String,
    is_static: bool,
}

impl MySql {
    /// The parameters of a version's servers, by name.
    ///
    /// # Errors
    /// As [`crate::Engine::parameters`].
    pub(in crate::mysql) async fn list(
        &self,
        version: &str,
    ) -> Result<Arc<Vec<Parameter>>, EngineError> {
        let install = self.installs.of(version)?;
        if let Some(found) = self.lists.get(&install.version) {
            return Ok(found);
        }
        let (told, options) = (
            self.ask(&install.version).await?,
            options_of(install).await?,
        );
        let forced = self.tls.get().is_some_and(|tls| tls.forced);
        let mut found: Vec<Parameter> = told.into_iter().map(|one| read(one, forced)).collect();
        for parameter in &mut found {
            if !options.contains(option_name(&parameter.name)) {
                parameter.kept = parameter.kept.or(Some(owned::NO_OPTION));
                parameter.own = None;
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        let made = Arc::new(found);
        self.lists.keep(&install.version, made.clone());
        Ok(made)
    }

    /// Asks a server that is begun for that.
    async fn ask(&self, version: &str) -> Result<Vec<Told>, EngineError> {
        let home = scratch(version)?;
        let asked = async {
            self.make_data(&home).await?;
            self.launch(&home, Purpose::Ask).await?;
            ask_in(&home).await
        };
        let asked = asked.await;
        SERVER.end(&home, Duration::ZERO).await?;
        self.limited.leave(&home);
        blocking(move || remove_tree(&home.dir).map_err(EngineError::removal)).await?;
        asked
    }
}

/// The options of a server's program, as it lists them with their values.
async fn options_of(install: &Install) -> Result<BTreeSet<String>, EngineError> {
    let mut asked = command(&install.program);
    asked.args(options::of_install(install));
    asked.args(["--secure_file_priv=NULL", "--verbose", "--help"]);
    asked
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    run_as(&mut asked, nobody().map(|uid| (uid, uid)));
    let mut asked = tokio::process::Command::from(asked);
    let wrong = |status: String| EngineError::Program {
        title: PROFILE.title,
        program: PROFILE.program,
        status,
        tail: String::new(),
    };
    let Ok(output) = timeout(HELP_WAIT, asked.kill_on_drop(true).output()).await else {
        return Err(wrong("no end in time".to_owned()));
    };
    let output = output.map_err(|source| EngineError::io("run", &install.program, source))?;
    if !output.status.success() {
        return Err(wrong(output.status.to_string()));
    }
    Ok(listed(&String::from_utf8_lossy(&output.stdout)))
}

/// What stands below the line of the list, up to an empty one.
fn listed(help: &str) -> BTreeSet<String> {
    let lines = help.lines().skip_while(|line| !line.starts_with("----"));
    let lines = lines.skip(1).take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.map(|name| name.replace('-', "_")).collect()
}

fn nobody() -> Option<u32> {
    match own_uid() {
        0 => users::helper_user(&["mysql", "nobody"]).map(|(uid, _)| uid),
        _ => None,
    }
}

/// A home that the program's user can enter.
fn scratch(version: &str) -> Result<Home, EngineError> {
    let name = format!("snapferry-parameters-{}", SystemEntropy.uuid().simple());
    let dir = std::env::temp_dir().join(name);
    let failed = |source| EngineError::io("make the folder", &dir, source);
    fs::create_dir(&dir).map_err(failed)?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o711)).map_err(failed)?;
    Ok(Home {
        socket_dir: dir.join("s"),
        host: "127.0.0.1".to_owned(),
        port: 1,
        os_uid: nobody(),
        // Others run as that user, too.
        os_uid_shared: true,
        version: version.to_owned(),
        replication: Default::default(),
        dir,
    })
}

async fn ask_in(home: &Home) -> Result<Vec<Told>, EngineError> {
    let mut session = Session::open(home).await?;
    let doing = "tell its variables";
    let rows = match session.rows(doing, METADATA).await {
        Err(error) if code_of(&error).is_some() => session.rows(doing, INFO).await?,
        told => told?,
    };
    let mut found = Vec::new();
    for row in rows {
        let Ok([name, kind, least, most, about]) = <[Option<String>; 5]>::try_from(row) else {
            continue;
        };
        let Some(name) = name else { continue };
        let shown = format!("SELECT @@GLOBAL.{}", quoted_name(&name));
        let value = match session.rows(doing, &shown).await {
            Ok(rows) => rows.into_iter().flatten().next().flatten(),
            // It is a session's alone.
            Err(error) if code_of(&error).is_some() => continue,
            Err(error) => return Err(error),
        };
        found.push(Told {
            is_static: is_static(&mut session, &name).await?,
            value: value.unwrap_or_default(),
            kind: kind.unwrap_or_default(),
            least: least.unwrap_or_default(),
            most: most.unwrap_or_default(),
            about: about.unwrap_or_default(),
            name,
        });
    }
    session.close().await;
    Ok(found)
}

/// Whether a running server refuses another value. What it is set to is what it has, on a server that is
/// thrown away.
async fn is_static(session: &mut Session, name: &str) -> Result<bool, EngineError> {
    let name = quoted_name(name);
    let set = format!("SET GLOBAL {name} = @@GLOBAL.{name}");
    match session.run("set its variables", &set).await {
        Ok(()) => Ok(false),
        Err(error) => match code_of(&error) {
            Some(code) => Ok(code == READ_ONLY),
            None => Err(error),
        },
    }
}

/// What a server of ours has in place of the server's own default.
fn own(name: &str) -> Option<String> {
    let listed = OWN.iter().find(|(own, _)| *own == name);
    match name {
        "innodb_buffer_pool_size" => Some(POOL_BYTES.to_string()),
        _ => listed.map(|(_, value)| (*value).to_owned()),
    }
}

fn read(told: Told, tls_is_forced: bool) -> Parameter {
    let is_switch = ["ON", "OFF"].contains(&told.value.as_str()) && told.most.is_empty();
    let values = match told.kind.as_str() {
        "Boolean" => ParameterType::Boolean,
        "" if is_switch => ParameterType::Boolean,
        "Integer" | "" => bounds(&told.least, &told.most).unwrap_or(ParameterType::Text),
        "Numeric" => ParameterType::Real(told.least.clone(), told.most.clone()),
        _ => ParameterType::Text,
    };
    let values = match told.name.as_str() {
        // What the deployment forces, no group takes back.
        FORCE_TLS if tls_is_forced => ParameterType::Choice(vec!["1".to_owned()]),
        _ => values,
    };
    let kept = owned::kept(&told.name, &told.kind);
    let value = match (&values, told.value.as_str()) {
        (ParameterType::Boolean | ParameterType::Choice(_), "ON") => "1".to_owned(),
        (ParameterType::Boolean, "OFF") => "0".to_owned(),
        _ => told.value,
    };
    Parameter {
        own: own(&told.name)
            .filter(|_| kept.is_none())
            .map(|_| value.clone()),
        default: Some(value).filter(|value| !value.is_empty()),
        description: told.about,
        is_static: told.is_static,
        kept,
        name: told.name,
        values,
    }
}

/// The greatest ones are greater than a signed number.
fn bounds(least: &str, most: &str) -> Option<ParameterType> {
    let number = |text: &str| {
        let wide: i128 = text.parse().ok()?;
        i64::try_from(wide.min(i128::from(i64::MAX))).ok()
    };
    let (least, most) = (number(least)?, number(most)?);
    (least < most).then_some(ParameterType::Integer(least, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, kind: &str, bounds: (&str, &str), value: &str) -> Told {
        Told {
            name: name.to_owned(),
            kind: kind.to_owned(),
            least: bounds.0.to_owned(),
            most: bounds.1.to_owned(),
            about: String::new(),
            value: value.to_owned(),
            is_static: false,
        }
    }

    #[test]
    fn options_are_read() {
        let help = "usage\n  --x\n\nVariables (--name=value)   Value\n-------- -----\nport    0\nsql-mode   \n\nTo see more\n";
        let names: Vec<String> = listed(help).into_iter().collect();
        assert_eq!(names, ["port", "sql_mode"]);
    }

    #[test]
    fn variables_become_parameters() {
        let of = |told| read(told, false);
        let number = of(told("max_connections", "Integer", ("1", "100000"), "151"));
        assert_eq!(number.allowed().as_deref(), Some("1-100000"));
        assert_eq!((number.default.as_deref(), number.own), (Some("151"), None));
        let wide = of(told("x", "Integer", ("0", "18446744073709551615"), "0"));
        assert_eq!(wide.values, ParameterType::Integer(0, i64::MAX));
        let switch = of(told("big_tables", "Boolean", ("", ""), "OFF"));
        assert_eq!(switch.default.as_deref(), Some("0"));
        let older = of(told("big_tables", "", ("0", ""), "ON"));
        assert_eq!(
            (older.values, older.default.as_deref()),
            (ParameterType::Boolean, Some("1"))
        );
        let modes = of(told("sql_mode", "Set", ("", ""), "ANSI"));
        assert_eq!(modes.values, ParameterType::Text);
        let pool = of(told(
            "innodb_buffer_pool_size",
            "Integer",
            ("5242880", "9"),
            "33554432",
        ));
        assert_eq!(pool.own.as_deref(), Some("33554432"));
        let forced = read(told(FORCE_TLS, "Boolean", ("", ""), "ON"), true);
        assert!(forced.takes("1") && !forced.takes("0"));
    }
}
