//! Values that requests give clusters, and what RDS says of those that are out of their rules.
use std::sync::Arc;

use engine::Engine;
use model::{Cluster, Region, Window, limits::echo};

use crate::action::ActionContext;
use service::fault::Fault;

/// One of a few words.
pub(crate) fn one_of(
    parameter: &str,
    given: Option<String>,
    words: &[&str],
) -> Result<Option<String>, Fault> {
    match given {
        Some(word) if !words.contains(&word.as_str()) => Err(Fault::value(format!(
            "Invalid value {} for {parameter}. It can be {}.",
            echo(&word),
            words.join(" or ")
        ))),
        given => Ok(given),
    }
}

/// The port a caller asks for.
pub(crate) fn port(port: i64) -> Result<u16, Fault> {
    u16::try_from(port)
        .ok()
        .filter(|port| 1_150 <= *port)
        .ok_or_else(|| {
            Fault::value(format!(
                "Invalid value {port} for Port. Must be between 1150 and 65535"
            ))
        })
}

/// Days that automated snapshots are kept.
pub(crate) fn backup_retention(days: i64) -> Result<u32, Fault> {
    u32::try_from(days)
        .ok()
        .filter(|days| (1..=35).contains(days))
        .ok_or_else(|| {
            Fault::value(format!(
                "Invalid value {days} for BackupRetentionPeriod. Must be between 1 and 35"
            ))
        })
}

/// `PreferredBackupWindow`.
pub(crate) fn window(text: &str) -> Result<Window, Fault> {
    Window::daily(text).ok_or_else(|| {
        Fault::value(
            "PreferredBackupWindow must have the format hh24:mi-hh24:mi, in UTC, and last at least 30 minutes.",
        )
    })
}

/// `PreferredMaintenanceWindow`.
pub(crate) fn maintenance_window(text: &str) -> Result<Window, Fault> {
    Window::weekly(text).ok_or_else(|| {
        Fault::value(
            "PreferredMaintenanceWindow must have the format ddd:hh24:mi-ddd:hh24:mi, in UTC, and last at least 30 minutes.",
        )
    })
}

/// The zones a caller names, all of the asked region; or its first three.
pub(crate) fn zones(region: &Region, given: &[String]) -> Result<Vec<String>, Fault> {
    if given.is_empty() {
        return Ok(region.zones());
    }
    let known = |zone: &&String| {
        let letter = zone.strip_prefix(region.as_str());
        letter.is_some_and(|letter| letter.len() == 1 && letter.as_bytes()[0].is_ascii_lowercase())
    };
    match given.iter().find(|zone| !known(zone)) {
        None => Ok(given.to_vec()),
        Some(zone) => Err(Fault::value(format!(
            "Invalid availability zone {}: it is not one of {region}.",
            echo(zone)
        ))),
    }
}

/// What runs an engine's clusters.
pub(crate) fn engine<'a>(cx: &'a ActionContext, name: &str) -> Result<&'a Arc<dyn Engine>, Fault> {
    let engines = &cx.service.engines;
    engines.named(name).map_err(|_| {
        Fault::value(format!(
            "Invalid DB engine: {}. The engines here are {}.",
            echo(name),
            engines.names().join(", ")
        ))
    })
}

/// `EngineMode`.
pub(crate) fn engine_mode(mode: Option<&str>) -> Result<(), Fault> {
    match mode.filter(|mode| *mode != "provisioned") {
        Some(mode) => Err(Fault::value(format!(
            "Invalid EngineMode: {}. The only mode here is provisioned.",
            echo(mode)
        ))),
        None => Ok(()),
    }
}

/// The installed version that serves an engine: exact, the newest of a series, or the newest.
pub(crate) fn engine_version(
    cx: &ActionContext,
    engine: &str,
    asked: Option<&str>,
    mode: Option<&str>,
) -> Result<String, Fault> {
    let found = self::engine(cx, engine)?;
    engine_mode(mode)?;
    let installed = found.installed();
    let fits = |version: &&String| match asked {
        None => true,
        Some(asked) => *version == asked || found.series(version) == asked,
    };
    let version = installed.iter().find(fits).cloned();
    version.ok_or_else(|| no_version(engine, asked.unwrap_or("of any kind"), &installed))
}

fn no_version(engine: &str, asked: &str, installed: &[String]) -> Fault {
    Fault::combination(format!(
        "Cannot find version {} for {engine}. Installed here: {}.",
        echo(asked),
        match installed {
            [] => "none".to_owned(),
            all => all.join(", "),
        }
    ))
}

/// The version that a cluster is to have from its next start on; none when it has it.
pub(crate) fn next_version(
    engine: &dyn Engine,
    cluster: &Cluster,
    asked: &str,
    allow_major: bool,
) -> Result<Option<String>, Fault> {
    let now = cluster.engine_version.as_str();
    if asked == now || asked == engine.series(now) {
        return Ok(None);
    }
    if engine.series(asked) != engine.series(now) && !allow_major {
        return Err(Fault::combination(
            "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.",
        ));
    }
    let numbers = |version: &str| -> Vec<u32> {
        version
            .split('.')
            .map_while(|part| part.parse().ok())
            .collect()
    };
    if engine.series(asked) != engine.series(now) || numbers(asked) < numbers(now) {
        return Err(Fault::combination(format!(
            "Cannot upgrade {} from {now} to {}: a cluster goes to a later minor version of its series only.",
            cluster.engine,
            echo(asked)
        )));
    }
    let installed = engine.installed();
    match installed.iter().find(|version| *version == asked) {
        Some(version) => Ok(Some(version.clone())),
        None => Err(no_version(&cluster.engine, asked, &installed)),
    }
}
