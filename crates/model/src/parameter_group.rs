//! A parameter group: values of settings that clusters, or their instances, are to have.
//!
//! It does not know which settings there are; the engine does.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    arn::{Arn, Kind},
    ids::{Account, Region},
    names::DEFAULT_PREFIX,
    tag::Tag,
};

/// What a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupScope {
    /// Clusters.
    Cluster,
    /// Instances.
    Instance,
}

impl GroupScope {
    /// The word in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Instance => "instance",
        }
    }

    /// The kind of its ARN.
    pub fn arn_kind(self) -> Kind {
        match self {
            Self::Cluster => Kind::ClusterParameterGroup,
            Self::Instance => Kind::ParameterGroup,
        }
    }
}

/// When a value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApplyMethod {
    /// At once.
    Immediate,
    /// When the server is started the next time.
    PendingReboot,
}

/// A value that a group sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterSetting {
    /// As the caller spelled it; none: the server's own again, from its restart on.
    pub value: Option<String>,
    /// When it takes effect.
    pub apply_method: ApplyMethod,
}

/// A parameter group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterGroup {
    /// Its region.
    pub region: Region,
    /// Its owner.
    pub account: Account,
    /// What it is for.
    pub scope: GroupScope,
    /// Its name, unique in region, account and scope.
    pub name: String,
    /// An engine's name and series, such as `fake2`.
    pub family: String,
    /// The owner's words.
    pub description: String,
    /// What it sets, by name.
    #[serde(default)]
    pub parameters: BTreeMap<String, ParameterSetting>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

impl ParameterGroup {
    /// `arn:…:cluster-pg:<name>` or `arn:…:pg:<name>`.
    pub fn arn(&self) -> Arn {
        Arn::of(
            self.scope.arn_kind(),
            &self.region,
            &self.account,
            &self.name,
        )
    }

    /// Whether it is one of those that cannot be changed.
    pub fn is_default(&self) -> bool {
        self.name.starts_with(DEFAULT_PREFIX)
    }
}
