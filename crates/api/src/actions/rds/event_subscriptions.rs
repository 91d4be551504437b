//! The actions of event subscriptions. What a topic's ARN leads to is in the server's settings: see
//! docs/guides/webhooks.md.
//!
//! Sources: API_CreateEventSubscription and its likes.
use catalog::{CatalogExt, keyed};
use model::{Subscription, limits};
use serde::{Deserialize, Serialize};

use super::describe_events::check_source_type;
use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::groups::{
        self,
        subscriptions::{self, EventSubscription, SubscriptionOutput},
    },
    shapes::{Filter, Page, Tag, to_records},
};
use service::fault::{Code, Fault};

/// Makes one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateEventSubscription {
    subscription_name: String,
    sns_topic_arn: String,
    source_type: Option<String>,
    #[serde(default)]
    event_categories: Vec<String>,
    #[serde(default)]
    source_ids: Vec<String>,
    enabled: Option<bool>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Action for CreateEventSubscription {
    const NAME: &'static str = "CreateEventSubscription";
    const API: Api = Api::Rds;
    type Output = SubscriptionOutput;

    async fn run(self, cx: &ActionContext) -> Result<SubscriptionOutput, Fault> {
        let name = subscriptions::new_name(&self.subscription_name)?;
        if let Some(given) = &self.source_type {
            check_source_type(given)?;
        }
        sources_are_few(&self.source_ids)?;
        let new = Subscription {
            region: cx.region.clone(),
            account: cx.caller.account.clone(),
            name,
            topic: subscriptions::topic(cx, &self.sns_topic_arn)?,
            source_type: self.source_type,
            categories: subscriptions::categories(&self.event_categories)?,
            sources: Vec::new(),
            enabled: self.enabled.unwrap_or(true),
            created_at: cx.service.now(),
            tags: to_records(&self.tags)?,
        };
        let sources = self.source_ids;
        let kept = cx.service.catalog.write(move |tx| {
            let (region, account) = (&new.region, &new.account);
            let all = keyed::list::<Subscription>(tx, region, &[account.as_str()], usize::MAX)?;
            if all.iter().any(|one| one.value.name == new.name) {
                return Err(Fault::new(
                    Code::SubscriptionAlreadyExist,
                    format!("Event subscription {} already exists.", new.name),
                ));
            }
            if limits::SUBSCRIPTIONS_MAX <= all.len() {
                return Err(Fault::new(
                    Code::EventSubscriptionQuotaExceeded,
                    format!(
                        "Cannot create more than {} event subscriptions",
                        limits::SUBSCRIPTIONS_MAX
                    ),
                ));
            }
            let source_type = new.source_type.as_deref();
            let found = sources
                .iter()
                .map(|given| subscriptions::source(tx, region, account, source_type, given))
                .collect::<Result<Vec<String>, Fault>>()?;
            let new = Subscription {
                sources: found,
                ..new.clone()
            };
            Ok(keyed::insert(tx, new)?.value)
        });
        Ok(SubscriptionOutput::of(&kept.await?))
    }
}

fn sources_are_few(sources: &[String]) -> Result<(), Fault> {
    match sources.len() <= limits::SUBSCRIPTION_SOURCES_MAX {
        true => Ok(()),
        false => Err(Fault::value(format!(
            "An event subscription names at most {} sources.",
            limits::SUBSCRIPTION_SOURCES_MAX
        ))),
    }
}

/// Changes one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyEventSubscription {
    subscription_name: String,
    sns_topic_arn: Option<String>,
    source_type: Option<String>,
    #[serde(default)]
    event_categories: Vec<String>,
    enabled: Option<bool>,
}

impl Action for ModifyEventSubscription {
    const NAME: &'static str = "ModifyEventSubscription";
    const API: Api = Api::Rds;
    type Output = SubscriptionOutput;

    async fn run(self, cx: &ActionContext) -> Result<SubscriptionOutput, Fault> {
        if let Some(given) = &self.source_type {
            check_source_type(given)?;
        }
        let topic = self.sns_topic_arn.as_deref();
        let topic = topic.map(|given| subscriptions::topic(cx, given));
        let topic = topic.transpose()?;
        let categories = subscriptions::categories(&self.event_categories)?;
        let (source_type, enabled) = (self.source_type, self.enabled);
        subscriptions::change(cx, &self.subscription_name, move |_, one| {
            if let Some(topic) = &topic {
                one.topic.clone_from(topic);
            }
            if source_type.is_some() && source_type != one.source_type {
                one.source_type.clone_from(&source_type);
                // They were of the other type.
                one.sources.clear();
            }
            if !categories.is_empty() {
                one.categories.clone_from(&categories);
            }
            one.enabled = enabled.unwrap_or(one.enabled);
            Ok(())
        })
        .await
    }
}

