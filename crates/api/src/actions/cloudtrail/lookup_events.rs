//! `LookupEvents`: the caller's own requests that changed something or were denied.
//!
//! Source: the AWS CloudTrail API reference.
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::{
    audit_trail::lookup::{Wanted, look_up},
    fault::{Code, Fault},
};

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::metadata::seconds;

/// Events on a page.
const EVENTS_MAX: usize = 50;
/// The one category that there is more of than none.
const INSIGHT: &str = "insight";

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct LookupEvents {
    lookup_attributes: Option<Vec<LookupAttribute>>,
    start_time: Option<f64>,
    end_time: Option<f64>,
    event_category: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// What events have to be.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct LookupAttribute {
    attribute_key: String,
    attribute_value: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Events {
    events: Vec<Event>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// One of them.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    event_id: String,
    event_name: String,
    read_only: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<String>,
    event_time: f64,
    event_source: String,
    username: String,
    resources: Vec<Resource>,
    cloud_trail_event: String,
}

/// What it was about.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Resource {
    resource_type: String,
    resource_name: String,
}

impl Output for Events {}

impl Action for LookupEvents {
    const NAME: &'static str = "LookupEvents";
    const API: Api = Api::CloudTrail;
    // By its name it might change something.
    const READS: bool = true;
    type Output = Events;

    async fn run(self, cx: &ActionContext) -> Result<Events, Fault> {
        let most = match self.max_results {
            None => EVENTS_MAX,
            Some(most) => usize::try_from(most)
                .ok()
                .filter(|most| (1..=EVENTS_MAX).contains(most))
                .ok_or_else(|| {
                    Fault::new(
                        Code::InvalidMaxResults,
                        "MaxResults must be a number from 1 to 50.",
                    )
                })?,
        };
        let (from, to) = span(self.start_time, self.end_time)?;
        let (matches, value) = attribute(self.lookup_attributes.unwrap_or_default())?;
        let before = match self.next_token {
            None => None,
            Some(token) => Some(token.parse().map_err(|_| {
                Fault::new(
                    Code::SecretInvalidNextToken,
                    "The token is not one of LookupEvents.",
                )
            })?),
        };
        match self.event_category.as_deref() {
            None => {}
            Some(INSIGHT) => return Ok(none()),
            Some(_) => {
                return Err(Fault::new(
                    Code::InvalidEventCategory,
                    "EventCategory must be insight, or left out.",
                ));
            }
        }
        let wanted = Wanted {
            account: cx.caller.account.clone(),
            region: cx.region.clone(),
            from,
            to,
            matches,
            value,
            before,
            most,
        };
        let found = look_up(&cx.service, wanted).await?;
        Ok(Events {
            events: found.records.iter().map(event).collect(),
            next_token: found.next.map(|next| next.to_string()),
        })
    }
}

fn none() -> Events {
    Events {
        events: Vec::new(),
        next_token: None,
    }
}

/// The first and the last second, as records have them.
fn span(start: Option<f64>, end: Option<f64>) -> Result<(Option<String>, Option<String>), Fault> {
    let wrong = |why: &'static str| Fault::new(Code::InvalidTimeRange, why);
    if start.zip(end).is_some_and(|(start, end)| end < start) {
        return Err(wrong("StartTime is after EndTime."));
    }
    // Years of four digits.
    let years = 0.0..253_402_300_800.0;
    let text = |at: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
        let micros = years.contains(&at).then_some((at * 1e6) as i64);
        micros
            .map(|micros| Timestamp(micros).to_rfc3339_secs())
            .ok_or_else(|| wrong("A time is out of range."))
    };
    Ok((start.map(text).transpose()?, end.map(text).transpose()?))
}

type Matches = fn(&Value, &str) -> bool;

