//! Restores a snapshot into a new cluster.
use api::Api;
use maud::{Markup, html};
use serde_json::{Value, json};
use wire::Parameters;

use super::{keys, snapshot};
use crate::console::{
    format::moment,
    refusal::Refusal,
    shapes::Snapshot,
    visit::{Done, Visit},
};

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let snapshot = snapshot::named(visit, visit.asked("id")).await?;
    Ok(form(visit, &snapshot, "", "").await)
}

/// `RestoreDBClusterFromSnapshot`.
pub(super) async fn submit(visit: &Visit<'_>, fields: &Parameters) -> Result<Done, Refusal> {
    let field = |name| fields.get(name).unwrap_or_default().trim();
    let (name, key) = (field("name"), field("key"));
    let snapshot = snapshot::named(visit, fields.get("id")).await?;
    let asked = json!({
        "DBClusterIdentifier": name,
        "SnapshotIdentifier": snapshot.id,
        "Engine": snapshot.engine,
        "KmsKeyId": Some(key).filter(|key| !key.is_empty()),
    });
    let action = "RestoreDBClusterFromSnapshot";
    let restored: Result<Value, Refusal> = visit.ask(Api::Rds, action, asked).await;
    if let Err(refusal) = restored {
        return Err(refusal.with_form(form(visit, &snapshot, name, key).await));
    }
    Ok(Done {
        next: visit.link_with("cluster", &[("id", name)]),
        notice: format!("The cluster {name} is being made of {}.", snapshot.id),
    })
}

async fn form(visit: &Visit<'_>, snapshot: &Snapshot, name: &str, key: &str) -> Markup {
    let aliases = keys::aliases(visit, &visit.region)
        .await
        .unwrap_or_default();
    html! {
        h1 { "Restore " (snapshot.id) }
        form method="post" class="card" {
            (visit.token())
            input type="hidden" name="id" value=(snapshot.id);
            dl {
                dt { "Content of" } dd { (snapshot.cluster) ", " (moment(&snapshot.snapshot_create_time)) }
                dt { "Engine" } dd { (snapshot.engine) " " (snapshot.engine_version) }
                dt { "Space" } dd { "up to " (snapshot.allocated_storage) " GiB on the server's disk" }
            }
            label { "Name of the new cluster"
                input name="name" value=(name) required maxlength="63" spellcheck="false";
            }
            label { "Key"
                input name="key" value=(key) list="aliases" maxlength="2048" spellcheck="false"
                    placeholder=(if snapshot.kms_key_id.is_some() { "the snapshot's" } else { "none: not encrypted" });
                datalist id="aliases" { @for alias in &aliases { option value=(alias) {} } }
            }
            p class="soft" { "Nothing that exists is changed: the snapshot stays, and so does its cluster." }
            button class="main" { "Restore" }
        }
    }
}
