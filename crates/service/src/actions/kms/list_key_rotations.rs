//! `ListKeyRotations`: when a key got new material, newest first.
use serde::{Deserialize, Serialize};

use super::shared;
use crate::{
    action::{Action, Api, Cx, Data, Output},
    fault::{Code, Fault},
};

/// The input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListKeyRotations {
    key_id: String,
    limit: Option<i64>,
    marker: Option<String>,
    include_key_material: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RotationsListEntry {
    key_id: String,
    rotation_date: f64,
    rotation_type: &'static str,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rotations {
    rotations: Vec<RotationsListEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

impl Output for Rotations {
    fn data(&self) -> Data {
        Data::Page {
            member: "Rotations",
            next: self.next_marker.clone(),
        }
    }
}

impl Action for ListKeyRotations {
    const NAME: &'static str = "ListKeyRotations";
    const API: Api = Api::Kms;
    const READS: bool = true;
    type Output = Rotations;

    async fn run(self, cx: &Cx) -> Result<Rotations, Fault> {
        let rows_asked = shared::rows(self.limit)?;
        if let Some(other) = self
            .include_key_material
            .as_ref()
            .filter(|given| *given != "ROTATIONS_ONLY")
        {
            return Err(Fault::new(
                Code::KmsUnsupported,
                format!(
                    "IncludeKeyMaterial {} is not supported here: only ROTATIONS_ONLY.",
                    shared::cut(other)
                ),
            ));
        }
        shared::refuse_alias(&self.key_id)?;
        let key = shared::find_own(cx, &self.key_id, "kms:ListKeyRotations").await?;
        let skipped = match &self.marker {
            None => 0,
            Some(marker) => marker.parse::<usize>().map_err(|_| {
                Fault::new(Code::KmsInvalidMarker, "The marker is none of this list.")
            })?,
        };
        let done = key.current_material as usize;
        let newest_first = key.rotations[..done.min(key.rotations.len())].iter().rev();
        let left = newest_first.skip(skipped).cloned().collect();
        let (page, next_marker) = shared::paged(left, rows_asked, |_| {
            skipped.saturating_add(rows_asked).to_string()
        });
        let entry = |rotation: &model::key::Rotation| RotationsListEntry {
            key_id: key.arn().to_string(),
            rotation_date: shared::seconds(rotation.at),
            rotation_type: if rotation.on_demand {
                "ON_DEMAND"
            } else {
                "AUTOMATIC"
            },
        };
        Ok(Rotations {
            rotations: page.iter().map(entry).collect(),
            truncated: next_marker.is_some(),
            next_marker,
        })
    }
}
