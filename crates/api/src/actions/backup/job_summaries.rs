//! How many jobs of AWS Backup came to what, by days or over all of them.
//!
//! Sources: API_ListBackupJobSummaries and its likes.
use std::{collections::BTreeMap, time::Duration};

use catalog::{CatalogExt, backup_jobs};
use model::{BackupJobKind, BackupJobState, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    actions::backup::restore_jobs::status as restore_status,
    backup::{faults::invalid, jobs, page},
    keys::metadata::seconds,
};
use service::fault::Fault;

/// What asks for each value of a member by itself, and for all of them as one.
const EACH: &str = "ANY";
const AS_ONE: &str = "AGGREGATE_ALL";

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What the three of them ask.
#[derive(Debug)]
struct Asked {
    account: Option<String>,
    state: Option<String>,
    resource_type: Option<String>,
    /// Of restore jobs there is no such member.
    category: Option<Option<String>>,
    period: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// Jobs that are alike.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Counted {
    region: String,
    account_id: String,
    state: String,
    resource_type: String,
    count: u64,
    start_time: f64,
    end_time: f64,
}

/// The same, with what `MessageCategory` says of them.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Summary {
    #[serde(flatten)]
    jobs: Counted,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_category: Option<String>,
}

impl From<Summary> for Counted {
    fn from(summary: Summary) -> Self {
        summary.jobs
    }
}

/// The periods that jobs are counted by: how many, and how long each.
fn periods(asked: Option<&str>) -> Result<(&'static str, u32, Duration), Fault> {
    match asked {
        None | Some("ONE_DAY") => Ok(("ONE_DAY", 14, DAY)),
        Some("SEVEN_DAYS") => Ok(("SEVEN_DAYS", 1, DAY * 7)),
        Some("FOURTEEN_DAYS") => Ok(("FOURTEEN_DAYS", 1, DAY * 14)),
        Some(_) => Err(invalid(
            "AggregationPeriod",
            "AggregationPeriod is none of ONE_DAY, SEVEN_DAYS, FOURTEEN_DAYS.",
        )),
    }
}

/// What a value counts under; none: it is not asked for.
fn group(asked: Option<&str>, value: &str) -> Option<String> {
    match asked {
        Some(AS_ONE) => Some(AS_ONE.to_owned()),
        None | Some(EACH) => Some(value.to_owned()),
        Some(wanted) => (wanted == value).then(|| value.to_owned()),
    }
}

impl Asked {
    /// The sums, by time; their length; and the token of the next page.
    async fn answer(
        self,
        cx: &ActionContext,
        kind: BackupJobKind,
        word: fn(BackupJobState) -> &'static str,
    ) -> Result<(Vec<Summary>, &'static str, Option<String>), Fault> {
        let (period, count, length) = periods(self.period.as_deref())?;
        // Days are UTC's, and today is the last.
        let day = i64::try_from(DAY.as_micros()).unwrap_or(i64::MAX);
        let today = cx.service.now().0.div_euclid(day).saturating_mul(day);
        let to = Timestamp(today).plus(DAY);
        let from = to.minus(length * count);
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let is_own = |id: &str| id == EACH || id == AS_ONE || id == cx.caller.account.as_str();
        let sums = match self.account.as_deref().is_none_or(is_own) {
            true => {
                let read = cx.service.catalog.read(move |tx| {
                    backup_jobs::sums(tx, (&region, &account), kind, (from, to), length)
                });
                read.await?
            }
            // No account is shown another's.
            false => Vec::new(),
        };
        let mut grouped: BTreeMap<_, u64> = BTreeMap::new();
        for sum in sums {
            let state = BackupJobState::ALL
                .into_iter()
                .find(|state| state.as_str() == sum.state);
            let Some(state) = state else { continue };
            let category = || match &self.category {
                Some(asked) => group(asked.as_deref(), jobs::category(state).unwrap_or_default()),
                None => Some(String::new()),
            };
            let key = (|| {
                Some((
                    sum.period,
                    group(self.resource_type.as_deref(), &sum.resource_type)?,
                    group(self.state.as_deref(), word(state))?,
                    category()?,
                ))
            })();
            if let Some(key) = key {
                *grouped.entry(key).or_default() += sum.count;
            }
        }
        let account = cx.caller.account.to_string();
        let all = grouped.into_iter().map(|(key, count)| {
            let (place, resource_type, state, category) = key;
            let start = from.plus(length * u32::try_from(place).unwrap_or_default());
            Summary {
                jobs: Counted {
                    region: cx.region.to_string(),
                    account_id: account.clone(),
                    state,
                    resource_type,
                    count,
                    start_time: seconds(start),
                    end_time: seconds(start.plus(length)),
                },
                message_category: Some(category).filter(|word| !word.is_empty()),
            }
        });
        let name = |one: &Summary| {
            format!(
                "{}/{}/{}/{}",
                one.jobs.start_time,
                one.jobs.resource_type,
                one.jobs.state,
                one.message_category.as_deref().unwrap_or_default()
            )
        };
        let token = self.next_token.as_deref();
        let (shown, next) = page::cut(all.collect(), self.max_results, token, name)?;
        Ok((shown, period, next))
    }
}

macro_rules! summaries {
    ($($(#[$doc:meta])* $action:ident $answer:ident $list:literal $rows:ident of $row:ty,
        $kind:ident $word:expr, { $($category:ident)? };)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "PascalCase")]
        pub struct $action {
            account_id: Option<String>,
            state: Option<String>,
            resource_type: Option<String>,
            $($category: Option<String>,)?
            aggregation_period: Option<String>,
            max_results: Option<i64>,
            next_token: Option<String>,
        }

        /// The answer.
        #[derive(Debug, Serialize, schemars::JsonSchema)]
        #[serde(rename_all = "PascalCase")]
        pub struct $answer {
            $rows: Vec<$row>,
            aggregation_period: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            next_token: Option<String>,
        }

        impl Output for $answer {
            const LAYOUT: Layout = Layout::Page($list);

            fn label(&self) -> Label {
                Label::Page { next: self.next_token.clone() }
            }
        }

        impl Action for $action {
            const NAME: &'static str = stringify!($action);
            const API: Api = Api::Backup;
            const READS: bool = true;
            type Output = $answer;

            async fn run(self, cx: &ActionContext) -> Result<$answer, Fault> {
                let asked = Asked {
                    account: self.account_id,
                    state: self.state,
                    resource_type: self.resource_type,
                    category: summaries!(@category self $($category)?),
                    period: self.aggregation_period,
                    max_results: self.max_results,
                    next_token: self.next_token,
                };
                let (rows, aggregation_period, next_token) =
                    asked.answer(cx, BackupJobKind::$kind, $word).await?;
                let $rows = rows.into_iter().map(Into::into).collect();
                Ok($answer { $rows, aggregation_period, next_token })
            }
        }
    )*};
    (@category $given:ident) => { None };
    (@category $given:ident $category:ident) => { Some($given.$category) };
}

summaries! {
    /// Counts backup jobs.
    ListBackupJobSummaries BackupJobSummaries "BackupJobSummaries" backup_job_summaries of Summary,
        Backup BackupJobState::as_str, { message_category };
    /// Counts copy jobs.
    ListCopyJobSummaries CopyJobSummaries "CopyJobSummaries" copy_job_summaries of Summary,
        Copy BackupJobState::as_str, { message_category };
    /// Counts restore jobs.
    ListRestoreJobSummaries RestoreJobSummaries "RestoreJobSummaries" restore_job_summaries of Counted,
        Restore restore_status, {};
}
