//! Keys: their names and states.
use api::Api;
use maud::{Markup, html};
use model::Region;
use serde_json::json;

use crate::console::{
    format::status,
    refusal::Refusal,
    shapes::{Aliases, Key, KeyMetadata, Keys},
    visit::Visit,
};

const ROWS: usize = 50;

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let asked = json!({ "Limit": ROWS, "Marker": visit.asked("marker") });
    let page: Keys = visit.ask(Api::Kms, "ListKeys", asked).await?;
    let names: Aliases = visit.ask(Api::Kms, "ListAliases", json!({})).await?;
    let mut keys = Vec::with_capacity(page.keys.len());
    for listed in &page.keys {
        keys.push(named(visit, &listed.key_arn).await?);
    }
    Ok(html! {
        h1 { "Keys" }
        @if keys.is_empty() {
            p { "There are no keys in this region." }
        } @else {
            (table(visit, &keys, &names))
        }
        @if let Some(next) = &page.next_marker {
            p { a href=(visit.link_with("keys", &[("marker", next)])) rel="next" { "Next page" } }
        }
    })
}

/// A key by its id, ARN or alias.
///
/// # Errors
/// The API's.
pub(super) async fn named(visit: &Visit<'_>, id: &str) -> Result<Key, Refusal> {
    let asked = json!({ "KeyId": id });
    let found: KeyMetadata = visit.ask(Api::Kms, "DescribeKey", asked).await?;
    Ok(found.key)
}

/// The names of a region's keys, for forms.
///
/// # Errors
/// The API's.
pub(super) async fn aliases(visit: &Visit<'_>, region: &Region) -> Result<Vec<String>, Refusal> {
    let asked = json!({});
    let found: Aliases = visit.ask_in(region, Api::Kms, "ListAliases", asked).await?;
    Ok(found
        .aliases
        .into_iter()
        .map(|alias| alias.alias_name)
        .collect())
}

fn table(visit: &Visit<'_>, keys: &[Key], names: &Aliases) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Keys" {
            table {
                thead { tr {
                    th scope="col" { "Key" }
                    th scope="col" { "Names" }
                    th scope="col" { "State" }
                    th scope="col" { "For" }
                    th scope="col" { "Description" }
                } }
                tbody {
                    @for key in keys {
                        tr {
                            th scope="row" class="mono" { a href=(visit.link_with("key", &[("id", &key.key_id)])) { (key.key_id) } }
                            td { (names_of(key, names)) }
                            td { (status(&key.key_state)) }
                            td { (key.key_spec) }
                            td { (key.description) }
                        }
                    }
                }
            }
        }
    }
}

/// A key's names.
pub(super) fn names_of(key: &Key, names: &Aliases) -> Markup {
    let own = names
        .aliases
        .iter()
        .filter(|alias| alias.target_key_id.as_ref() == Some(&key.key_id));
    html! {
        ul class="plain" { @for alias in own { li class="mono" { (alias.alias_name) } } }
    }
}
