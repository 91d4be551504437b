//! `DescribeEvents`: what happened to the caller's clusters and snapshots in the last 14 days.
//!
//! Source: API_DescribeEvents; how the times go together is in docs/reference/events.md.
use std::time::Duration;

use catalog::{
    CatalogExt,
    events::{self as rows, After, Event},
};
use model::{Arn, ArnKind, Timestamp, arn::Located, limits};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::{EventCategory, Filter, Page},
};
use service::{events::kinds, fault::Fault};

/// The source types that RDS has (API_DescribeEvents); only three of them are here.
const SOURCE_TYPES: &[&str] = &[
    "db-instance",
    "db-parameter-group",
    "db-security-group",
    "db-snapshot",
    "db-cluster",
    "db-cluster-snapshot",
    "custom-engine-version",
    "db-proxy",
    "blue-green-deployment",
    "db-shard-group",
    "zero-etl",
];
/// Minutes that are looked back when nothing is said.
const MINUTES: i64 = 60;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeEvents {
    source_identifier: Option<String>,
    source_type: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
    duration: Option<i64>,
    #[serde(default)]
    event_categories: Vec<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_records: Option<i64>,
    marker: Option<String>,
}

/// An event in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "Event", rename_all = "PascalCase")]
struct Told {
    source_identifier: String,
    source_type: String,
    message: String,
    event_categories: Vec<EventCategory>,
    date: String,
    source_arn: String,
}

impl Told {
    fn of(event: Event) -> Self {
        Self {
            source_identifier: event.source_id,
            source_type: event.source_type,
            message: event.message,
            event_categories: event.categories.into_iter().map(EventCategory).collect(),
            date: event.at.to_rfc3339_micros(),
            source_arn: event.source_arn.to_string(),
        }
    }
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Events {
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    events: Vec<Told>,
}

impl Output for Events {
    const LAYOUT: Layout = Layout::Page("Events");

    fn label(&self) -> Label {
        Label::Page {
            next: self.marker.clone(),
        }
    }
}

impl Action for DescribeEvents {
    const NAME: &'static str = "DescribeEvents";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = Events;

    async fn run(self, cx: &ActionContext) -> Result<Events, Fault> {
        let page: Page<After> = Page::read(self.max_records, self.marker.as_deref())?;
        Filter::check(&self.filters, &[])?;
        let Some(filter) = self.filter(cx)? else {
            return Ok(Events {
                marker: None,
                events: Vec::new(),
            });
        };
        let (region, account) = (cx.region.clone(), cx.caller.account.clone());
        let (rows_max, after) = (page.rows, page.after);
        let mut found = cx
            .service
            .catalog
            .read(move |tx| rows::list(tx, &region, &account, &filter, after, rows_max + 1))
            .await?;
        let marker =
            (rows_max < found.len()).then(|| Page::<After>::marker(&found[rows_max - 1].0));
        found.truncate(rows_max);
        let events = found
            .into_iter()
            .map(|(_, event)| Told::of(event))
            .collect();
        Ok(Events { marker, events })
    }
}

impl DescribeEvents {
    /// What is asked for; none when nothing can match.
    fn filter(&self, cx: &ActionContext) -> Result<Option<rows::Filter>, Fault> {
        if let Some(given) = &self.source_type {
            check_source_type(given)?;
        } else if self.source_identifier.is_some() {
            return Err(Fault::combination(
                "SourceType must be provided when SourceIdentifier is.",
            ));
        }
        let (from, to) = self.times(cx.service.now())?;
        let known: Vec<String> = self
            .event_categories
            .iter()
            .filter(|category| {
                kinds::ALL
                    .iter()
                    .any(|kind| kind.category == category.as_str())
            })
            .cloned()
            .collect();
        if known.is_empty() && !self.event_categories.is_empty() {
            return Ok(None);
        }
        let source_id = match self.source_id(cx) {
            Some(None) => return Ok(None),
            named => named.flatten(),
        };
        Ok(Some(rows::Filter {
            source_type: self.source_type.clone(),
            source_id,
            from,
            to,
            categories: known,
        }))
    }

    /// The name that is asked for, if one is; an ARN of anything but the caller's own resource of
    /// the source type, in the called region, is of no event.
    fn source_id(&self, cx: &ActionContext) -> Option<Option<String>> {
        let given = self.source_identifier.as_deref()?;
        let Ok(arn) = Arn::parse(given) else {
            return Some(Some(given.to_ascii_lowercase()));
        };
        let kind = match self.source_type.as_deref() {
            Some("db-cluster") => ArnKind::Cluster,
            Some("db-cluster-snapshot") => ArnKind::ClusterSnapshot,
            Some("db-instance") => ArnKind::Instance,
            _ => return Some(None),
        };
        let own = |at: &Located<'_>| *at.account == cx.caller.account && *at.region == cx.region;
        let located = arn.locate(kind).filter(own);
        Some(located.map(|located| located.name.to_ascii_lowercase()))
    }

    /// From when, and until before when.
    fn times(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), Fault> {
        let minutes_max = limits::EVENTS_KEPT.as_secs() / 60;
        let minutes = self.duration.unwrap_or(MINUTES);
        let span = u64::try_from(minutes)
            .ok()
            .filter(|minutes| *minutes <= minutes_max)
            .map(|minutes| Duration::from_secs(minutes * 60))
            .ok_or_else(|| {
                Fault::value(format!(
                    "Invalid value {minutes} for Duration. Must be between 0 and {minutes_max}"
                ))
            })?;
        let start = moment("StartTime", self.start_time.as_deref())?;
        let end = moment("EndTime", self.end_time.as_deref())?;
        let (from, to) = match (start, end) {
            (Some(start), Some(end)) if end < start => {
                return Err(Fault::combination("StartTime must not be after EndTime."));
            }
            (Some(start), Some(end)) => (start, end),
            (Some(start), None) if self.duration.is_some() => (start, start.plus(span)),
            (Some(start), None) => (start, now.max(start)),
            (None, Some(end)) => (end.minus(span), end),
            (None, None) => (now.minus(span), now),
        };
        let kept = now.minus(limits::EVENTS_KEPT);
        // The end itself belongs to it.
        Ok((from.max(kept), to.plus(Duration::from_micros(1))))
    }
}

/// Reads a moment.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn moment(parameter: &str, given: Option<&str>) -> Result<Option<Timestamp>, Fault> {
    let read = |text: &str| {
        Timestamp::parse(text).ok_or_else(|| {
            let shown: String = limits::echo(text);
            Fault::value(format!(
                "Invalid value {shown} for {parameter}. Must be a moment in ISO 8601, such as 2009-07-08T18:00Z"
            ))
        })
    };
    given.map(read).transpose()
}

/// Refuses what is no source type of RDS.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn check_source_type(given: &str) -> Result<(), Fault> {
    if SOURCE_TYPES.contains(&given) {
        return Ok(());
    }
    let shown: String = limits::echo(given);
    Err(Fault::value(format!(
        "Invalid SourceType {shown}. The source types are {}.",
        SOURCE_TYPES.join(", ")
    )))
}
