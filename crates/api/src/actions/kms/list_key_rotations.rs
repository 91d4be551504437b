//! `ListKeyRotations`: when a key got new material, newest first.
use model::Key;
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Label, Layout, Output};
use crate::keys::{checks, lookup, metadata};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListKeyRotations {
    key_id: String,
    limit: Option<i64>,
    marker: Option<String>,
    include_key_material: Option<String>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct RotationsListEntry {
    key_id: String,
    key_material_id: String,
    key_material_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_date: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_type: Option<&'static str>,
}

impl RotationsListEntry {
    /// A key's material of that number; the first one came by no rotation.
    fn of(key: &Key, number: u32) -> Self {
        let rotation = number.checked_sub(1);
        let rotation = rotation.and_then(|index| key.rotations.get(index as usize));
        Self {
            key_id: key.arn().to_string(),
            key_material_id: kms::material_id(key, number),
            key_material_state: if number == key.current_material {
                "CURRENT"
            } else {
                "NON_CURRENT"
            },
            rotation_date: rotation.map(|rotation| metadata::seconds(rotation.at)),
            rotation_type: rotation.map(|rotation| match rotation.on_demand {
                true => "ON_DEMAND",
                false => "AUTOMATIC",
            }),
        }
    }
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Rotations {
    rotations: Vec<RotationsListEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

impl Output for Rotations {
    const LAYOUT: Layout = Layout::Page("Rotations");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_marker.clone(),
        }
    }
}

impl Action for ListKeyRotations {
    const NAME: &'static str = "ListKeyRotations";
    const API: Api = Api::Kms;
    const READS: bool = true;
    type Output = Rotations;

    async fn run(self, cx: &ActionContext) -> Result<Rotations, Fault> {
        let rows_asked = checks::rows(self.limit)?;
        let first = match self.include_key_material.as_deref() {
            None | Some("ROTATIONS_ONLY") => 1,
            Some("ALL_KEY_MATERIAL") => 0,
            Some(other) => {
                let rule = "satisfy enum value set: [ALL_KEY_MATERIAL, ROTATIONS_ONLY]";
                return Err(checks::bound(other, "includeKeyMaterial", rule));
            }
        };
        checks::refuse_alias(&self.key_id)?;
        let key = lookup::find_own(cx, &self.key_id, "kms:ListKeyRotations").await?;
        checks::rotates(&key)?;
        let skipped = match &self.marker {
            None => 0,
            Some(marker) => marker.parse::<usize>().map_err(|_| {
                Fault::new(Code::KmsInvalidMarker, "The marker is none of this list.")
            })?,
        };
        let newest_first = (first..=key.current_material).rev();
        let left = newest_first.skip(skipped).collect();
        let (page, next_marker) = checks::paged(left, rows_asked, |_| {
            skipped.saturating_add(rows_asked).to_string()
        });
        let rotations = page
            .iter()
            .map(|number| RotationsListEntry::of(&key, *number));
        Ok(Rotations {
            rotations: rotations.collect(),
            truncated: next_marker.is_some(),
            next_marker,
        })
    }
}
