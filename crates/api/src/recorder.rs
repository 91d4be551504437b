//! From a request that was answered to its record in the audit log.
//!
//! It does not know how requests are written, nor who may ask what.
use std::net::IpAddr;

use audit::{Kept, Record, Resource, UserIdentity, masked};
use bytes::Bytes;
use http::{Response, header};
use model::Region;
use serde_json::Value;
use service::{
    auth::caller::Caller,
    context::ServiceContext,
    fault::{DoorCode, Fault},
};
use wire::{RawRequest, protocol::Asked};

use crate::{
    action::{Api, Entry},
    resources,
};

/// Reads that are recorded as changes are: what they answer is a secret.
const SECRET_READS: [&str; 1] = ["GetSecretValue"];
/// Longer texts of a client's own are cut.
const TEXT_CHARS_MAX: usize = 256;
/// Answers above this are not looked at for what they made.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Where a request came from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The address; none where a proxy stands between.
    pub address: Option<IpAddr>,
    /// The client, as it calls itself.
    pub user_agent: String,
}

impl Origin {
    /// That of a request that came from an address.
    pub fn of(request: &RawRequest, address: Option<IpAddr>) -> Self {
        let agent = request.headers.get(header::USER_AGENT);
        let agent = agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        Self {
            address,
            user_agent: cut(&agent.unwrap_or_default()),
        }
    }
}

/// A request that was answered, as far as it got.
pub(crate) struct Answered<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) request_id: &'a str,
    pub(crate) api: Option<Api>,
    pub(crate) entry: Option<&'static Entry>,
    pub(crate) caller: Option<&'a Caller>,
    pub(crate) region: Option<&'a Region>,
    pub(crate) asked: Option<&'a Asked>,
    pub(crate) result: Result<&'a Response<Bytes>, &'a Fault>,
}

/// Adds a request's record, where it is to have one: what changes something, and what was denied.
/// None where it has none, or there is no room for it.
pub(crate) fn record(service: &ServiceContext, answered: &Answered<'_>) -> Option<Kept> {
    let log = service.audit.as_ref()?;
    if !is_recorded(answered) {
        return None;
    }
    let now = service.now();
    if answered.caller.is_none() && !log.has_room_for_stranger(now.seconds()) {
        return None;
    }
    let region = answered.region.unwrap_or(&service.settings.default_region);
    let parameters = answered.asked.map_or(Value::Null, parameters);
    let (fault, made) = match answered.result {
        Ok(response) => (None, made(answered, response)),
        Err(fault) => (Some(fault), Vec::new()),
    };
    let mut about = answered.caller.map_or(Vec::new(), |caller| {
        resources::of(&parameters, region, &caller.account)
    });
    about.extend(made);
    let address = answered.origin.address.map(|address| address.to_string());
    log.append(&Record {
        event_time: now.to_rfc3339_secs(),
        event_source: format!("{}.amazonaws.com", answered.api.map_or("rds", Api::as_str)),
        event_name: answered
            .entry
            .map_or("Unknown", |entry| entry.name)
            .to_owned(),
        aws_region: region.to_string(),
        source_ip_address: address.unwrap_or_else(|| "unknown".to_owned()),
        user_agent: answered.origin.user_agent.clone(),
        user_identity: identity(answered.caller, region),
        error_code: fault.map(|fault| fault.code.as_str().to_owned()),
        error_message: fault.map(|fault| fault.message.to_string()),
        request_parameters: masked(parameters),
        response_elements: Value::Null,
        request_id: answered.request_id.to_owned(),
        event_id: service.entropy.uuid().to_string(),
        read_only: answered.entry.is_some_and(|entry| entry.reads),
        resources: about,
        recipient_account_id: answered.caller.map(|caller| caller.account.to_string()),
    })
}

fn is_recorded(answered: &Answered<'_>) -> bool {
    let changes = |entry: &Entry| !entry.reads || SECRET_READS.contains(&entry.name);
    let denied = |fault: &Fault| {
        matches!(
            fault.code.door(),
            DoorCode::Forbidden | DoorCode::Unauthenticated | DoorCode::KeyNotAccessible
        )
    };
    answered.entry.is_some_and(changes) || answered.result.is_err_and(denied)
}

