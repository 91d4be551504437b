//! Copies a snapshot: first shows the target, its key and the bytes to move, then does it.
use api::Api;
use http::StatusCode;
use maud::{Markup, html};
use model::Region;
use serde_json::{Value, json};
use wire::Parameters;

use super::{keys, snapshot};
use crate::console::{
    format::status,
    layout,
    refusal::Refusal,
    shapes::{KeyMetadata, Snapshot},
    visit::{Done, Visit, with_query},
};
use crate::units::size;

/// What is wanted.
struct Wanted {
    to: Region,
    name: String,
    key: String,
    tags: bool,
}

impl Wanted {
    fn read(visit: &Visit<'_>, fields: &Parameters) -> Result<Self, Refusal> {
        let field = |name| fields.get(name).unwrap_or_default().trim();
        let settings = &visit.backend.service.context().settings;
        let to = match field("to") {
            "" => visit.region.clone(),
            given => given
                .parse()
                .ok()
                .filter(|region| settings.knows(region))
                .ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "There is no such region."))?,
        };
        Ok(Self {
            to,
            name: field("name").to_owned(),
            key: field("key").to_owned(),
            tags: !field("tags").is_empty(),
        })
    }
}

/// The page: the form, and what would be done once it is filled in.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let snapshot = snapshot::named(visit, visit.asked("id")).await?;
    let wanted = Wanted::read(visit, &visit.query)?;
    let review = match wanted.name.is_empty() {
        true => None,
        false => Some(review(visit, &snapshot, &wanted).await),
    };
    let form = form(visit, &snapshot, &wanted).await;
    Ok(html! { (form) @if let Some(review) = &review { (review) } })
}

/// `CopyDBClusterSnapshot`, in the region of the copy.
pub(super) async fn submit(visit: &Visit<'_>, fields: &Parameters) -> Result<Done, Refusal> {
    let snapshot = snapshot::named(visit, fields.get("id")).await?;
    let wanted = Wanted::read(visit, fields)?;
    let abroad = wanted.to != visit.region;
    let asked = json!({
        "SourceDBClusterSnapshotIdentifier": snapshot.arn,
        "TargetDBClusterSnapshotIdentifier": wanted.name,
        "KmsKeyId": Some(&wanted.key).filter(|key| !key.is_empty()),
        "CopyTags": wanted.tags.then_some(true),
        "SourceRegion": abroad.then_some(&visit.region),
    });
    let action = "CopyDBClusterSnapshot";
    let copied: Result<Value, Refusal> = visit.ask_in(&wanted.to, Api::Rds, action, asked).await;
    if let Err(refusal) = copied {
        return Err(refusal.with_form(form(visit, &snapshot, &wanted).await));
    }
    let next = with_query(
        visit.link_in(&wanted.to, "snapshot"),
        &[("id", &wanted.name)],
    );
    let notice = format!("The copy {} in {} is being made.", wanted.name, wanted.to);
    Ok(Done { next, notice })
}

async fn form(visit: &Visit<'_>, snapshot: &Snapshot, wanted: &Wanted) -> Markup {
    // Without them the key is written by hand.
    let aliases = keys::aliases(visit, &wanted.to).await.unwrap_or_default();
    html! {
        h1 { "Copy " (snapshot.id) }
        form method="get" class="card" {
            input type="hidden" name="id" value=(snapshot.id);
            label { "To region" (layout::regions(visit, &wanted.to, "to")) }
            label { "Name of the copy"
                input name="name" value=(wanted.name) required maxlength="255" spellcheck="false";
            }
            label { "Key of that region"
                input name="key" value=(wanted.key) list="aliases" maxlength="2048" spellcheck="false"
                    placeholder=(if snapshot.kms_key_id.is_some() { "the source's, within its region" } else { "none: not encrypted" });
                datalist id="aliases" { @for alias in &aliases { option value=(alias) {} } }
            }
            label class="line" {
                input type="checkbox" name="tags" value="on" checked[wanted.tags];
                "with the source's tags"
            }
            button { "Look at it first" }
        }
    }
}

/// What the copy would be, with the button that makes it.
async fn review(visit: &Visit<'_>, snapshot: &Snapshot, wanted: &Wanted) -> Markup {
    let field =
        |name: &'static str, value: &str| html! { input type="hidden" name=(name) value=(value); };
    let key = key(visit, snapshot, wanted).await;
    let bytes = bytes(visit, snapshot, wanted).await;
    html! {
        h2 { "What will be done" }
        form method="post" class="card" {
            (visit.token())
            (field("id", &snapshot.id))
            (field("to", wanted.to.as_str()))
            (field("name", &wanted.name))
            (field("key", &wanted.key))
            (field("tags", if wanted.tags { "on" } else { "" }))
            dl {
                dt { "From" } dd { (snapshot.id) " in " (visit.region) }
                dt { "To" } dd { (wanted.name) " in " (wanted.to) ", of account " (visit.account()) }
                dt { "Key of the copy" } dd { (key) }
                dt { "Bytes to move" } dd { (bytes) }
                dt { "Tags" } dd { (if wanted.tags { "the source's" } else { "none" }) }
            }
            button class="main" { "Make the copy" }
        }
    }
}

async fn key(visit: &Visit<'_>, snapshot: &Snapshot, wanted: &Wanted) -> Markup {
    if wanted.key.is_empty() {
        return html! {
            @match &snapshot.kms_key_id {
                None => "none: the copy is not encrypted",
                Some(key) if wanted.to == visit.region => span class="mono" { (key) },
                Some(_) => "none is named, and one is needed: a key never leaves its region",
            }
        };
    }
    let asked = json!({ "KeyId": wanted.key });
    let found: Result<KeyMetadata, Refusal> = visit
        .ask_in(&wanted.to, Api::Kms, "DescribeKey", asked)
        .await;
    html! {
        @match found {
            Ok(found) => {
                span class="mono" { (found.key.arn) } " " (status(&found.key.key_state))
            }
            Err(refusal) => { span class="mono" { (wanted.key) } (refusal.shown()) }
        }
    }
}

/// How much the copy moves, at most: what its region holds already is not sent again.
async fn bytes(visit: &Visit<'_>, snapshot: &Snapshot, wanted: &Wanted) -> String {
    let settings = &visit.backend.service.context().settings;
    let same_key = wanted.key.is_empty() || snapshot.kms_key_id.as_ref() == Some(&wanted.key);
    let stays = same_key && snapshot.is_of(visit.account());
    let resealed =
        snapshot.kms_key_id.is_some() && settings.reencrypt.contains(&wanted.to) && !stays;
    if wanted.to == visit.region && !resealed {
        return "none: copies within a region share their bytes".to_owned();
    }
    let cost = snapshot::cost(visit, snapshot).await;
    let most = match cost.and_then(|cost| cost.bytes_referenced) {
        Some(bytes) => size(bytes),
        None => format!("{} GiB", snapshot.allocated_storage),
    };
    match resealed {
        true => format!("at most {most}, sealed again under keys of the copy's own"),
        false => format!(
            "at most {most}; what {} holds of it already is not sent again",
            wanted.to
        ),
    }
}
