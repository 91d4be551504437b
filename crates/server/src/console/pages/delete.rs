//! Deletes a snapshot, after it was told what is lost and its name was written.
use api::Api;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::{Value, json};
use wire::Parameters;

use super::{backups, snapshot};
use crate::console::{
    format::moment,
    refusal::Refusal,
    shapes::Snapshot,
    visit::{Done, Visit},
};
use crate::units::size;

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let snapshot = snapshot::named(visit, visit.asked("id")).await?;
    form(visit, &snapshot).await
}

/// `DeleteDBClusterSnapshot`.
pub(super) async fn submit(visit: &Visit<'_>, fields: &Parameters) -> Result<Done, Refusal> {
    let snapshot = snapshot::named(visit, fields.get("id")).await?;
    let id = &snapshot.id;
    if fields.get("written").unwrap_or_default().trim() != id {
        let why = "Nothing was deleted: the name that was written is another.";
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, why);
        return Err(refusal.with_form(form(visit, &snapshot).await?));
    }
    let asked = json!({ "DBClusterSnapshotIdentifier": id });
    let _: Value = visit
        .ask(Api::Rds, "DeleteDBClusterSnapshot", asked)
        .await?;
    Ok(Done {
        next: visit.link("snapshots"),
        notice: format!("The snapshot {id} was deleted."),
    })
}

async fn form(visit: &Visit<'_>, snapshot: &Snapshot) -> Result<Markup, Refusal> {
    let family = backups::family(visit, snapshot).await?;
    let others = family.others_good;
    let freed = snapshot::cost(visit, snapshot)
        .await
        .and_then(|cost| cost.bytes_freed);
    Ok(html! {
        h1 { "Delete " (snapshot.id) }
        form method="post" class="card" {
            (visit.token())
            input type="hidden" name="id" value=(snapshot.id);
            p {
                "What " (snapshot.cluster) " held on " (moment(&snapshot.snapshot_create_time))
                " cannot be restored from here any more. This cannot be undone."
            }
            ul {
                li {
                    @match others {
                        0 if family.all => strong { "No other good snapshot of this cluster was found." },
                        0 => "No other good snapshot was among those that were looked at.",
                        others => { (others) " other good snapshots of this cluster were found." }
                    }
                }
                @if family.copies.is_empty() {
                    li { "There is no copy of it." }
                } @else {
                    li { (family.copies.len()) " copies of it stay as they are." }
                }
                li { "Clusters that were restored from it stay as they are." }
                @if let Some(freed) = freed { li { "Some time later " (size(freed)) " of the vault are free." } }
            }
            label { "Write its name to delete it"
                input name="written" required autocomplete="off" spellcheck="false";
            }
            button class="danger" { "Delete the snapshot" }
            a href=(visit.link_with("snapshot", &[("id", &snapshot.id)])) { "Keep it" }
        }
    })
}