fn identity(caller: Option<&Caller>, region: &Region) -> UserIdentity {
    let Some(caller) = caller else {
        return UserIdentity {
            r#type: "Unknown",
            ..UserIdentity::default()
        };
    };
    let arn = caller.arn(region.partition());
    let account = caller.account.to_string();
    let (kind, principal) = match caller.role() {
        Some(_) => (
            "AssumedRole",
            arn.rsplit('/').next().unwrap_or(&arn).to_owned(),
        ),
        None => ("Root", account.clone()),
    };
    UserIdentity {
        r#type: kind,
        principal_id: Some(principal),
        arn: Some(arn),
        account_id: Some(account),
        access_key_id: Some(caller.access_key_id.clone()).filter(|id| !id.is_empty()),
        invoked_by: None,
    }
}

/// The parameters as they were given; lists of forms as lists. Nothing where they cannot be read.
fn parameters(asked: &Asked) -> Value {
    match asked.input.read::<Value>() {
        Ok(value) if value.get("Action").is_some() => with_lists(value),
        Ok(value) => value,
        Err(_) => Value::Null,
    }
}

/// `{"Tags": {"Tag": {"1": …}}}` as `{"Tags": […]}`.
fn with_lists(value: Value) -> Value {
    let Value::Object(members) = value else {
        return value;
    };
    let is_list = |value: &Value| {
        let numbers = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
        value
            .as_object()
            .is_some_and(|items| !items.is_empty() && items.keys().all(numbers))
    };
    let members: serde_json::Map<_, _> = members
        .into_iter()
        .map(|(name, value)| match value {
            Value::Object(inner) if inner.len() == 1 && inner.values().all(is_list) => {
                let items = inner
                    .into_iter()
                    .next()
                    .map_or(Value::Null, |(_, items)| items);
                (name, items_of(items))
            }
            value if is_list(&value) => (name, items_of(value)),
            value => (name, with_lists(value)),
        })
        .collect();
    Value::Object(members)
}

fn items_of(value: Value) -> Value {
    let Value::Object(items) = value else {
        return value;
    };
    let mut items: Vec<_> = items
        .into_iter()
        .map(|(number, item)| (number.parse::<u64>().unwrap_or(u64::MAX), with_lists(item)))
        .collect();
    items.sort_by_key(|(number, _)| *number);
    items.into_iter().map(|(_, item)| item).collect()
}

/// What an answer names that the request could not: keys, plans and jobs have ids of ours.
fn made(answered: &Answered<'_>, response: &Response<Bytes>) -> Vec<Resource> {
    let (Some(entry), Some(caller)) = (answered.entry, answered.caller) else {
        return Vec::new();
    };
    let begins = ["Create", "Replicate", "Start", "Rotate"];
    let makes = !entry.reads && begins.iter().any(|verb| entry.name.starts_with(verb));
    if !makes || ANSWER_BYTES_MAX < response.body().len() || !response.body().starts_with(b"{") {
        return Vec::new();
    }
    let answer = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
    resources::made(&answer, &caller.account)
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_of_forms_are_lists() {
        let form = json!({
            "Action": "CreateDBCluster",
            "Tags": {"Tag": {"2": {"Key": "b"}, "10": {"Key": "c"}, "1": {"Key": "a"}}},
            "AvailabilityZones": {"AvailabilityZone": {"1": "us-east-1a"}},
            "Filters": {"Filter": {"1": {"Name": "n", "Values": {"Value": {"1": "v"}}}}},
            "ScalingConfiguration": {"MinCapacity": "1"},
        });
        assert_eq!(
            with_lists(form),
            json!({
                "Action": "CreateDBCluster",
                "Tags": [{"Key": "a"}, {"Key": "b"}, {"Key": "c"}],
                "AvailabilityZones": ["us-east-1a"],
                "Filters": [{"Name": "n", "Values": ["v"]}],
                "ScalingConfiguration": {"MinCapacity": "1"},
            })
        );
    }
}
