//! `Filter` of the Describe actions.
use serde::Deserialize;

use service::fault::Fault;

/// A filter: any of its values may match; all filters must.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Filter {
    /// Which property.
    pub name: String,
    /// What it may be.
    #[serde(default)]
    pub values: Vec<String>,
}

impl Filter {
    /// Checks filters against the names that an action knows; `described` says in the plural
    /// what a filter's values are.
    ///
    /// # Errors
    /// `InvalidParameterValue` for an unknown name, `InvalidParameterCombination` for no values.
    pub fn check(filters: &[Self], known: &[(&str, &str)]) -> Result<(), Fault> {
        for filter in filters {
            let Some((_, described)) = known.iter().find(|(name, _)| *name == filter.name) else {
                return Err(Fault::value(format!(
                    "Unrecognized filter name: {}",
                    filter.name
                )));
            };
            if filter.values.is_empty() {
                return Err(Fault::combination(format!(
                    "The list of {described} must not be empty."
                )));
            }
        }
        Ok(())
    }
}
