//! Takes a snapshot of a cluster.
use api::Api;
use maud::{Markup, html};
use serde_json::{Value, json};
use wire::Parameters;

use super::cluster;
use crate::console::{
    refusal::Refusal,
    shapes::Cluster,
    visit::{Done, Visit},
};

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let cluster = cluster::named(visit, visit.asked("id")).await?;
    let day = visit.now().to_dashes();
    Ok(form(visit, &cluster, &format!("{}-{day}", cluster.id)))
}

/// `CreateDBClusterSnapshot`.
pub(super) async fn submit(visit: &Visit<'_>, form: &Parameters) -> Result<Done, Refusal> {
    let field = |name| form.get(name).unwrap_or_default().trim();
    let (id, name) = (field("id"), field("name"));
    let asked = json!({ "DBClusterIdentifier": id, "DBClusterSnapshotIdentifier": name });
    let taken: Result<Value, Refusal> = visit.ask(Api::Rds, "CreateDBClusterSnapshot", asked).await;
    if let Err(refusal) = taken {
        let cluster = cluster::named(visit, Some(id)).await?;
        return Err(refusal.with_form(self::form(visit, &cluster, name)));
    }
    Ok(Done {
        next: visit.link_with("snapshot", &[("id", name)]),
        notice: format!("The snapshot {name} is being taken."),
    })
}

fn form(visit: &Visit<'_>, cluster: &Cluster, name: &str) -> Markup {
    html! {
        h1 { "Take a snapshot of " (cluster.id) }
        form method="post" class="card" {
            (visit.token())
            input type="hidden" name="id" value=(cluster.id);
            label { "Name of the snapshot"
                input name="name" value=(name) required maxlength="255" spellcheck="false";
            }
            p class="soft" {
                "The cluster goes on as it is. The snapshot is "
                @match &cluster.kms_key_id {
                    Some(key) => { "encrypted under the cluster's key, " span class="mono" { (key) } "." }
                    None => "not encrypted, because the cluster is not.",
                }
            }
            button class="main" { "Take the snapshot" }
        }
    }
}