/// Forgets one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteEventSubscription {
    subscription_name: String,
}

impl Action for DeleteEventSubscription {
    const NAME: &'static str = "DeleteEventSubscription";
    const API: Api = Api::Rds;
    type Output = SubscriptionOutput;

    async fn run(self, cx: &ActionContext) -> Result<SubscriptionOutput, Fault> {
        let wanted = subscriptions::wanted(cx, &self.subscription_name)?;
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let gone = cx.service.catalog.write(move |tx| {
            let found = wanted.own(tx, &account, &region)?.value;
            keyed::delete(tx, &found)?;
            Ok::<_, Fault>(found)
        });
        Ok(SubscriptionOutput::of(&gone.await?))
    }
}

/// Lists them.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeEventSubscriptions {
    subscription_name: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_records: Option<i64>,
    marker: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Subscriptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    event_subscriptions_list: Vec<EventSubscription>,
}

impl Output for Subscriptions {
    const LAYOUT: Layout = Layout::Page("EventSubscriptionsList");

    fn label(&self) -> Label {
        Label::Page {
            next: self.marker.clone(),
        }
    }
}

impl Action for DescribeEventSubscriptions {
    const NAME: &'static str = "DescribeEventSubscriptions";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = Subscriptions;

    async fn run(self, cx: &ActionContext) -> Result<Subscriptions, Fault> {
        let page: Page<(String, usize)> = Page::read(self.max_records, self.marker.as_deref())?;
        Filter::check(&self.filters, &[])?;
        let found: Vec<Subscription> = match &self.subscription_name {
            Some(name) => {
                let wanted = subscriptions::wanted(cx, name)?;
                let (account, region) = (cx.caller.account.clone(), cx.region.clone());
                let read = move |tx: &mut dyn catalog::Tx| wanted.own(tx, &account, &region);
                vec![cx.service.catalog.read(read).await?.value]
            }
            None => groups::all(cx, Vec::new(), Vec::new()).await?,
        };
        let (found, marker) = page.cut(found, |one| one.name.to_string());
        Ok(Subscriptions {
            marker,
            event_subscriptions_list: found.iter().map(EventSubscription::of).collect(),
        })
    }
}

/// Adds a source.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AddSourceIdentifierToSubscription {
    subscription_name: String,
    source_identifier: String,
}

impl Action for AddSourceIdentifierToSubscription {
    const NAME: &'static str = "AddSourceIdentifierToSubscription";
    const API: Api = Api::Rds;
    type Output = SubscriptionOutput;

    async fn run(self, cx: &ActionContext) -> Result<SubscriptionOutput, Fault> {
        let given = self.source_identifier;
        subscriptions::change(cx, &self.subscription_name, move |tx, one| {
            let source_type = one.source_type.as_deref();
            let (region, account) = (&one.region, &one.account);
            let found = subscriptions::source(tx, region, account, source_type, &given)?;
            if !one.sources.contains(&found) {
                one.sources.push(found);
            }
            sources_are_few(&one.sources)
        })
        .await
    }
}

/// Takes a source out.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RemoveSourceIdentifierFromSubscription {
    subscription_name: String,
    source_identifier: String,
}

impl Action for RemoveSourceIdentifierFromSubscription {
    const NAME: &'static str = "RemoveSourceIdentifierFromSubscription";
    const API: Api = Api::Rds;
    type Output = SubscriptionOutput;

    async fn run(self, cx: &ActionContext) -> Result<SubscriptionOutput, Fault> {
        let given = self.source_identifier;
        subscriptions::change(cx, &self.subscription_name, move |_, one| {
            let before = one.sources.len();
            one.sources
                .retain(|source| !source.eq_ignore_ascii_case(&given));
            match before == one.sources.len() {
                false => Ok(()),
                true => {
                    let shown: String = limits::echo(&given);
                    Err(Fault::new(
                        Code::SourceNotFound,
                        format!("The source {shown} is not among the subscription's."),
                    ))
                }
            }
        })
        .await
    }
}
