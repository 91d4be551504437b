//! `DBClusterSnapshotAttributesResult`: whom a snapshot is shared with.
use model::Snapshot;
use serde::Serialize;

use crate::action::{Label, Layout, Output};

/// The one attribute that cluster snapshots have.
pub const RESTORE: &str = "restore";

#[derive(Debug, Serialize, schemars::JsonSchema)]
struct AttributeValue(String);

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "DBClusterSnapshotAttribute", rename_all = "PascalCase")]
struct Attribute {
    attribute_name: &'static str,
    attribute_values: Vec<AttributeValue>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
struct AttributesResult {
    #[serde(rename = "DBClusterSnapshotIdentifier")]
    id: String,
    #[serde(rename = "DBClusterSnapshotAttributes")]
    attributes: Vec<Attribute>,
}

/// The answer of the two attribute actions.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct AttributesOutput {
    #[serde(rename = "DBClusterSnapshotAttributesResult")]
    result: AttributesResult,
}

impl AttributesOutput {
    /// Always exactly one attribute, empty when the snapshot is private.
    pub fn of(snapshot: &Snapshot) -> Self {
        let values = snapshot
            .shared_with
            .iter()
            .cloned()
            .map(AttributeValue)
            .collect();
        Self {
            result: AttributesResult {
                id: snapshot.name.to_string(),
                attributes: vec![Attribute {
                    attribute_name: RESTORE,
                    attribute_values: values,
                }],
            },
        }
    }
}

impl Output for AttributesOutput {
    const LAYOUT: Layout = Layout::Resource("DBClusterSnapshotAttributesResult");

    fn label(&self) -> Label {
        Label::Resource {
            id: self.result.id.clone(),
            created_at: None,
        }
    }
}
