//! Parameter group families: an engine's name and a version's series, such as `fake2`.
use std::sync::Arc;

use engine::{Engine, EngineRegistry};

/// The family of an engine's version.
pub fn of(engine: &dyn Engine, name: &str, version: &str) -> String {
    format!("{name}{}", engine.series(version))
}

/// A family whose programs are installed.
#[derive(Debug, Clone)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// What runs its clusters.
    pub engine: Arc<dyn Engine>,
    /// The newest version of it.
    pub version: String,
}

/// Every family that is installed, by name.
pub fn installed(engines: &EngineRegistry) -> Vec<Family> {
    let mut found: Vec<Family> = Vec::new();
    for engine in engines.all() {
        for version in engine.installed() {
            for name in engine.profile().names {
                let name = of(&**engine, name, &version);
                if found.iter().all(|family| family.name != name) {
                    found.push(Family {
                        name,
                        engine: engine.clone(),
                        version: version.clone(),
                    });
                }
            }
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}
