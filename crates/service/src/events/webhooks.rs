//! Delivers events to the configured addresses: signed, in order, at least once.
//!
//! Each address has its place in the catalog's events, which moves on only after the address
//! has taken an event: nothing is lost when this process ends, and an address that does not
//! answer holds up no other. What is sent is in docs/guides/webhooks.md.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::{digest, hmac};
use catalog::{
    CatalogError, CatalogExt,
    events::{self as rows, Event},
    keyed, webhooks,
};
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use model::Subscription;
use serde_json::Value;

use crate::{
    background::{Next, RunsOn, Task, TaskError},
    context::ServiceContext,
    events::{
        backup::{BACKUP, Told},
        kinds,
        transport::WebhookTransport,
    },
    fault::chain,
    settings::{EventSource, Webhook},
};

/// How often the catalog is asked for new events.
const POLL: Duration = Duration::from_millis(500);
/// Events read at once.
const BATCH: usize = 64;
/// The wait after an address's first failure; it doubles with each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// The longest wait between two tries.
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// When it was sent, and the signature over that and the body.
const SIGNATURE: HeaderName = HeaderName::from_static("snapferry-signature");
/// The same for each try at an event.
const EVENT_ID: HeaderName = HeaderName::from_static("snapferry-event-id");

/// The ways to the configured addresses: one task each.
///
/// # Errors
/// When the catalog does not answer.
pub(crate) async fn routes(
    context: &Arc<ServiceContext>,
    webhook_transport: &Arc<dyn WebhookTransport>,
) -> Result<Vec<Route>, CatalogError> {
    let names: Vec<String> = context.settings.webhooks.iter().map(name_of).collect();
    let known = names.clone();
    context
        .catalog
        .write(move |tx| {
            webhooks::forget_others(tx, &known)?;
            // A new address gets what happens from now on.
            let newest = rows::newest(tx)?;
            for name in &known {
                if webhooks::place(tx, name)?.is_none() {
                    webhooks::keep(tx, name, newest)?;
                }
            }
            Ok::<_, CatalogError>(())
        })
        .await?;
    let hooks = context.settings.webhooks.iter().cloned().zip(names);
    Ok(hooks
        .enumerate()
        .map(|(number, (hook, name))| Route {
            context: context.clone(),
            webhook_transport: webhook_transport.clone(),
            hook,
            name,
            number: number + 1,
        })
        .collect())
}