/// What records are compared with.
fn attribute(given: Vec<LookupAttribute>) -> Result<(Matches, String), Fault> {
    let wrong = |why: String| Fault::new(Code::InvalidLookupAttributes, why);
    if 1 < given.len() {
        return Err(wrong("Only one lookup attribute can be given.".to_owned()));
    }
    let Some(given) = given.into_iter().next() else {
        return Ok((|_, _| true, String::new()));
    };
    let matches: Matches = match given.attribute_key.as_str() {
        "EventId" => |record, value| record["eventID"] == value,
        "EventName" => |record, value| record["eventName"] == value,
        "EventSource" => |record, value| record["eventSource"] == value,
        "ReadOnly" => |record, value| read_only(record) == value,
        "Username" => |record, value| username(record) == value,
        "AccessKeyId" => |record, value| record["userIdentity"]["accessKeyId"] == value,
        "ResourceType" => |record, value| resources(record).any(|one| one["type"] == value),
        "ResourceName" => |record, value| {
            resources(record).any(|one| one["ARN"] == value || name_in(&one["ARN"]) == value)
        },
        other => {
            let key = model::limits::echo(other);
            return Err(wrong(format!("{key} is not a lookup attribute.")));
        }
    };
    Ok((matches, given.attribute_value))
}

fn event(record: &Value) -> Event {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let at = Timestamp::parse(&text(&record["eventTime"])).unwrap_or(Timestamp(0));
    Event {
        event_id: text(&record["eventID"]),
        event_name: text(&record["eventName"]),
        read_only: read_only(record).to_owned(),
        access_key_id: record["userIdentity"]["accessKeyId"]
            .as_str()
            .map(str::to_owned),
        event_time: seconds(at),
        event_source: text(&record["eventSource"]),
        username: username(record).to_owned(),
        resources: resources(record)
            .map(|one| Resource {
                resource_type: text(&one["type"]),
                resource_name: name_in(&one["ARN"]).to_owned(),
            })
            .collect(),
        cloud_trail_event: record.to_string(),
    }
}

fn read_only(record: &Value) -> &'static str {
    match record["readOnly"].as_bool() {
        Some(true) => "true",
        _ => "false",
    }
}

/// As CloudTrail has it: an account's own key is root's, a role's session has its name.
fn username(record: &Value) -> &str {
    let identity = &record["userIdentity"];
    match identity["type"].as_str() {
        Some("Root") => "root",
        _ => identity["principalId"].as_str().unwrap_or_default(),
    }
}

fn resources(record: &Value) -> impl Iterator<Item = &Value> {
    record["resources"].as_array().into_iter().flatten()
}

/// The name in an ARN; a name that is none as it is.
fn name_in(arn: &Value) -> &str {
    let arn = arn.as_str().unwrap_or_default();
    let Some(resource) = arn
        .strip_prefix("arn:")
        .and_then(|rest| rest.splitn(5, ':').nth(4))
    else {
        return arn;
    };
    if resource.starts_with("alias/") {
        return resource;
    }
    let name = resource.split_once([':', '/']);
    name.map_or(resource, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_found_in_arns() {
        for (arn, name) in [
            (
                "arn:aws:rds:eu-west-1:111122223333:cluster-snapshot:rds:shop-2024",
                "rds:shop-2024",
            ),
            ("arn:aws:kms:eu-west-1:111122223333:key/abc", "abc"),
            (
                "arn:aws:kms:eu-west-1:111122223333:alias/shop",
                "alias/shop",
            ),
            ("plain", "plain"),
        ] {
            assert_eq!(name_in(&json!(arn)), name);
        }
    }

    #[test]
    fn a_span_is_read_or_refused() {
        let (from, to) = span(Some(0.0), Some(1.5)).expect("a span");
        assert_eq!(from.as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(to.as_deref(), Some("1970-01-01T00:00:01Z"));
        for (start, end) in [
            (Some(2.0), Some(1.0)),
            (Some(f64::NAN), None),
            (None, Some(1e300)),
            (Some(-1.0), None),
        ] {
            assert!(span(start, end).is_err(), "{start:?} {end:?}");
        }
    }
}
