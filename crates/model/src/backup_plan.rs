//! A backup plan: rules that say when what is selected is backed up, and what becomes of it.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    arn::{Arn, Kind},
    clock::Timestamp,
    ids::{Account, Region},
    names::BackupVaultName,
    recovery_point::{CopyAction, Lifecycle},
    schedule::{Schedule, ScheduleError, Zone},
    tag::Tag,
};

/// A rule of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRule {
    /// Its id, a UUID.
    pub id: String,
    /// Its name, unique in the plan.
    pub name: String,
    /// Since when its schedule is as it is: rates count from there, and nothing was due before.
    pub since: Timestamp,
    /// The vault that its recovery points go to.
    pub vault: BackupVaultName,
    /// `cron(…)` or `rate(…)`.
    pub schedule: String,
    /// The time zone of the schedule.
    pub time_zone: String,
    /// How long a job may wait for its beginning.
    pub start_window_mins: u64,
    /// How long it may take in all.
    pub completion_window_mins: u64,
    /// When its recovery points go.
    pub lifecycle: Lifecycle,
    /// Their tags, over those of the resource.
    pub tags: Vec<Tag>,
    /// Where they are copied to.
    pub copies: Vec<CopyAction>,
}

impl PlanRule {
    /// The first time after a moment at which it is due.
    ///
    /// # Errors
    /// When its schedule does not read.
    pub fn next(&self, after: Timestamp) -> Result<Option<Timestamp>, ScheduleError> {
        let zone = Zone::parse(&self.time_zone)?;
        let schedule = Schedule::parse(&self.schedule)?;
        Ok(schedule.next(&zone, self.since, after.max(self.since)))
    }

    /// How long a job may wait for its beginning.
    pub fn start_window(&self) -> Duration {
        Duration::from_secs(self.start_window_mins.saturating_mul(60))
    }

    /// How long a job may take in all.
    pub fn completion_window(&self) -> Duration {
        Duration::from_secs(self.completion_window_mins.saturating_mul(60))
    }
}

/// What a plan says, which is another version after each change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanBody {
    /// The version's id.
    pub version: String,
    /// When it was written.
    pub written_at: Timestamp,
    /// The plan's name.
    pub name: String,
    /// Its rules.
    pub rules: Vec<PlanRule>,
}

/// A backup plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupPlan {
    /// Its region.
    pub region: Region,
    /// Whose it is.
    pub account: Account,
    /// Its id, a UUID.
    pub id: String,
    /// What it says now.
    pub body: PlanBody,
    /// What its maker called the request.
    pub creator_request_id: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was deleted, if it was.
    pub deleted_at: Option<Timestamp>,
    /// When its rules were due last.
    pub last_run: Option<Timestamp>,
    /// Up to when its rules' times have become jobs.
    pub looked_to: Timestamp,
    /// When the next of them is due.
    pub due: Option<Timestamp>,
}

impl BackupPlan {
    /// `arn:…:backup-plan:<id>`.
    pub fn arn(&self) -> Arn {
        Arn::of(Kind::BackupPlan, &self.region, &self.account, &self.id)
    }

    /// Reckons when the next of its rules is due after what was looked at.
    pub fn reckon(&mut self) {
        let rules = self.body.rules.iter().filter(|_| self.deleted_at.is_none());
        // Only what reads is kept.
        let next = rules.filter_map(|rule| rule.next(self.looked_to).ok().flatten());
        self.due = next.min();
    }
}

/// What a plan says or said, by its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanVersion {
    /// Its region.
    pub region: Region,
    /// Whose it is.
    pub account: Account,
    /// The plan's id.
    pub plan: String,
    /// What it said.
    pub body: PlanBody,
}

impl PlanVersion {
    /// What it is called in errors.
    pub fn arn(&self) -> String {
        format!("{} of {}", self.body.version, self.plan)
    }
}

/// A condition on a tag's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagCondition {
    /// How it compares.
    pub test: TagTest,
    /// The tag's key.
    pub key: String,
    /// What it compares with.
    pub value: String,
}

/// How a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagTest {
    /// The tag has that value.
    Equals,
    /// It has another one, or there is no such tag.
    NotEquals,
    /// Its value is of that pattern.
    Like,
    /// It is of another one, or there is no such tag.
    NotLike,
}

impl TagCondition {
    pub(crate) fn holds(&self, tags: &[Tag]) -> bool {
        let found = tags.iter().find(|tag| tag.key == self.key);
        let value = found.map(|tag| tag.value.as_str());
        match self.test {
            TagTest::Equals => value == Some(self.value.as_str()),
            TagTest::NotEquals => value != Some(self.value.as_str()),
            TagTest::Like => value.is_some_and(|value| is_like(&self.value, value)),
            TagTest::NotLike => !value.is_some_and(|value| is_like(&self.value, value)),
        }
    }
}