/// What stands for an address in the catalog: URLs of webhooks often hold a secret.
fn name_of(hook: &Webhook) -> String {
    // As a topic's address it has a place of its own. No URL has a space.
    let text = match &hook.topic {
        None => hook.url.clone(),
        Some(topic) => format!("{} {topic}", hook.url),
    };
    HEXLOWER.encode(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// The way to one address.
pub(crate) struct Route {
    context: Arc<ServiceContext>,
    webhook_transport: Arc<dyn WebhookTransport>,
    hook: Webhook,
    name: String,
    number: usize,
}

#[async_trait]
impl Task for Route {
    // One of the nodes delivers, so that the order holds.
    const RUNS_ON: RunsOn = RunsOn::Leader;

    fn name(&self) -> String {
        format!("webhook_{}", self.number)
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        POLL
    }

    fn rest(&self, _context: &ServiceContext, failures: u32) -> Duration {
        backoff(failures)
    }

    async fn run(&mut self, _context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let delivered = self.deliver().await;
        match delivered {
            Ok(BATCH) => Ok(Next::Now),
            Ok(_) => Ok(Next::Period),
            Err(cause) => Err(TaskError::Failed(format!(
                "an event was not delivered: {cause}"
            ))),
        }
    }
}

impl Route {
    /// Delivers what is behind the address's place, up to a batch; answers how many events.
    async fn deliver(&self) -> Result<usize, String> {
        let name = self.name.clone();
        let waiting = self
            .context
            .catalog
            .read(move |tx| {
                let place = webhooks::place(tx, &name)?.unwrap_or(0);
                rows::behind(tx, place, BATCH)
            })
            .await
            .map_err(|error: CatalogError| chain(&error))?;
        let count = waiting.len();
        for (seq, event) in waiting {
            if !self.wants(&event).await? {
                self.pass(seq).await?;
                continue;
            }
            let sent = self.send(seq, &event);
            tokio::select! {
                outcome = sent => outcome?,
                () = self.context.stopped() => return Ok(0),
            }
            self.pass(seq).await?;
        }
        Ok(count)
    }

    /// The address is behind an event.
    async fn pass(&self, seq: i64) -> Result<(), String> {
        let name = self.name.clone();
        let kept = self
            .context
            .catalog
            .write(move |tx| webhooks::keep(tx, &name, seq));
        kept.await.map_err(|error: CatalogError| chain(&error))
    }

    /// Whether an event goes to this address: every one does, but to a topic's only those that a
    /// subscription to it wants.
    async fn wants(&self, event: &Event) -> Result<bool, String> {
        let Some(topic) = self.hook.topic.clone() else {
            return Ok(true);
        };
        // RDS's subscriptions are to RDS's events.
        if event.source_type == BACKUP {
            return Ok(false);
        }
        let (region, account) = (event.region.clone(), event.account.clone());
        let read = self.context.catalog.read(move |tx| {
            keyed::list::<Subscription>(tx, &region, &[account.as_str()], usize::MAX)
        });
        let found = read.await.map_err(|error: CatalogError| chain(&error))?;
        Ok(found.iter().any(|stored| {
            let one = &stored.value;
            one.topic == topic && one.wants(&event.source_type, &event.source_id, &event.categories)
        }))
    }

    async fn send(&self, seq: i64, event: &Event) -> Result<(), String> {
        let id = format!("{}-{seq}", event.at.0);
        let body = document(&id, event, self.hook.source);
        let at = self.context.now().seconds();
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(
            SIGNATURE,
            HeaderValue::from_str(&signature(&self.hook.secret, at, &body))
                .expect("digits and letters"),
        );
        headers.insert(
            EVENT_ID,
            HeaderValue::from_str(&id).expect("digits and a hyphen"),
        );
        let status = self
            .webhook_transport
            .post(&self.hook.url, headers, body.into())
            .await
            .map_err(|error| error.to_string())?;
        if (200..300).contains(&status) {
            Ok(())
        } else {
            Err(format!("the answer's status was {status}"))
        }
    }
}

fn backoff(failures: u32) -> Duration {
    BACKOFF_MIN
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(BACKOFF_MAX)
}

/// `t=<seconds>,v1=<HMAC-SHA256 over "<seconds>.<body>">`.
fn signature(secret: &str, at_secs: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{at_secs}.{body}").as_bytes());
    format!("t={at_secs},v1={}", HEXLOWER.encode(tag.as_ref()))
}

/// An event in the shape that EventBridge gives it.
fn document(id: &str, event: &Event, source: EventSource) -> String {
    let (service, detail_type, resources, detail) = told(event);
    serde_json::json!({
        "version": "0",
        "id": id,
        "detail-type": detail_type,
        "source": format!("{}.{service}", source.as_str()),
        "account": event.account.as_str(),
        "time": event.at.to_rfc3339_secs(),
        "region": event.region.as_str(),
        "resources": resources,
        "detail": detail,
    })
    .to_string()
}

/// Whose event it is, its type, its resources, and what it tells.
fn told(event: &Event) -> (&'static str, String, Value, Value) {
    if event.source_type == BACKUP {
        let told = Told::of(event);
        return ("backup", told.detail_type, told.resources, told.detail);
    }
    let categories = match event.source_type.as_str() {
        kinds::AUDIT_LOG => kinds::category_of(&event.event_id).into_iter().collect(),
        _ => event
            .categories
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    };
    let (detail_type, source_type) = if event.source_type == kinds::CLUSTER {
        ("RDS DB Cluster Event", "CLUSTER")
    } else if event.source_type == kinds::AUDIT_LOG {
        ("Snapferry Audit Log Event", "AUDIT_LOG")
    } else {
        ("RDS DB Cluster Snapshot Event", "CLUSTER_SNAPSHOT")
    };
    let detail = serde_json::json!({
        "EventCategories": categories,
        "SourceType": source_type,
        "SourceArn": event.source_arn.to_string(),
        "SourceIdentifier": event.source_id,
        "Date": event.at.to_rfc3339_micros(),
        "Message": event.message,
        "EventID": event.event_id,
    });
    let resources = serde_json::json!([event.source_arn.to_string()]);
    ("rds", detail_type.to_owned(), resources, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_to_its_bound() {
        assert_eq!(backoff(1), BACKOFF_MIN);
        assert_eq!(backoff(2), BACKOFF_MIN * 2);
        assert_eq!(backoff(40), BACKOFF_MAX);
    }

    /// The value is Python's: `hmac.new(b"secret", b"7.{}", "sha256").hexdigest()`.
    #[test]
    fn the_signature_is_an_hmac_over_time_and_body() {
        assert_eq!(
            signature("secret", 7, "{}"),
            "t=7,v1=76aad9429f417882918162a1928a38769fff65cc07b6bfa344ac9c5fb1e3448e"
        );
    }
}
