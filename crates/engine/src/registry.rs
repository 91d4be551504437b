//! The engines that there are, by the names that the API has for them.
//!
//! Adding one is its folder and its line in [`ENGINES`].
use std::sync::Arc;

use crate::{
    error::EngineError, interface::Engine, mysql, postgres, profile::Profile, programs::Programs,
};

/// What the registry knows of an engine.
struct Registered {
    profile: &'static Profile,
    open: fn(&Programs) -> Arc<dyn Engine>,
}

/// Every engine.
static ENGINES: &[Registered] = &[
    Registered {
        profile: &postgres::PROFILE,
        open: postgres::open,
    },
    Registered {
        profile: &mysql::PROFILE,
        open: mysql::open,
    },
];

/// What the engine of this name is, whether it is installed or not.
pub fn profile(name: &str) -> Option<&'static Profile> {
    let mut profiles = ENGINES.iter().map(|engine| engine.profile);
    profiles.find(|profile| profile.names.contains(&name))
}

/// The series of an engine's version; of an unknown engine's, the whole of it.
pub fn series_of<'a>(name: &str, version: &'a str) -> &'a str {
    profile(name).map_or(version, |profile| (profile.series)(version))
}

/// Whether a program of this name is the server of an engine; after an upgrade of its package the name
/// ends in ` (deleted)`.
pub(crate) fn is_server(program: &str) -> bool {
    let name = program.split(' ').next().unwrap_or_default();
    ENGINES.iter().any(|engine| engine.profile.program == name)
}

/// What the engine of a parameter group family is: an engine's name, and digits of a version's
/// series. It may not be installed.
pub fn profile_of_family(family: &str) -> Option<&'static Profile> {
    let is_series = |series: &str| {
        series.starts_with(|c: char| c.is_ascii_digit())
            && series.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    let is_of = |name: &&str| family.strip_prefix(name).is_some_and(is_series);
    let mut profiles = ENGINES.iter().map(|engine| engine.profile);
    profiles.find(|profile| profile.names.iter().any(is_of))
}

/// What the first engine is.
#[cfg(feature = "conformance")]
pub(crate) fn first() -> &'static Profile {
    ENGINES[0].profile
}

/// The engines of a process.
#[derive(Debug)]
pub struct EngineRegistry {
    engines: Vec<Arc<dyn Engine>>,
}

impl EngineRegistry {
    /// All that there are; their programs are looked for when they are first needed.
    pub fn open(programs: &Programs) -> Self {
        Self::of(
            ENGINES
                .iter()
                .map(|engine| (engine.open)(programs))
                .collect(),
        )
    }

    /// These.
    pub fn of(engines: Vec<Arc<dyn Engine>>) -> Self {
        Self { engines }
    }

    /// The engine of this name.
    ///
    /// # Errors
    /// [`EngineError::Unknown`].
    pub fn named(&self, name: &str) -> Result<&Arc<dyn Engine>, EngineError> {
        let found = self
            .engines
            .iter()
            .find(|one| one.profile().names.contains(&name));
        found.ok_or_else(|| EngineError::Unknown {
            engine: model::limits::echo(name),
        })
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Engine>> {
        self.engines.iter()
    }

    /// All names.
    pub fn names(&self) -> Vec<&'static str> {
        let names = self.engines.iter().flat_map(|one| one.profile().names);
        names.copied().collect()
    }

    /// Resolves when the server of some home, started or adopted here, has ended.
    pub async fn ended(&self) {
        let any = self.engines.iter().map(|engine| engine.ended());
        futures_util::future::select_all(any).await;
    }
}

#[cfg(test)]
mod tests {
    use model::pages::can_be_checked;

    use super::*;

    #[test]
    fn engines_are_found_by_their_names_and_can_be_served() {
        let registry = EngineRegistry::open(&Programs::default());
        let mut names = registry.names();
        assert!(registry.all().count() == ENGINES.len() && !names.is_empty());
        for name in &names {
            let engine = registry.named(name).expect("it is there");
            assert!(std::ptr::eq(
                engine.profile(),
                profile(name).expect("known")
            ));
            assert!(can_be_checked(engine.profile().page_bytes), "{name}");
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "no name is two engines'");
        let unknown = registry.named("oracle-se2");
        assert!(matches!(unknown, Err(EngineError::Unknown { .. })));
        assert!(profile("oracle-se2").is_none());
    }
}