/// What a plan backs up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSelection {
    /// Its region.
    pub region: Region,
    /// Whose it is.
    pub account: Account,
    /// The plan's id.
    pub plan: String,
    /// Its id, a UUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The role that the caller named.
    pub iam_role: String,
    /// ARNs, which may have `*`.
    pub resources: Vec<String>,
    /// ARNs that are left out.
    pub not_resources: Vec<String>,
    /// Tags of which one is enough.
    pub any_tags: Vec<TagCondition>,
    /// Conditions that all have to hold.
    pub conditions: Vec<TagCondition>,
    /// When it was made.
    pub created_at: Timestamp,
    /// What its maker called the request.
    pub creator_request_id: Option<String>,
}

impl BackupSelection {
    /// What it is called in errors.
    pub fn arn(&self) -> String {
        format!("{}/{} of {}", self.plan, self.id, self.account)
    }

    /// Whether it has a resource: one that is named or has one of the tags, fulfils all conditions
    /// and is not left out. By tags alone it has only what its account has opted in to.
    pub fn has(&self, resource: &Arn, tags: &[Tag], opted_in: bool) -> bool {
        let arn = resource.to_string();
        let named = |patterns: &[String]| patterns.iter().any(|pattern| is_like(pattern, &arn));
        (named(&self.resources) || opted_in && self.any_tags.iter().any(|one| one.holds(tags)))
            && self.conditions.iter().all(|one| one.holds(tags))
            && !named(&self.not_resources)
    }
}

/// Whether a text is of a pattern, in which `*` stands for any letters, or none.
pub(crate) fn is_like(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    // The first place of each part leaves most to the others.
    for part in parts {
        match text.find(part) {
            Some(place) => text = text.get(place + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_followed() {
        for (pattern, text, wanted) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("*", "", true),
            ("*", "abc", true),
            ("a*", "abc", true),
            ("a*", "bac", false),
            ("*c", "abc", true),
            ("*c", "abcd", false),
            ("a*c", "ac", true),
            ("ab*bc", "abc", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1c2b", false),
            (
                "arn:aws:rds:*:*:cluster:*",
                "arn:aws:rds:r:1:cluster:x",
                true,
            ),
            (
                "arn:aws:rds:*:*:cluster:*",
                "arn:aws:rds:r:1:cluster-pg:x",
                false,
            ),
        ] {
            assert_eq!(is_like(pattern, text), wanted, "{pattern} {text}");
        }
    }

    fn selection() -> BackupSelection {
        BackupSelection {
            region: "us-east-1".parse().expect("a region"),
            account: "111111111111".parse().expect("an account"),
            plan: "p".to_owned(),
            id: "s".to_owned(),
            name: "s".to_owned(),
            iam_role: String::new(),
            resources: Vec::new(),
            not_resources: Vec::new(),
            any_tags: Vec::new(),
            conditions: Vec::new(),
            created_at: Timestamp(0),
            creator_request_id: None,
        }
    }

    fn condition(test: TagTest, value: &str) -> TagCondition {
        TagCondition {
            test,
            key: "k".to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn selections_follow_names_tags_and_conditions() {
        let empty = selection();
        let arn = Arn::of(Kind::Cluster, &empty.region, &empty.account, "c");
        let tags = [Tag {
            key: "k".to_owned(),
            value: "value".to_owned(),
        }];
        let all = || vec!["*".to_owned()];
        let of = |conditions| BackupSelection {
            resources: all(),
            conditions,
            ..selection()
        };
        let by_tag = |value| BackupSelection {
            any_tags: vec![
                condition(TagTest::Equals, "other"),
                condition(TagTest::Equals, value),
            ],
            ..selection()
        };
        for (selection, tagged, bare) in [
            (empty, false, false),
            (of(vec![]), true, true),
            (by_tag("value"), true, false),
            (by_tag("values"), false, false),
            (of(vec![condition(TagTest::Equals, "value")]), true, false),
            (
                of(vec![condition(TagTest::NotEquals, "value")]),
                false,
                true,
            ),
            (of(vec![condition(TagTest::Like, "va*")]), true, false),
            (of(vec![condition(TagTest::NotLike, "va*")]), false, true),
            (
                of(vec![
                    condition(TagTest::Like, "va*"),
                    condition(TagTest::NotEquals, "value"),
                ]),
                false,
                false,
            ),
            (
                BackupSelection {
                    not_resources: vec!["arn:aws:rds:*:cluster:c".to_owned()],
                    ..of(vec![])
                },
                false,
                false,
            ),
        ] {
            assert_eq!(selection.has(&arn, &tags, true), tagged, "{selection:?}");
            assert_eq!(selection.has(&arn, &[], true), bare, "{selection:?}");
            // What its account has not opted in to it has only by name.
            let named = !selection.resources.is_empty();
            let out = selection.has(&arn, &tags, false);
            assert_eq!(out, tagged && named, "{selection:?}");
        }
    }
}
