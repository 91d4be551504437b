//! Event subscriptions. A topic is an address of the settings: events go there as webhooks do.
use catalog::{CatalogExt, Tx, clusters, instances, snapshots};
use model::{
    Account, Arn, ClusterName, InstanceName, Region, SnapshotName, Subscription, SubscriptionName,
    limits,
};
use serde::Serialize;

use super::{keep, names::SubscriptionRef};
use crate::{
    action::{ActionContext, Label, Layout, Output},
    shapes::EventCategory,
};
use service::{
    events::kinds,
    fault::{Code, Fault},
};

/// The categories that RDS has ("Amazon RDS event categories and event messages").
const CATEGORIES: &[&str] = &[
    "availability",
    "backtrack",
    "backup",
    "configuration change",
    "creation",
    "deletion",
    "failover",
    "failure",
    "global-failover",
    "low storage",
    "maintenance",
    "migration",
    "notification",
    "read replica",
    "recovery",
    "restoration",
    "security",
    "security patching",
    "serverless",
];

/// A topic that the settings give an address.
///
/// # Errors
/// `SNSInvalidTopic`, `SNSTopicArnNotFound`.
pub(crate) fn topic(cx: &ActionContext, given: &str) -> Result<String, Fault> {
    if !given.contains(":sns:") || Arn::parse(given).is_err() {
        return Err(Fault::new(
            Code::SnsInvalidTopic,
            format!("{} is not the ARN of an SNS topic.", limits::echo(given)),
        ));
    }
    let mut hooks = cx.service.settings.webhooks.iter();
    match hooks.any(|hook| hook.topic.as_deref() == Some(given)) {
        true => Ok(given.to_owned()),
        false => Err(Fault::new(
            Code::SnsTopicArnNotFound,
            format!(
                "The topic {} leads nowhere here: give it an address in the server's settings, as a webhook with this topic.",
                limits::echo(given)
            ),
        )),
    }
}

/// Categories that RDS has.
///
/// # Errors
/// `SubscriptionCategoryNotFound`.
pub(crate) fn categories(given: &[String]) -> Result<Vec<String>, Fault> {
    let known = |one: &String| CATEGORIES.contains(&one.to_ascii_lowercase().as_str());
    match given.iter().find(|one| !known(one)) {
        None => Ok(given.iter().map(|one| one.to_ascii_lowercase()).collect()),
        Some(unknown) => Err(Fault::new(
            Code::SubscriptionCategoryNotFound,
            format!(
                "The event category {} does not exist.",
                limits::echo(unknown)
            ),
        )),
    }
}

/// A source of the caller's.
///
/// # Errors
/// `SourceNotFound`.
pub(crate) fn source(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    source_type: Option<&str>,
    given: &str,
) -> Result<String, Fault> {
    let is_there = match source_type {
        Some(kinds::CLUSTER) => match ClusterName::parse(given) {
            Ok(name) => clusters::get(tx, region, account, &name)?.is_some(),
            Err(_) => false,
        },
        Some(kinds::SNAPSHOT) => match SnapshotName::parse_existing(given) {
            Ok(name) => snapshots::get(tx, region, account, &name)?.is_some(),
            Err(_) => false,
        },
        Some(kinds::INSTANCE) => match InstanceName::parse(given) {
            Ok(name) => instances::named(tx, region, account, &name)?.is_some(),
            Err(_) => false,
        },
        Some(_) => false,
        None => {
            return Err(Fault::combination(
                "A SourceType must be given before sources are named.",
            ));
        }
    };
    match is_there {
        true => Ok(given.to_ascii_lowercase()),
        false => Err(Fault::new(
            Code::SourceNotFound,
            format!("The source {} was not found.", limits::echo(given)),
        )),
    }
}

/// Changes a subscription of the caller's.
pub(crate) async fn change(
    cx: &ActionContext,
    name: &str,
    change: impl Fn(&mut dyn Tx, &mut Subscription) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<SubscriptionOutput, Fault> {
    let wanted = wanted(cx, name)?;
    let (account, region) = (cx.caller.account.clone(), cx.region.clone());
    let kept = cx.service.catalog.write(move |tx| {
        let mut stored = wanted.own(tx, &account, &region)?;
        change(tx, &mut stored.value)?;
        Ok::<_, Fault>(keep(tx, stored)?)
    });
    Ok(SubscriptionOutput::of(&kept.await?))
}

/// Which subscription is meant.
pub(crate) fn wanted(cx: &ActionContext, name: &str) -> Result<SubscriptionRef, Fault> {
    SubscriptionRef::asked("SubscriptionName", name, cx)
}

/// A name for a new one.
pub(crate) fn new_name(given: &str) -> Result<SubscriptionName, Fault> {
    crate::shapes::named("SubscriptionName", given, SubscriptionName::parse)
}

/// An item of `SourceIdsList`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct SourceId(String);

/// A subscription in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct EventSubscription {
    customer_aws_id: String,
    cust_subscription_id: String,
    sns_topic_arn: String,
    status: &'static str,
    subscription_creation_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_type: Option<String>,
    source_ids_list: Vec<SourceId>,
    event_categories_list: Vec<EventCategory>,
    enabled: bool,
    event_subscription_arn: String,
}

impl EventSubscription {
    /// The owner's view.
    pub fn of(subscription: &Subscription) -> Self {
        let made = subscription.created_at.to_rfc3339_micros();
        let categories = subscription.categories.iter().cloned();
        Self {
            customer_aws_id: subscription.account.to_string(),
            cust_subscription_id: subscription.name.to_string(),
            sns_topic_arn: subscription.topic.clone(),
            status: "active",
            // As RDS writes it: 2013-01-28 00:29:23.736.
            subscription_creation_time: made.replace('T', " ").chars().take(23).collect(),
            source_type: subscription.source_type.clone(),
            source_ids_list: subscription.sources.iter().cloned().map(SourceId).collect(),
            event_categories_list: categories.map(EventCategory).collect(),
            enabled: subscription.enabled,
            event_subscription_arn: subscription.arn().to_string(),
        }
    }
}

/// The answer of the actions that make, change or forget one.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SubscriptionOutput {
    event_subscription: EventSubscription,
}

impl SubscriptionOutput {
    /// The owner's view.
    pub fn of(subscription: &Subscription) -> Self {
        Self {
            event_subscription: EventSubscription::of(subscription),
        }
    }
}

impl Output for SubscriptionOutput {
    const LAYOUT: Layout = Layout::Resource("EventSubscription");

    fn label(&self) -> Label {
        Label::Resource {
            id: self.event_subscription.cust_subscription_id.clone(),
            created_at: None,
        }
    }
}
